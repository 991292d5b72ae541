"""What every test may ask for."""

import os
from pathlib import Path

import pytest

os.environ["TQDM_DISABLE"] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real data that is not part of the project; tests that need it skip where it is absent."""
    root = Path(os.environ.get("LAYERGYM_SHARED", Path(__file__).resolve().parents[2] / "shared"))
    if not (root / "data").is_dir():
        pytest.skip(f"needs real data in {root / 'data'} (set LAYERGYM_SHARED)")
    return root / "data"
