"""What every engine is to its callers, and what both loops must agree on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from scalesim.errors import InvalidModel, Problem
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
    "endless_loop",
    "requests_at_once",
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


def requests_at_once(users: int) -> int:
    """Return how many requests closed users may begin at one instant; more are an endless loop.

    Some may: a user whose request found its key in a cache has waited for nothing.
    """
    return 100_000 + 100 * users


def endless_loop(users: int, now: float) -> InvalidModel:
    """Return the error of users who are answered at once and do not pause."""
    message = (
        f"{users} users began more than {requests_at_once(users):,} requests at {now:g} s; without "
        "a pause and with requests that take no time (rejected at once, or nothing to do) they "
        "would go on without end; give a pause, if only 1 us, or let every request take time"
    )
    return InvalidModel([Problem("traffic.think_time", message, ("think_time",))])
