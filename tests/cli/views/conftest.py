"""Views are tested on the sweep folders of the evals' tests."""

from tests.evals.conftest import small_sweep, sweep_folder

__all__ = ["small_sweep", "sweep_folder"]
