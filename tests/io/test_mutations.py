"""Damaged model files: each is read, or refused with problems that say where; nothing else.

1,200 texts in the normal run, made from valid ones by damage of several kinds on top of each other.
More: ``pytest tests/io/test_mutations.py --hypothesis-profile=search``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from scalesim import io
from scalesim.errors import InvalidInput, InvalidModel, Problem

SHOP = """\
scalesim: 1
topology:
  entry: edge
  components:
    edge: {type: load_balancer, targets: [inner], policy: {power_of_two: {choices: 3}}}
    inner: {type: load_balancer, targets: web, weights: {web: 2.5}, delay: 50 us}
    web:
      type: service
      instances: 4
      workers: 32
      memory: 2 GiB
      memory_per_request: 3 MB
      network_out: 1 Gbit/s
      machine: m7g.large
      endpoints:
        browse: [{compute: {lognormal: {mean: 4 ms, cv: 1.2}}}, {call: sessions.get}]
        order:
          steps:
            - compute: 9 ms
            - parallel: [[{call: {to: orders.write, timeout: 500 ms, retry: {attempts: 3}}}],
                         [{sleep: {uniform: {low: 1 ms, high: 2 ms}}}]]
            - publish: emails
          response_bytes: {exponential: 20 kB}
    sessions: {type: cache, capacity: 50000, ttl: 10 min, origin: orders.read, eviction: lru}
    orders:
      {type: database, connections: 40, read: 3 ms, shards: 4, read_replicas: 2, disk_iops: 3000/s}
    emails: {type: message_queue, handler: [{sleep: 50 ms}], capacity: 100, when_full: block}
traffic:
  open:
    rate: {rates: [800/s, 900/s, 5/min], bucket: 1 h}
    mix: {browse: 0.9, order: 0.1}
    keys: {zipf: {count: 1000, exponent: 0.9}}
    response_bytes: 30 kB
growth: {table: [1.1, 1.3]}
objective: {latency: 300 ms, error_ratio: 0.1%}
"""
SMALL = """\
{"scalesim": 1,
 "topology": {"entry": "db", "components": {"db": {"type": "database", "connections": 4,
  "read": {"hyperexponential": {"probabilities": [0.5, 0.5], "means": ["1 ms", "9 ms"]}}}}},
 "traffic": {"closed": {"users": 50, "think_time": "2 s", "mix": {"read": 1, "write": 0}}},
 "growth": "15%/month"}
"""
REPLAY = """\
# what was seen
scalesim: 1
topology: {entry: a, components: {a: {type: service, endpoints: {x: [{compute: 1 ms}]}}}}
traffic: {replay: {at: [0 s, 0.5 s, 1e1 s], endpoint: [x, x, x], key: [1, 2, 3]}}
growth: 15%/month
"""
TEXTS = (SHOP, SMALL, REPLAY)

TOKENS = re.compile(r"[\w.%/]+|\s+|.", re.DOTALL)
ODD = (
    "", " ", "\t", "\n", ":", ": ", "- ", ",", "{", "}", "[", "]", "{}", "[]", "'", "\"", "#",
    "&a ", "*a", "!!str ", "!x ", "<<", "? ", "| ", "> ", "---\n", "...\n", "%", "@", "`", "\\",
    "\u0000", "\u007f", "\ufeff", "\u2028", "\ud800", "é", "null", "~", "true", "no", "0", "-1",
    "1.5", "nan", ".nan", "inf", "-inf", ".inf", "1e999", "-1e-999", "9" * 400, "1_000", "0x10",
    "1:30", "2020-01-01", "nan ms", "inf s", "-5 ms", "1e300 h", "500 MB", "ms", "5", "5 ms",
    "1e400%/month", "-200%/month", "0/s", "٣ ms", "web", "edge", "orders.read", "a.b.c", "..",
    ".", "self", "name", "type", "steps", "constant", "parallel", "lru",
)  # fmt: skip

Change = Callable[[str, Any], str]


def _pieces(text: str, draw: Any) -> tuple[list[str], int]:
    pieces = draw(st.sampled_from([list, str.splitlines, TOKENS.findall]))
    parts = pieces(text, True) if pieces is str.splitlines else pieces(text)
    return parts, draw(st.integers(0, max(0, len(parts) - 1)))


def replaced(text: str, draw: Any) -> str:
    """Something odd for a character, line or token."""
    parts, at = _pieces(text, draw)
    return "".join([*parts[:at], draw(st.sampled_from(ODD)), *parts[at + 1 :]])


def inserted(text: str, draw: Any) -> str:
    parts, at = _pieces(text, draw)
    odd = draw(st.sampled_from(ODD) | st.text(max_size=5))
    return "".join([*parts[:at], odd, *parts[at:]])


def removed(text: str, draw: Any) -> str:
    parts, at = _pieces(text, draw)
    return "".join([*parts[:at], *parts[at + draw(st.integers(1, 3)) :]])


def repeated(text: str, draw: Any) -> str:
    parts, at = _pieces(text, draw)
    return "".join([*parts[: at + 1], *parts[at:]])


def swapped(text: str, draw: Any) -> str:
    parts, at = _pieces(text, draw)
    other = draw(st.integers(0, max(0, len(parts) - 1)))
    if parts:
        parts[at], parts[other] = parts[other], parts[at]
    return "".join(parts)


def number_changed(text: str, draw: Any) -> str:
    spots = list(re.finditer(r"\d+(\.\d+)?", text))
    if not spots:
        return text
    spot = draw(st.sampled_from(spots))
    numbers = st.floats().map(repr) | st.integers().map(str) | st.sampled_from(ODD)
    return text[: spot.start()] + draw(numbers) + text[spot.end() :]


def key_changed(text: str, draw: Any) -> str:
    """One letter of a word doubled: a misspelling."""
    spots = list(re.finditer(r"[a-z_]{2,}", text))
    if not spots:
        return text
    spot = draw(st.sampled_from(spots))
    return text[: spot.start() + 1] + spot[0] + text[spot.end() :]


def indented(text: str, draw: Any) -> str:
    lines = text.splitlines(True)
    if not lines:
        return text
    at = draw(st.integers(0, len(lines) - 1))
    spaces = draw(st.integers(0, 12))
    return "".join([*lines[:at], " " * spaces + lines[at].lstrip(), *lines[at + 1 :]])


def cut(text: str, draw: Any) -> str:
    return text[: draw(st.integers(0, len(text)))]


CHANGES: tuple[Change, ...] = (
    replaced, inserted, removed, repeated, swapped, number_changed, key_changed, indented, cut,
)  # fmt: skip


@st.composite
def damaged(draw: st.DrawFn) -> str:
    text = draw(st.sampled_from(TEXTS))
    for change in draw(st.lists(st.sampled_from(CHANGES), min_size=1, max_size=4)):
        text = change(text, draw)
    return text


def problems_of(work: Callable[[], Any]) -> Sequence[Problem]:
    """Return why a text is refused; nothing if it is not."""
    try:
        work()
    except (InvalidModel, InvalidInput) as error:
        return error.problems
    return ()


def read_or_refused(text: str) -> None:
    """Read `text`; whatever is refused has a place, and what is read can be written."""
    problems = problems_of(lambda: io.parse_model(text, "m.yaml"))
    assert all(each.place.startswith("m.yaml") and each.message for each in problems)
    assert sum(len(str(each)) for each in problems) < 100_000
    if not problems:
        model = io.parse_model(text)
        assert io.parse_model(io.model_text(model)) == model


@pytest.mark.parametrize("text", TEXTS)
def test_the_undamaged_are_read(text: str) -> None:
    io.parse_model(text)


@settings(max_examples=1000, deadline=timedelta(seconds=5))
@given(damaged())
def test_damaged_texts(text: str) -> None:
    read_or_refused(text)


def _spots(tree: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = tree.items() if isinstance(tree, dict) else enumerate(tree)
    below = [((*path, key), each) for key, each in items]
    deeper = [_spots(each, at) for at, each in below if isinstance(each, (dict, list))]
    return [at for at, _ in below] + [spot for spots in deeper for spot in spots]


TREES = [json.loads(io.model_text(io.parse_model(text), as_json=True)) for text in TEXTS]
SCALARS = st.sampled_from([*ODD, None, True, -1, 0, 1e308, 10**30]) | st.integers() | st.floats()
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "mean", "to", "web", "lognormal"]), inner)
    ),
    max_leaves=5,
)


@settings(max_examples=500, deadline=timedelta(seconds=5))
@given(st.sampled_from(TREES), st.data())
def test_damaged_trees(tree: Any, data: st.DataObject) -> None:
    """Well-formed text with something else in one or two places of the tree."""
    tree = json.loads(json.dumps(tree))
    for _ in range(data.draw(st.integers(1, 2))):
        path = data.draw(st.sampled_from(_spots(tree)))
        place = tree
        for part in path[:-1]:
            place = place[part]
        other = data.draw(
            ANYTHING | st.sampled_from(_spots(tree)).map(lambda spot: _at(tree, spot))
        )
        place[path[-1]] = json.loads(json.dumps(other))
    read_or_refused(json.dumps(tree))


def _at(tree: Any, path: tuple[Any, ...]) -> Any:
    for part in path:
        tree = tree[part]
    return tree


@settings(max_examples=100, deadline=timedelta(seconds=5))
@given(st.sampled_from(TEXTS), st.binary(max_size=4), st.integers(0, 2000))
def test_damaged_files(tmp_path_factory: Any, text: str, junk: bytes, at: int) -> None:
    """Bytes that may be no UTF-8, through a file."""
    path: Path = tmp_path_factory.getbasetemp() / "damaged.yaml"
    data = text.encode()
    path.write_bytes(data[:at] + junk + data[at:])
    problems = problems_of(lambda: io.read_model(path))
    assert all(each.place.startswith(str(path)) for each in problems)
