"""Lower traffic: when requests arrive, of which endpoint, about which keys, from which clients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate

import numpy as np

from scalesim.plan import tables
from scalesim.plan.emit import PlanEmitter
from scalesim.traffic import (
    AnyTraffic,
    Batches,
    Bursts,
    ClosedTraffic,
    Poisson,
    RateProfile,
    Renewal,
    ReplayTraffic,
    Traffic,
    UserGroups,
    Users,
)

__all__ = ["cumulated_mix", "lower_replay", "lower_sources"]

Tables = tuple[np.ndarray, np.ndarray, np.ndarray]


def cumulated_mix(names: Sequence[str], mix: Mapping[str, float] | None) -> np.ndarray:
    """Return the cumulated shares of the endpoints `names`."""
    weights = mix if mix is not None else dict.fromkeys(names, 1.0)
    share = np.asarray([float(weights.get(name, 0.0)) for name in names])
    cumulated: np.ndarray = np.cumsum(share) / share.sum()
    return cumulated


def lower_sources(emit: PlanEmitter, names: Sequence[str], traffic: AnyTraffic) -> Tables:
    """Return the tables of sources, segments and phases."""
    segment = np.zeros(1, tables.SEGMENT)
    segment[0] = (np.inf, np.inf)
    phase = np.zeros(0, tables.PHASE)
    source = np.zeros(1, tables.SOURCE)
    source["mix"] = -1
    if isinstance(traffic, Traffic):
        segment = _open(emit, traffic, source)
        if isinstance(traffic.arrivals, Bursts):
            phase = _phases(emit, traffic.arrivals, traffic.mean_rate)
            source["shares"] = len(emit.values)
            emit.values += accumulate(traffic.arrivals.shares())
    elif isinstance(traffic, (ClosedTraffic, UserGroups)):
        source = _users(emit, names, traffic)
    else:
        source["kind"] = tables.REPLAY
    return source, segment, phase


def _open(emit: PlanEmitter, traffic: Traffic, source: np.ndarray) -> np.ndarray:
    """Fill the row of open traffic; return its segments."""
    arrivals, slower = traffic.arrivals, 1.0
    source["kind"], source["random"] = tables.OPEN, isinstance(arrivals, Poisson)
    if isinstance(arrivals, Renewal):
        source["kind"], source["random"] = tables.RENEWAL, 1
        source["gap"] = emit.sampler(arrivals.gap, 1.0 / arrivals.gap.mean)
    elif isinstance(arrivals, Batches):
        source["kind"], source["random"] = tables.BATCHES, 1
        source["size"] = arrivals.size if arrivals.law == "fixed" else -arrivals.size
        slower = arrivals.size
    elif isinstance(arrivals, Bursts):
        source["kind"], source["random"] = tables.BURSTS, 1
        source["phase"] = -1
    if not isinstance(traffic.rate, RateProfile):
        segment = np.zeros(1, tables.SEGMENT)
        segment[0] = (np.inf, slower / traffic.rate)
        return segment
    rates = np.asarray(traffic.rate.rates)
    if len(rates) == 1 and not traffic.rate.repeat:
        rates = np.append(rates, 0.0)  # a single segment stands for a rate without end
    segment = np.zeros(len(rates), tables.SEGMENT)
    segment["end"] = np.arange(1, len(rates) + 1) * traffic.rate.bucket
    segment["gap"] = np.divide(slower, rates, out=np.full(len(rates), np.inf), where=rates > 0)
    source["repeat"], source["period"] = traffic.rate.repeat, traffic.rate.period
    return segment


def _phases(emit: PlanEmitter, bursts: Bursts, rate: float) -> np.ndarray:
    """Return the states of bursts whose mean rate is `rate`."""
    phase = np.zeros(len(bursts.rates), tables.PHASE)
    mean = bursts.mean_rate
    for i, (relative, row) in enumerate(zip(bursts.rates, bursts.switch_rates, strict=True)):
        total = sum(row)
        phase[i]["gap"] = mean / (relative * rate) if relative else np.inf
        phase[i]["stay"] = 1.0 / total if total else np.inf
        phase[i]["first"] = len(emit.values)
        emit.values += [each / total for each in accumulate(row)] if total else [1.0]
    return phase


def _users(
    emit: PlanEmitter, names: Sequence[str], traffic: ClosedTraffic | UserGroups
) -> np.ndarray:
    """Return one row for each group of users."""
    if isinstance(traffic, UserGroups):
        groups = list(traffic.groups.values())
    else:
        groups = [Users(traffic.users, think_time=traffic.think_time)]
    source = np.zeros(len(groups), tables.SOURCE)
    source["kind"] = tables.CLOSED
    for row, group in zip(source, groups, strict=True):
        row["users"], row["think"], row["mix"] = group.users, emit.sampler(group.think_time), -1
        if group.mix is not None:
            row["mix"] = len(emit.values)
            emit.values += cumulated_mix(names, group.mix).tolist()
    return source


def lower_replay(names: Sequence[str], traffic: AnyTraffic) -> dict[str, np.ndarray]:
    """Return the recorded arrivals, by name in the plan."""
    recorded = traffic if isinstance(traffic, ReplayTraffic) else ReplayTraffic(at=())
    count = len(recorded.at)
    index = {name: i for i, name in enumerate(names)}

    def column(given: Sequence[int] | None) -> np.ndarray:
        return np.full(count, -1) if given is None else np.asarray(given, np.int64)

    return {
        "replay_at": np.asarray(recorded.at, np.float64),
        "replay_endpoint": column(
            None if recorded.endpoint is None else [index[name] for name in recorded.endpoint]
        ),
        "replay_key": column(recorded.key),
        "replay_client": column(recorded.client),
    }
