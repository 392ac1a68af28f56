"""What every engine is to its callers, and what both loops must agree on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from scalesim.kernels.draws import site_hash
from scalesim.plan import Plan
from scalesim.recording import Recording, RunSpec

__all__ = [
    "CLIENT_SITE",
    "ENDPOINT_SITE",
    "GAP_SITE",
    "KEY_SITE",
    "THINK_SITE",
    "USER_TAG",
    "Engine",
    "Progress",
]

GAP_SITE = site_hash("traffic", "gap")
ENDPOINT_SITE = site_hash("traffic", "endpoint")
KEY_SITE = site_hash("traffic", "key")
CLIENT_SITE = site_hash("traffic", "client")
THINK_SITE = site_hash("traffic", "think")
USER_TAG = site_hash("traffic", "user")

Progress = Callable[[float], bool]
"""Called with the simulated time [s] now and then; returns True to stop the run there."""


class Engine(Protocol):
    """Runs plans."""

    name: str

    def unsupported(self, plan: Plan) -> list[str]:
        """Return why this engine can't run `plan`; empty if it can."""

    def run(self, plan: Plan, spec: RunSpec, progress: Progress | None = None) -> Recording:
        """Run one trial."""
