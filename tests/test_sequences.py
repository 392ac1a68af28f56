"""Fields that hold many values take any sequence, and keep a tuple of Python's own numbers."""

from __future__ import annotations

import array
import dataclasses
import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest

import scalesim as ss
from scalesim import components, distributions, traffic
from scalesim.components.steps import STEPS
from scalesim.distributions.base import FAMILY
from scalesim.errors import InvalidModel
from scalesim.fields import Description, ListOf, Number, params
from scalesim.traffic.growth import GROWTH, FactorTable
from scalesim.traffic.popularity import POPULARITY, Measured
from scalesim.traffic.processes import ARRIVALS, Bursts

WAYS = {
    "list": list,
    "tuple": tuple,
    "deque": deque,
    "array of the standard library": lambda x: array.array("d", x),
    "float array": lambda x: np.array(x, float),
    "float32 array": lambda x: np.array(x, np.float32),
    "int array": lambda x: np.array(x, np.int64),
    "object array": lambda x: np.array(x, object),
    "NumPy scalars": lambda x: list(np.array(x, np.int32)),
    "read-only view": lambda x: np.broadcast_to(np.array(x), (len(x),)),
    "Series": lambda x: pd.Series(x, index=[f"row {i}" for i in x]),
    "nullable Series": lambda x: pd.Series(x, dtype="Int64"),
    "index": pd.Index,
    "range": lambda x: range(x[0], x[-1] + 1),
}
VALUES = (1, 2, 3)


def classes() -> Iterator[type[Description]]:
    families = (components.COMPONENTS, STEPS, traffic.TRAFFIC, FAMILY, GROWTH, POPULARITY, ARRIVALS)
    for family in families:
        yield from family.members.values()
    yield from (ss.RateProfile, ss.Retry, ss.Endpoint)


FIELDS = {
    f"{cls.__name__}.{name}": declared.kind
    for cls in classes()
    for name, declared in params(cls).items()
    if isinstance(declared.kind, ListOf) and isinstance(declared.kind.item, Number)
}


def test_the_fields_are_found() -> None:
    expected = {"ReplayTraffic.at", "RateProfile.rates", "Recorded.values", "Empirical.quantiles",
                "FactorTable.factors", "Measured.counts", "Service.core_speeds"}  # fmt: skip
    assert expected <= set(FIELDS)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("field", FIELDS)
def test_every_field_of_numbers_takes_every_sequence(field: str, way: str) -> None:
    kept = FIELDS[field].normalize(WAYS[way](VALUES))
    assert kept == VALUES
    assert type(kept) is tuple
    assert {type(each) for each in kept} <= {int, float}


@pytest.mark.parametrize("way", WAYS)
def test_descriptions_made_of_any_sequence_are_equal(way: str) -> None:
    def made(give: Any) -> tuple[Description, ...]:
        return (
            ss.ReplayTraffic(give(VALUES)),
            ss.RateProfile(give(VALUES), bucket=60.0),
            distributions.Recorded(give(VALUES)),
            distributions.Empirical(give(VALUES)),
            ss.Exponential(1.0),
            Measured(give(VALUES)),
            FactorTable(give(VALUES)),
            ss.Retry(4, backoff=give(VALUES)),
            ss.Service("web", cores=3, core_speeds=give(VALUES), endpoints={"get": []}),
            ss.LoadBalancer("edge", targets="web", weights={"web": give(VALUES)}),
        )

    for given, plain in zip(made(WAYS[way]), made(tuple), strict=True):
        assert given == plain
        assert hash(given) == hash(plain)
        assert repr(given).count("np.") == repr(given).count("array") == 0


def test_lists_within_lists_and_names_and_steps() -> None:
    jumps = np.array([[0.0, 2.0], [1.0, 0.0]])
    modulated = Bursts(rates=np.array([1, 5]), switch_rates=jumps)
    assert modulated.switch_rates == ((0.0, 2.0), (1.0, 0.0))
    replayed = ss.ReplayTraffic(
        np.arange(2.0), endpoint=pd.Series(["get", "buy"]), key=np.array([7, 8], np.uint8)
    )
    assert (replayed.endpoint, replayed.key) == (("get", "buy"), (7, 8))
    assert ss.ReplayTraffic([1.0], endpoint=np.array(["get"])).endpoint == ("get",)
    assert ss.LoadBalancer("edge", targets=np.array(["a", "b"])).targets == ("a", "b")
    assert ss.Endpoint(deque([ss.compute(1.0)])).steps == (ss.compute(1.0),)


def test_single_values_of_numpy_are_kept_as_python_s() -> None:
    server = ss.Service(
        "web", workers=np.int64(4), memory=np.float32(2.0), endpoints={"get": [ss.compute(0.1)]}
    )
    assert (type(server.workers), type(server.memory)) == (int, float)
    assert type(ss.Traffic(np.float64(5.0)).rate) is float
    assert ss.compute(np.int32(1)) == ss.compute(1.0)
    assert ss.Exponential(np.array(0.5)) == ss.Exponential(0.5)


@pytest.mark.parametrize(
    ("at", "message"),
    [
        (np.array([0.0, np.nan]), "at.1: got nan, allowed is a number of s at least 0"),
        (np.array([0.0, 1.0, -1.0]), "at.2: got -1 s, allowed is a number of s at least 0"),
        (pd.Series([0, None], dtype="Int64"), "at.1: got <NA>, allowed is a number of s"),
        (pd.Series(["0.5"]), 'at.0: got "0.5", allowed is a number of s'),
        (np.array([True]), "at.0: got True, allowed is a number of s"),
        (np.array([1j]), "at.0: got 1j, allowed is a number of s"),
        (np.zeros((2, 2)), "at.0: got [0.0, 0.0], allowed is a number of s"),
        (np.array(["2020-01-01"], "M8[ns]"), "at.0: got np.datetime64('2020-01-01"),
        (pd.Series(pd.to_timedelta([1], unit="s")), "at.0: got Timedelta("),
        ("123", 'at: got "123", allowed is a list'),
        (b"123", "at: got b'123', allowed is a list"),
        ({1.0, 2.0}, "at: got {1.0, 2.0}, allowed is a list"),
        ({1.0: 2.0}, "at: got {1.0: 2.0}, allowed is a list"),
        (iter([1.0]), "at: got <list_iterator"),
        (pd.DataFrame({"at": [1.0]}), "at: got"),
        (np.array(1.0), "at: got array(1.), allowed is a list"),
        (np.array([]), "at: got an empty list, at least one item is needed"),
        (range(3, 0, -1), "at: times go back after arrival 1; sort them"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(at: Any, message: str) -> None:
    with pytest.raises(InvalidModel) as error:
        ss.ReplayTraffic(at).require_valid()
    assert f"traffic.{message}" in str(error.value)


def test_a_row_of_a_matrix_is_named_by_both_its_numbers() -> None:
    bad = Bursts(rates=(1, 2), switch_rates=np.array([[0.0, 1.0], [-1.0, 0.0]]))
    assert [each.path for each in bad.check()] == [("switch_rates", 1, 0)]


def test_a_caller_s_array_is_not_kept() -> None:
    times = np.arange(3.0)
    replayed = ss.ReplayTraffic(times)
    times[:] = 9.0
    assert replayed.at == (0.0, 1.0, 2.0)
    assert dataclasses.replace(replayed, at=times).at == (9.0, 9.0, 9.0)


def test_a_description_loads_no_numpy() -> None:
    code = (
        "import sys, scalesim.fields as f; f.ListOf(f.Number()).normalize(range(3)); "
        "sys.exit('numpy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
