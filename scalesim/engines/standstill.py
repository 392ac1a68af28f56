"""Standstill: models in which time does not go on, and the error that says who keeps it.

Users who do not pause and are answered at once send requests without end at one moment; so do
retries whose waits are too short to move the clock. Both loops ask here, now and then.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from scalesim import ops
from scalesim.errors import InvalidModel, Problem
from scalesim.plan import Plan

__all__ = ["Standstill", "requests_at_once", "steps_at_once"]


def requests_at_once(users: int) -> int:
    """Return how many requests closed users may begin at one instant; more are an endless loop.

    Some may: a user whose request found its key in a cache has waited for nothing.
    """
    return 100_000 + 100 * users


def steps_at_once(requests: int) -> int:
    """Return how many events `requests` may have at one instant; more are an endless loop.

    Each may be tried some hundred times without a wait.
    """
    return 2_000_000 + 2_000 * requests


class Standstill:
    """Watches the clock of one run."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.users = int(plan.source["users"].sum())
        self.instant, self.begun, self.steps = -1.0, 0, 0
        self.before = np.zeros(len(plan.station), np.int64)
        self.last_sent, self.at_once = -1.0, 0

    def look(
        self, now: float, steps: int, begun: int, in_flight: Callable[[], int], rejected: np.ndarray
    ) -> None:
        """Raise if too much has happened since time last went on.

        Parameters
        ----------
        now : float [s]
        steps, begun : int
            Events, and requests begun, since the run began.
        in_flight : callable
            Returns how many requests have not ended; not for nothing where there are many.
        rejected : int array [stations]
            Since the present bucket of time began.
        """
        if now != self.instant:
            self.instant, self.begun, self.steps = now, begun, steps
            self.before = np.array(rejected)
            return
        if steps - self.steps > steps_at_once(0):
            most = steps_at_once(self.users or in_flight() + begun - self.begun)
            if steps - self.steps > most:
                raise self.of_attempts(most, rejected)

    def count_user(self, now: float) -> None:
        """Count the requests that users begin at one instant (the compiled engine has its own)."""
        self.last_sent, self.at_once = now, self.at_once + 1 if now == self.last_sent else 1

    def look_at_users(self, instant: float, at_once: int, rejected: np.ndarray) -> None:
        """Raise if users began too many requests, `at_once`, at one instant."""
        if at_once > requests_at_once(self.users):
            raise self.of_users(instant, rejected)

    def of_users(self, now: float, rejected: np.ndarray) -> InvalidModel:
        """Return the error of users who are answered at once and do not pause."""
        most = requests_at_once(self.users)
        message = (
            f"{self.users} users began more than {most:,} requests at {now:g} s, "
            f"{self._who(rejected)}; without a pause and with requests that take no time they "
            "would go on without end; give a pause, if only 1 us, or let every request take time"
        )
        return InvalidModel([Problem("traffic.think_time", message, ("think_time",))])

    def of_attempts(self, most: int, rejected: np.ndarray) -> InvalidModel:
        """Return the error of requests that are tried again and again at one moment."""
        pause = "a pause between requests, " if self.users else ""
        message = (
            f"more than {most:,} events at {self.instant:g} s and time does not go on, "
            f"{self._who(rejected)}; give {pause}a backoff between attempts, or fewer attempts"
        )
        return InvalidModel([Problem("traffic", message)])

    def _who(self, rejected: np.ndarray) -> str:
        """Return in words which component rejects most at this moment, or is done at once."""
        counts = np.array(rejected) - self.before
        if counts.max(initial=0) > 0:
            label = self.plan.station_labels[int(counts.argmax())]
            return f"most of them rejected at once by {label.component}.{label.resource}"
        return f'which "{_entry(self.plan)}" answers at once'


def _entry(plan: Plan) -> str:
    """Return the component that requests come to."""
    programs = {start: name for name, start in plan.program_starts.items()}
    start = int(plan.endpoint["start"][0])
    sent = plan.code[start:]
    if programs[start].partition(".")[0] == "client":  # which tries and waits, no component
        start = int(sent["a"][np.argmax(sent["op"] == ops.ATTEMPT)])
    return programs[start].partition(".")[0]
