"""Model and traffic files: exact round trip, one clear message with a place for each mistake."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import helpers_descriptions as some
import pytest
import yaml
from hypothesis import given, settings

from scalesim import io
from scalesim.components import COMPONENTS
from scalesim.components.steps import STEPS
from scalesim.distributions import Distribution
from scalesim.errors import InvalidInput, InvalidModel
from scalesim.fields import OneOf
from scalesim.io import Model, atomic, model_writing as module, yaml_nodes
from scalesim.policies.eviction import EVICTION
from scalesim.policies.load_balancing import BALANCING
from scalesim.policies.sharding import SHARDING
from scalesim.traffic import TRAFFIC
from scalesim.traffic.growth import GROWTH, growth_kind
from scalesim.traffic.popularity import POPULARITY

SHOP = """\
scalesim: 1
topology:
  entry: edge
  components:
    edge: {type: load_balancer, targets: web, policy: least_connections}
    web:
      type: service
      instances: 4
      endpoints:
        browse: [{compute: {lognormal: {mean: 4 ms, cv: 1.2}}}, {call: sessions.get}]
        order:
          - compute: 9 ms
          - call: {to: orders.write, timeout: 500 ms, retry: {attempts: 3, backoff: 50 ms}}
          - publish: emails
    sessions: {type: cache, capacity: 50000, ttl: 10 min, origin: orders.read}
    orders: {type: database, connections: 40, read: 3 ms, write: {exponential: 8 ms}}
    emails: {type: message_queue, handler: [{sleep: 50 ms}], consumers: 4}
traffic:
  open: {rate: 800/s, mix: {browse: 0.9, order: 0.1}, keys: {zipf: {count: 1000, exponent: 0.9}}}
growth: 15%/month
objective: {latency: 300 ms, error_ratio: 0.1%}
"""

# --- round trip ---


def members_of_all_families() -> list[Any]:
    families = (COMPONENTS, STEPS, Distribution.family, EVICTION, BALANCING, SHARDING, TRAFFIC,
                GROWTH, POPULARITY)  # fmt: skip
    return [
        pytest.param(family, cls, id=f"{family.what}: {name}")
        for family in families
        for name, cls in family.members.items()
    ]


@pytest.mark.parametrize(("family", "cls"), members_of_all_families())
def test_every_description_survives_text(family: Any, cls: Any) -> None:
    """Each class alone, through YAML and JSON text, with all its fields drawn."""
    kind = growth_kind() if family is GROWTH else OneOf(family)

    @settings(max_examples=25)
    @given(some.descriptions(cls))
    def check(value: Any) -> None:
        if family is COMPONENTS:
            content = {"type": cls.type_name, **value.encode_fields(skip=("name",))}
        else:
            content = kind.encode(value)
        for as_json in (False, True):
            text = module._text({"it": content}, as_json)
            plain = yaml_nodes.parse(text, "x.json").root.plain()["it"]
            if family is COMPONENTS:
                del plain["type"]
                assert cls(name=value.name, **cls.decode_fields(plain, skip=("name",))) == value
            else:
                assert kind.decode(plain) == value

    check()


@settings(max_examples=40)
@given(some.models())
def test_models_survive_text(model: Model) -> None:
    for as_json in (False, True):
        text = io.model_text(model, as_json=as_json)
        assert io.parse_model(text) == model


@settings(max_examples=50)
@given(some.members(TRAFFIC.members))
def test_traffic_survives_text(traffic: Any) -> None:
    assert io.parse_traffic(io.traffic_text(traffic)) == traffic


@pytest.mark.parametrize("name", ["shop.yaml", "shop.yml", "shop.json"])
def test_models_survive_files(tmp_path: Path, name: str) -> None:
    model = io.parse_model(SHOP)
    io.write_model(model, tmp_path / name)
    again = io.read_model(tmp_path / name)
    assert again == model
    assert again.source == str(tmp_path / name)
    assert (tmp_path / name).read_text().startswith("{" if name.endswith("json") else "scalesim: 1")


def test_a_topology_alone_and_overrides(tmp_path: Path) -> None:
    model = io.parse_model(SHOP)
    io.write_model(model.topology, tmp_path / "a.yaml", growth=model.growth)
    assert io.read_model(tmp_path / "a.yaml") == Model(model.topology, growth=model.growth)


def test_traffic_files(tmp_path: Path) -> None:
    traffic = io.parse_model(SHOP).traffic
    assert traffic is not None
    io.write_traffic(traffic, tmp_path / "t.yaml")
    assert io.read_traffic(tmp_path / "t.yaml") == traffic
    with pytest.raises(InvalidModel, match="topology is missing; this is a traffic file"):
        io.read_model(tmp_path / "t.yaml")
    with pytest.raises(InvalidModel, match='unknown key "topology" of a model file'):
        io.parse_traffic(SHOP)


def test_the_text_is_pleasant() -> None:
    text = io.model_text(io.parse_model(SHOP))
    assert "    edge: {type: load_balancer, targets: web, policy: least_connections}\n" in text
    assert "        order:\n          - compute: 9 ms\n          - call:\n" in text
    assert "growth: 15%/month\n" in text
    assert yaml.safe_load(text) == yaml.safe_load(io.model_text(io.parse_model(SHOP), as_json=True))


def test_invalid_descriptions_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(InvalidModel, match=r"traffic\.rate: got -1/s"):
        io.write_traffic(some.t.Traffic(rate=-1), tmp_path / "t.yaml")
    assert list(tmp_path.iterdir()) == []


def test_words_of_yaml_1_1_stay_text() -> None:
    text = "[on, yes, 1:30, 2020-01-01, .inf, .nan, 1_000, 0x1F, True, 'true', '1', <<, =]"
    assert yaml_nodes.parse(text, "").root.plain() == [
        "on", "yes", "1:30", "2020-01-01", ".inf", ".nan", "1_000", "0x1F", "True", "true", "1",
        "<<", "=",
    ]  # fmt: skip
    text = "[null, ~, true, false, 12, -3, 1.5, .5, 1e3, 1E-3]"
    expected = [None, None, True, False, 12, -3, 1.5, 0.5, 1e3, 1e-3]
    assert yaml_nodes.parse(text, "").root.plain() == expected


@pytest.mark.parametrize("loader", [yaml_nodes._LOADER, yaml.SafeLoader])
def test_json_as_others_write_it(monkeypatch: pytest.MonkeyPatch, loader: Any) -> None:
    """With either parser of PyYAML: tabs, escapes, no space after a colon."""
    monkeypatch.setattr(yaml_nodes, "_LOADER", loader)
    text = '{\n\t"a":"\\u00b5s \\/ \\n",\n\t"b":[1,2.5e3,-1E2,true,null,""]\n}\n'
    plain = yaml_nodes.parse(text, "x.json").root.plain()
    assert plain == {"a": "µs / \n", "b": [1, 2500.0, -100.0, True, None, ""]}


# --- mistakes in models ---


def problems_of(text: str) -> list[tuple[str, str]]:
    """Return (line:column, rest of the message) of each problem."""
    with pytest.raises((InvalidModel, InvalidInput)) as caught:
        io.parse_model(text, "m.yaml")
    found = []
    for problem in caught.value.problems:
        place = problem.place.removeprefix("m.yaml").removeprefix(":")
        found.append((place, str(problem).removeprefix(problem.place + ": ")))
    return found


MISTAKES = {
    "unknown key": ("growth: 15", "growht: 15", ["20:1", "growht", 'Did you mean "growth"']),
    "unknown field": ("instances: 4", "instnces: 4", ["8:7", 'service "web"', '"instances"']),
    "misspelt policy": ("least_con", "least_kon", ["5:47", "least_kon", '"least_connections"']),
    "misspelt type": ("type: database", "type: databse", ["16:14", "databse", '"database"']),
    "no type": ("type: database, ", "", ["16:5", "type is missing", "database"]),
    "misspelt step": ("- publish:", "- pubish:", ["14:13", 'pubish" is not a step', '"publish"']),
    "misspelt law": ("lognormal", "lognormel", ["10:29", "lognormel", '"lognormal"']),
    "missing component": ("orders.write", "ordrs.write", ["13:20", "ordrs", '"orders"']),
    "missing endpoint": ("orders.write", "orders.wrte", ["13:20", "wrte", '"write"']),
    "missing entry": ("entry: edge", "entry: egde", ["3:3", "egde", '"edge"']),
    "no entry": ("  entry: edge\n", "", ["2:1", "entry is missing"]),
    "not a queue": ("publish: emails", "publish: orders", ["14:13", "not a message_queue"]),
    "zero instances": ("instances: 4", "instances: 0", ["8:7", "got 0", "from 1 to"]),
    "negative": ("connections: 40", "connections: -4", ["16:30", "got -4"]),
    "negative time": ("compute: 9 ms", "compute: -9 ms", ["12:13", "0.compute: got -9 ms"]),
    "negative call": ("500 ms, retry", "-1 s, retry", ["13:38", "order.1.call.timeout: got -1 s"]),
    "empty entry": ("entry: edge", "entry:", ["3:3", "entry: got nothing, allowed is the name"]),
    "nan": ("cv: 1.2", "cv: .nan", ["10:53", ".nan", "a number above 0"]),
    "nan time": ("mean: 4 ms", "mean: nan ms", ["10:41", "got nan"]),
    "inf": ("cv: 1.2", "cv: 1e999", ["10:53", "got inf"]),
    "inf time": ("500 ms", "inf ms", ["13:38", "got inf"]),
    "huge": ("connections: 40", f"connections: {'9' * 200}", ["16:30", "got 999", "from 1 to"]),
    "wrong unit": ("500 ms", "500 MB", ["13:38", '"500 MB" is not a time', "size in bytes"]),
    "no unit": ("500 ms", "500", ["13:38", "500 has no unit", "500 ms"]),
    "quoted, no unit": ("500 ms", '"500"', ["13:38", '"500" has no unit', "ms"]),
    "no unit of rate": ("800/s", "800", ["19:10", "traffic.open.rate", "800/s"]),
    "growth overflows": ("15%", "1e400%", ["20:1", "growth", "got inf"]),
    "growth, no unit": ("15%/month", "0.15", ["20:1", "no unit", "15%/month"]),
    "objective": ("latency: 300 ms", "latancy: 300 ms", ["21:13", '"latency"']),
    "objective of nothing": ("latency: 300 ms, error_ratio: 0.1%", "quantile: 0.9",
                             ["21:1", "neither latency nor error_ratio"]),
    "duplicate name": ("sessions: {", "web: {", ["15:5", '"web" is given twice', "line 6"]),
    "duplicate key": ("instances: 4", "instances: 4\n      instances: 5",
                      ["9:7", '"instances" is given twice', "line 8"]),
    "mix": ("order: 0.1}", "oder: 0.1}", ["19:42", 'no endpoint "oder"', '"order"']),
    "mix is short": (", order: 0.1}", "}", ["19:23", '"order"', "not in the mix"]),
    "keys needed": (", keys: {zipf: {count: 1000, exponent: 0.9}}", "", ["18:1", "real keys"]),
    "version": ("scalesim: 1", "scalesim: 2", ["1:1", "format version 2", "reads 1"]),
    "no version": ("scalesim: 1\n", "", ["1:1", "scalesim is missing", "scalesim: 1"]),
    "no topology": ("topology:", "toplogy:", ["1:1", "topology is missing"]),
    "no components": ("components:", "componets:", ["2:1", "components is missing"]),
    "a list": ("    orders: {type: database, ", "    orders: [", ["16:5", "got a list"]),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes(name: str) -> None:
    old, new, words = MISTAKES[name]
    assert SHOP.count(old) == 1, f"{old!r} must stand once in the text"
    text = SHOP.replace(old, new)
    if name == "a list":
        text = text.replace("{exponential: 8 ms}}", "{exponential: 8 ms}]")
    found = problems_of(text)
    place, *essential = words
    assert any(
        at == place and all(word in message for word in essential) for at, message in found
    ), found


@pytest.mark.parametrize(
    "name",
    sorted(set(MISTAKES) - {"no topology", "no components", "duplicate name", "mix",
                                   "objective"}),
)  # fmt: skip
def test_a_mistake_gives_one_message(name: str) -> None:
    """Nothing misleading follows: a component that can't be read still counts as there."""
    old, new, _ = MISTAKES[name]
    text = SHOP.replace(old, new)
    if name == "a list":
        text = text.replace("{exponential: 8 ms}}", "{exponential: 8 ms}]")
    assert len(problems_of(text)) == 1


def test_an_endpoint_never_called() -> None:
    text = """\
scalesim: 1
topology:
  entry: web
  components:
    web: {type: service, endpoints: {browse: [{call: back.a}]}}
    back:
      type: service
      endpoints:
        a: [{compute: 1 ms}]
        b: [{compute: 1 ms}]
    lost: {type: database, connections: 1, read: 1 ms}
"""
    (first, message), (second, nobody) = problems_of(text)
    assert first == "10:9"
    assert 'service "back": endpoints.b: the endpoint is never called' in message
    assert second == "11:5"
    assert 'database "lost": nothing reaches it' in nobody


def test_a_call_cycle() -> None:
    text = """\
scalesim: 1
topology:
  entry: a
  components:
    a: {type: service, endpoints: {x: [{call: b.y}]}}
    b: {type: service, endpoints: {y: [{parallel: [[{call: c}], [{sleep: 1 s}]]}]}}
    c: {type: load_balancer, targets: a}
"""
    ((place, message),) = problems_of(text)
    assert place in ("5:5", "6:5", "7:5")
    assert "calls go round in a circle" in message
    assert all(f"{name} ->" in message for name in ("a.x", "b.y", "c.x"))


def test_all_problems_together_in_the_order_of_the_file() -> None:
    text = SHOP
    for old, new in (
        ("least_con", "least_kon"), ("instances: 4", "instnces: 4\n      workers: 0"),
        ("cv: 1.2", "cv: -1"), ("500 ms", "500 MB"), ("orders.read", "ordrs.read"),
        ("connections: 40", "connections: 0"), ("800/s", "800"), ("15%", "x%"),
    ):  # fmt: skip
        text = text.replace(old, new)
    found = problems_of(text)
    assert [int(place.split(":")[0]) for place, _ in found] == [5, 8, 9, 11, 14, 16, 17, 20, 21]


def test_many_problems_are_cut() -> None:
    found = problems_of(SHOP + "".join(f"x{i}: 1\n" for i in range(200)))
    assert len(found) == yaml_nodes.MAX_PROBLEMS + 1
    assert "and 150 more" in found[-1][1]


def test_balancers_over_an_unread_component_are_not_blamed() -> None:
    text = SHOP.replace("instances: 4", "instances: four").replace("entry: edge", "entry: front")
    front = "components:\n    front: {type: load_balancer, targets: edge}"
    ((place, message),) = problems_of(text.replace("components:", front))
    assert place == "9:7"
    assert "four" in message


REFERENCES = """\
scalesim: 1
topology:
  entry: edge
  components:
    edge: {type: load_balancer, targets: web, policy: lest_connections}
    web: {type: service, wrkers: 32, endpoints: {browse: [{compute: 4 MB}, {call: db.raed}]}}
    db: {type: database, connections: 20, read: {exponential: 500 MB}}
    sessions: {type: cahce, origin: db.read}
    limit: {type: rate_limiter, rate: 5/s, tagret: web}
    deep:
      type: service
      workers: many
      endpoints:
        all:
          - parallel: [[{sleep: 4}], [{cached: {cache: sessions, miss: [{call: dbb}]}}]]
          - publish: sessions
          - call: limit.browse
          - call: {to: web.brows, hedge: {copies: q}}
traffic: {open: {rate: -3/s, mix: {brwose: 1}}}
"""


def test_references_are_checked_though_fields_are_wrong() -> None:
    """What they refer to may be unread itself; only what is known to be wrong is."""
    words = [message for _, message in problems_of(REFERENCES)]
    dangling = [each for each in words if "has no endpoint" in each or "there is no" in each]
    assert len(words) == len(dangling) + 11
    for each, (what, meant) in zip(dangling, [
        ('"raed"', '"read"'), ('"dbb"', '"db"'), ('"brows"', '"browse"'), ('"brwose"', '"browse"'),
    ], strict=True):  # fmt: skip
        assert what in each
        assert f"Did you mean {meant}?" in each


# --- texts that are no model at all ---

BOMB = "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n"


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("", "", "the file is empty"),
        ("# nothing\n", "", "the file is empty"),
        ("---\n...\n", "", "the file is empty"),
        ("null", "", "the file is empty"),
        ("- a\n- b\n", "1:1", "got a list, expected a mapping with scalesim, topology"),
        ("hello", "1:1", 'got "hello", expected a mapping'),
        ("{}", "1:1", "scalesim is missing"),
        ("a: 1\n---\nb: 2\n", "2:1", "a second document"),
        ("a: b: c\n", "1:5", "unexpected ':'"),
        ("a: 1\n\tb: 2\n", "2:1", "a tab"),
        ("a: [1, 2\nb: 3\n", "2:2", "not closed, or lacks a comma"),
        ('a: "x\n', "2:1", "quotation mark is not closed"),
        ("a:\n  b: 1\n c: 2\n", "3:2", "indentation fits no line above"),
        ("a: @x\n", "1:4", "put the text in quotes"),
        ("? [a]\n: 1\n", "1:3", "a key must be plain text"),
        ("a: \x07\n", "1:4", "U+0007"),
        ("a: \ud800\n", "1:4", "U+D800"),
        (BOMB, "1:4", 'anchor "&a"'),
        (BOMB, "1:4", "not allowed here), and 5 more"),
        ("a: !!python/object/apply:os.system [true]", "1:4", "no code is run"),
        ("a: !!str 5", "1:4", 'tag "tag:yaml.org,2002:str"'),
        ("a: !x {}", "1:4", 'tag "!x"'),
        ("[" * 60, "1:51", "nested more than 50 deep"),
        ("[" * 1_000_000, "1:1001", "nested more than 50 deep"),
        ("".join(" " * i + "a:\n" for i in range(60)), "51:51", "nested more than 50 deep"),
        ("[" + "1," * 300_000 + "]", "1:500000", "more than 250,000 values"),
        ("x" * 6_000_000, "", "more than 5 MB"),
    ],
)
def test_texts_that_are_refused(text: str, place: str, words: str) -> None:
    found = problems_of(text)
    assert any(at == place and words in message for at, message in found), found


def test_broken_json_is_called_json() -> None:
    with pytest.raises(InvalidInput, match=r"a\.json:1:2: not valid JSON: "):
        io.parse_model("{]", "a.json")


def test_no_code_runs(tmp_path: Path) -> None:
    witness = tmp_path / "ran"
    text = f"scalesim: !!python/object/apply:os.mkdir ['{witness}']\n"
    with pytest.raises(InvalidInput, match="tag"):
        io.parse_model(text)
    assert not witness.exists()


# --- files that can't be read or written ---


def refusal(path: Path) -> str:
    with pytest.raises(InvalidInput) as caught:
        io.read_model(path)
    (problem,) = caught.value.problems
    assert problem.place.startswith(str(path))
    return str(problem).removeprefix(str(path))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "model.yaml"
    path.write_text(SHOP)
    assert 'no such model file. Did you mean "model.yaml"?' in refusal(tmp_path / "modle.yaml")
    assert "no such model file" in refusal(tmp_path / "no" / "model.yaml")
    assert "this is a folder" in refusal(tmp_path)
    path.write_bytes(b"")
    assert refusal(path) == ": the file is empty"
    path.write_bytes(b"\x7fELF\0\0\1")
    assert "binary file (byte 0 at offset 4)" in refusal(path)
    path.write_bytes("scalesim: 1\n".encode("utf-16"))
    assert "UTF-16; save it as UTF-8" in refusal(path)
    path.write_bytes(b"scalesim: 1\n# caf\xe9\n")
    assert refusal(path) == ":2:6: byte 0xe9 at offset 17 is not UTF-8; save it as UTF-8"
    path.write_bytes(b"x: 1\n" * 2_000_000)
    assert refusal(path) == ": more than 5 MB, the limit for a model file"


def test_a_byte_order_mark_is_no_problem(tmp_path: Path) -> None:
    path = tmp_path / "model.yaml"
    path.write_bytes(SHOP.encode("utf-8-sig"))
    assert io.read_model(path) == io.parse_model(SHOP)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read and write everything")
def test_no_permission(tmp_path: Path) -> None:
    path = tmp_path / "model.yaml"
    path.write_text(SHOP)
    path.chmod(0)
    assert "no permission to read this model file" in refusal(path)
    with pytest.raises(InvalidInput, match="no permission to write here"):
        atomic.write_text(path, "x")
    tmp_path.chmod(0o500)
    with pytest.raises(InvalidInput, match="no permission to write here"):
        atomic.write_text(tmp_path / "new", "x")
    tmp_path.chmod(0o700)


def test_what_is_denied_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same for root, who is denied nothing."""

    def denied(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", denied)
    assert "no permission to read this model file" in refusal(tmp_path / "model.yaml")
    with pytest.raises(InvalidInput, match="no permission to write here"):
        atomic.write_text(tmp_path / "new", "x")


def test_files_are_written_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.yaml"
    atomic.write_text(path, "old µ")
    path.chmod(0o640)
    atomic.write_text(path, "new")
    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InvalidInput, match="can't be written: No space left on device"):
        atomic.write_bytes(path, b"half")
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    with pytest.raises(InvalidInput, match=r'no folder .*modles\. Did you mean "models"\?'):
        atomic.write_text(tmp_path / "modles" / "a.yaml", "x")
    with pytest.raises(InvalidInput, match="this is a folder"):
        atomic.write_text(tmp_path / "models", "x")
    with pytest.raises(InvalidInput, match="can't be written"):
        atomic.write_text(tmp_path / ("x" * 300), "x")


def test_links_are_followed(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    atomic.write_text(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"


def test_reading_files_is_light() -> None:
    code = (
        "import sys, scalesim.io; scalesim.io.parse_model(sys.stdin.read());"
        "print(sorted({'pandas','matplotlib','numba','scipy','simpy'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], input=SHOP, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
