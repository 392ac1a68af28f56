"""Traffic from a web server's access log, in Common or Combined format. Layer: io.

One pass over the lines. Memory grows with the distinct paths and networks up to a limit and with
the length of time, not with the number of lines.
"""

from __future__ import annotations

import math
import os
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from scalesim.errors import InvalidInput, Problem, shown
from scalesim.fields import FrozenMap, Name
from scalesim.io.access_log_counts import (
    MAX_NAMES,
    NameCounter,
    PathTree,
    SizeCounter,
    network_of,
    path_parts,
)
from scalesim.io.access_log_lines import BadLineError, LogLine, parse_line, read_lines
from scalesim.io.access_log_profile import Clock, clock_text
from scalesim.traffic import Traffic
from scalesim.words import counted

__all__ = ["BadLine", "LogTraffic", "traffic_from_log"]

_SHOWN = 10
_SMALL_RATIO = 0.01
_ONE_NETWORK_RATIO = 0.9


@dataclass(frozen=True)
class BadLine:
    """A line that is not a request.

    Parameters
    ----------
    number : int
        From 1.
    reason : str
    text : str
        Its beginning.
    """

    number: int
    reason: str
    text: str


@dataclass(frozen=True)
class LogTraffic:
    """What an access log shows.

    Parameters
    ----------
    traffic : Traffic
        Rate profile; mix of endpoints (their requests); popularity of paths (`keys`) and of
        networks (`clients`); sizes of responses.
    lines, used, bad_count : int
        Lines that are not blank; those that are requests; those that are not.
    bad : tuple of BadLine
        The first ten that are not.
    span_s : float [s]
        From the first request to the last.
    busiest_rate : float [requests/s]
        Mean of the busiest 15 minutes in the log, on whichever day they were.
    patterns : mapping of str to str
        Endpoint -> what was counted for it: how its ``METHOD /path`` begins (the longest such
        beginning counts), or the expression it was given.
    notes : tuple of str
        What was assumed or left out, in sentences.
    """

    traffic: Traffic
    lines: int
    used: int
    bad_count: int
    bad: tuple[BadLine, ...]
    span_s: float
    busiest_rate: float
    patterns: Mapping[str, str]
    notes: tuple[str, ...]


def traffic_from_log(
    path: str | os.PathLike[str],
    *,
    strict: bool = False,
    bucket: float = 60.0,
    keep_query: bool = False,
    endpoints: Mapping[str, str] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> LogTraffic:
    """Return the traffic that an access log shows.

    **Rate.** The profile is of the local day. Of a log that covers all of it, it is the average day
    from midnight: a peak is averaged too, so `LogTraffic.busiest_rate` and a note say what the
    busiest 15 minutes were. Of a shorter log it is the stretch that is covered, repeated. A request
    counts at its time, wherever its line stands: servers write lines when requests end.

    **Mix.** Paths are grouped by their beginning: the longest one with at least 1 % of all requests
    is an endpoint (``get_users_id``), static files are ``static``, the rest is ``other``. With
    `endpoints` they are named for a model instead.

    **Sizes** are bytes of body sent for each request, 0 where none was (304); headers are not in
    the log. **Keys** are paths, **clients** networks (/24 of IPv4, /48 of IPv6). Beyond 200,000 of
    either the rarer ones are counted together.

    Parameters
    ----------
    path : path-like
        A text file or a gzip of one.
    strict : bool
        Refuse the log if a line is not a request, instead of counting such lines.
    bucket : float [s]
        Whole seconds that divide a day, at most an hour.
    keep_query : bool
        Paths with different queries are different keys, and `endpoints` see the query.
    endpoints : mapping of str to str, optional
        Regular expression searched in ``METHOD /path`` -> endpoint of your model; the first that is
        found counts, ``other`` if none is.
    progress : callable, optional
        Called now and then with (bytes read, bytes in all); both 0 for a pipe.

    Raises
    ------
    InvalidInput
        The log can't be read; no two lines are requests at different times; an argument is out of
        range; with `strict`, the first lines that are not requests.
    """
    seconds = int(bucket) if 1 <= bucket <= 3600 else 0
    if not seconds or seconds != bucket or 86_400 % seconds:
        raise InvalidInput(
            f"bucket: got {bucket:g} s, allowed are whole seconds that divide a day, at most an "
            "hour: 60 s, 300 s, 900 s"
        )
    tally = _Tally(Clock(seconds), keep_query, None if endpoints is None else _Rules(endpoints))
    for number, text in read_lines(path, progress):
        try:
            tally.count(parse_line(text))
        except BadLineError as error:
            tally.refuse(BadLine(number, str(error), shown(text, 80)))
            if strict and len(tally.bad) == _SHOWN:
                break
    if strict and tally.bad:
        raise InvalidInput(
            Problem("", f"{bad.reason}: {bad.text}", place=f"{path}:{bad.number}")
            for bad in tally.bad
        )
    _check(tally, os.fspath(path))
    return tally.described()


class _Rules:
    """Endpoints by regular expression."""

    def __init__(self, endpoints: Mapping[str, str]) -> None:
        self.rules: list[tuple[re.Pattern[str], str]] = []
        problems = []
        for pattern, name in endpoints.items():
            problems += [
                Problem(f"endpoints: {shown(pattern)}", problem.message)
                for problem in Name("an endpoint").check(name)
            ]
            try:
                self.rules.append((re.compile(pattern), name))
            except re.error as error:
                message = f"not a regular expression: {error}"
                problems.append(Problem(f"endpoints: {shown(pattern)}", message))
        if problems:
            raise InvalidInput(problems)
        self.name = lru_cache(maxsize=65_536)(self._name)

    def _name(self, subject: str) -> str | None:
        return next((name for rule, name in self.rules if rule.search(subject)), None)

    def patterns(self, name: str) -> str:
        """Return the expressions of the endpoint `name`."""
        return " or ".join(rule.pattern for rule, each in self.rules if each == name)


@dataclass
class _Tally:
    """What was counted so far."""

    clock: Clock
    keep_query: bool
    rules: _Rules | None
    used: int = 0
    bad: list[BadLine] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)
    tree: PathTree = field(default_factory=PathTree)
    mapped: Counter[str | None] = field(default_factory=Counter)
    keys: NameCounter = field(default_factory=NameCounter)
    networks: NameCounter = field(default_factory=NameCounter)
    sizes: SizeCounter = field(default_factory=SizeCounter)

    def count(self, line: LogLine) -> None:
        """Count one request."""
        self.used += 1
        self.clock.add(line.at, line.offset)
        key = line.path + line.query if self.keep_query else line.path
        if self.rules is None:
            self.tree.add(path_parts(line.method, line.path))
        else:
            self.mapped[self.rules.name(f"{line.method} {key}")] += 1
        self.keys.add(key)
        self.networks.add(network_of(line.host))
        self.sizes.add(line.size)

    def refuse(self, bad: BadLine) -> None:
        """Count one line that is not a request."""
        self.reasons[bad.reason] += 1
        if len(self.bad) < _SHOWN:
            self.bad.append(bad)

    def described(self) -> LogTraffic:
        """Return everything as traffic."""
        rate, notes = self.clock.profile()
        busiest, at = self.clock.busiest()
        averaged = rate.busiest(900)[1]
        if rate.period < 900:
            busiest = averaged
        elif busiest > 1.05 * averaged:
            notes += (
                f"the busiest 15 minutes in the log had {busiest:.3g} requests/s, from "
                f"{clock_text(at)}; in the profile the busiest have {averaged:.3g}, "
                f"{busiest / averaged:.3g} times less",
            )
        mix, patterns, said = self._mix()
        traffic = Traffic(
            rate=rate,
            mix=mix,
            keys=self.keys.popularity(),
            clients=self.networks.popularity(),
            response_bytes=self.sizes.distribution(),
        )
        bad = self.reasons.total()
        return LogTraffic(
            traffic=traffic,
            lines=self.used + bad,
            used=self.used,
            bad_count=bad,
            bad=tuple(self.bad),
            span_s=float(self.clock.span),
            busiest_rate=busiest,
            patterns=FrozenMap(patterns),
            notes=(*notes, *said, *self._notes()),
        )

    def _mix(self) -> tuple[dict[str, float], dict[str, str], list[str]]:
        """Return the requests for each endpoint, the patterns and what was done."""
        if self.rules is None:
            self.tree.fold(math.ceil(self.used * _SMALL_RATIO))
            named = self.tree.named()
            said = "" if "other" not in named else self._ratio(named["other"][1])
            note = [f'paths with less than 1 % of requests are "other": {said}'] if said else []
            patterns = {name: pattern for name, (pattern, _) in named.items()}
            return {name: count for name, (_, count) in named.items()}, patterns, note
        notes = []
        mix: dict[str, float] = {}
        for name, count in self.mapped.most_common():
            mix[name or "other"] = mix.get(name or "other", 0) + count
        if self.mapped[None]:
            missed = self._ratio(self.mapped[None])
            notes.append(f'requests that match none of the endpoints given are "other": {missed}')
        wanted = dict.fromkeys(name for _, name in self.rules.rules)
        if idle := [name for name in wanted if name not in mix]:
            notes.append(f"no request is for {', '.join(idle)}")
        return mix, {name: self.rules.patterns(name) for name in mix}, notes

    def _notes(self) -> list[str]:
        left_out = self.reasons.most_common(5)
        notes = [f"left out: {counted(count, 'line', 'lines')}, {why}" for why, count in left_out]
        for what, counter in (("paths", self.keys), ("networks", self.networks)):
            if counter.tail_count:
                notes.append(
                    f"there are more than {MAX_NAMES:,} {what}: {self._ratio(counter.tail_count)}, "
                    f"of about {counter.tail_names():,} rare ones, are counted together"
                )
        ((network, most),) = self.networks.counts.most_common(1)
        if most > _ONE_NETWORK_RATIO * self.used:
            notes.append(
                f"{self._ratio(most)} are from {network}: behind a proxy a log shows the proxy, "
                "and clients are then not known"
            )
        return notes

    def _ratio(self, count: int) -> str:
        return f"{counted(count, 'request', 'requests')} ({count / self.used:.1%})"


def _check(tally: _Tally, source: str) -> None:
    """Raise unless there is a rate to be had."""
    if not tally.used:
        lines = tally.reasons.total()
        if not lines:
            raise InvalidInput([Problem("", "this log is empty", place=source)])
        bad = tally.bad[0]
        binary = "\\x00" in bad.text or "\0" in bad.text or "\\x" in bad.text[:12]
        hint = "this looks like a binary file: " if binary else ""
        message = f"{hint}none of {lines:,} lines is a request; line {bad.number}: {bad.reason}"
        raise InvalidInput([Problem("", f"{message}: {bad.text}", place=source)])
    if not tally.clock.span:
        what = "only one line is a request" if tally.used == 1 else f"all {tally.used:,} requests"
        same = "" if tally.used == 1 else " are of the same second"
        message = f"{what}{same}; a rate needs requests at different times"
        raise InvalidInput([Problem("", message, place=source)])
