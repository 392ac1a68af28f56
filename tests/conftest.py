"""What every test shares: no display, reproducible Hypothesis runs, the `--long` flag.

Nothing here may import scalesim, so that a broken package still gives readable test failures.
"""

from __future__ import annotations

import os
from pathlib import Path

import matplotlib
import pytest
from hypothesis import HealthCheck, settings

# Not by MPLBACKEND: notebook kernels would inherit it and show no pictures.
matplotlib.use("Agg")
os.environ.setdefault("JUPYTER_PLATFORM_DIRS", "1")  # without it jupyter_core < 6 warns

# No deadline: the first example may compile the engine. Derandomized: a red run is red again on the
# next machine; new examples come from `pytest --hypothesis-profile=search`.
settings.register_profile(
    "repeatable",
    deadline=None,
    derandomize=True,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("search", parent=settings.get_profile("repeatable"), derandomize=False)
settings.load_profile("repeatable")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--long`."""
    parser.addoption("--long", action="store_true", help="also run tests marked `long`")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip what is marked `long` unless `--long` is given."""
    if config.getoption("--long"):
        return
    skip = pytest.mark.skip(reason="takes minutes: run with --long")
    for item in items:
        if item.get_closest_marker("long"):
            item.add_marker(skip)


@pytest.fixture(scope="session")
def repo_root() -> Path:
    """The top folder of the checkout."""
    return Path(__file__).resolve().parents[1]
