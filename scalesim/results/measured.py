"""The measured window of a simulation: its recordings, summed over buckets of time and trials."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from scalesim.errors import InvalidInput, nearest
from scalesim.frozen import Frozen, read_only
from scalesim.ops import OUTCOMES
from scalesim.plan import Plan
from scalesim.recording import Recording

if TYPE_CHECKING:
    from scalesim.results.warnings import Caution
    from scalesim.topology import Topology
    from scalesim.traffic import AnyTraffic

__all__ = ["Measured", "index_of", "widths"]


class Measured(Frozen):
    """Recordings of one model, read together; `Results` makes answers of them."""

    topology: Topology
    traffic: AnyTraffic
    recordings: tuple[Recording, ...]
    engine: str
    notices: tuple[str, ...]
    unreached: tuple[Caution, ...]
    left_out: int

    def __init__(
        self,
        topology: Topology,
        traffic: AnyTraffic,
        recordings: Sequence[Recording],
        engine: str,
        notices: Sequence[str] = (),
        unreached: Sequence[Caution] = (),
        left_out: int = 0,
    ) -> None:
        self._set(
            topology=topology,
            traffic=traffic,
            recordings=tuple(recordings),
            engine=engine,
            notices=tuple(notices),
            unreached=tuple(unreached),
            left_out=left_out,
        )

    @property
    def plan(self) -> Plan:
        """The plan that was run."""
        return self.recordings[0].plan

    @property
    def trials(self) -> int:
        """Number of independent trials."""
        return len(self.recordings)

    @property
    def partial(self) -> bool:
        """Whether the run was interrupted, so that not all trials came to their end."""
        return self.left_out > 0 or any(each.partial for each in self.recordings)

    def buckets_of(self, recording: Recording) -> slice:
        """Return the buckets of time of a trial that lie in the window and were simulated."""
        first, ends = recording.spec.warmup_buckets, recording.spec.boundaries
        begun = np.concatenate([[0.0], ends[:-1]]) < recording.ended_at
        return slice(first, max(first, int(begun.sum())))

    @cached_property
    def measured_time(self) -> float:
        """Seconds measured, summed over trials."""
        return math.fsum(each.measured_time for each in self.recordings)

    def pooled(self, name: str) -> np.ndarray:
        """Return a per-bucket array summed over the measured buckets and the trials."""
        parts = [getattr(each, name)[each.spec.warmup_buckets :] for each in self.recordings]
        if parts[0].dtype.names is None:
            total: np.ndarray = np.sum([part.sum(axis=0) for part in parts], axis=0)
            return total
        out = np.zeros(parts[0].shape[1:], parts[0].dtype)
        for field in parts[0].dtype.names:
            largest = field in ("longest", "deepest")
            reduce = np.max if largest else np.sum
            values = [reduce(part[field], axis=0) for part in parts if len(part)]
            if values:
                out[field] = reduce(values, axis=0)
        return out

    def histogram(self, name: str, rows: Sequence[int] | np.ndarray) -> np.ndarray:
        """Return a histogram of the window, summed over rows and trials, int64 [BUCKETS]."""
        total: np.ndarray = np.sum([each.histogram(name, rows) for each in self.recordings], axis=0)
        return total

    @cached_property
    def flow(self) -> np.ndarray:
        """Requests that ended in the window, FLOW_SERIES array [endpoints, outcomes]."""
        return read_only(self.pooled("flow"))

    @cached_property
    def station(self) -> np.ndarray:
        """What stations did in the window, STATION_SERIES array [stations]."""
        return read_only(self.pooled("station"))

    def endpoint_index(self, endpoint: str) -> int:
        """Return the row of an endpoint of the entry."""
        return index_of(endpoint, self.plan.endpoint_names, "endpoint")

    def outcome_index(self, outcome: str) -> int:
        """Return the number of an outcome."""
        return index_of(outcome, OUTCOMES, "outcome")

    def stations_of(self, component: str, resource: str | None = None) -> list[int]:
        """Return the rows of a component's stations, or of one resource of it."""
        labels = self.plan.station_labels
        index_of(component, list(dict.fromkeys(each.component for each in labels)), "component")
        own = list(dict.fromkeys(x.resource for x in labels if x.component == component))
        if resource is not None:
            index_of(resource, own, f"resource of {component}")
        return [
            s
            for s, label in enumerate(labels)
            if label.component == component and resource in (None, label.resource)
        ]


def widths(recording: Recording) -> np.ndarray:
    """Return the simulated time in each bucket [s]; 0 after an interruption."""
    ends = np.minimum(recording.spec.boundaries, recording.ended_at)
    out: np.ndarray = np.diff(ends, prepend=0.0)
    return out


def index_of(name: str, known: Sequence[str], what: str) -> int:
    """Return the place of `name`; raise `InvalidInput` that names `what` it should have been."""
    if name not in known:
        raise InvalidInput(
            f'there is no {what} "{name}". {nearest(name, known)}Known: {", ".join(known)}'
        )
    return list(known).index(name)
