"""Tables of requests in each minute: what is read, what is refused, and the traffic shipped."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from scalesim.errors import InvalidInput
from scalesim.io import parse_traffic, read_traffic, traffic_text
from scalesim.io.per_minute import CsvTraffic, traffic_from_csv

DAY = "minute,requests\n" + "".join(f"{minute},{minute % 7}\n" for minute in range(1440))


@pytest.fixture
def read(tmp_path: Path):
    def of(text: str | bytes, **options: object) -> CsvTraffic:
        table = tmp_path / "minutes.csv"
        table.write_bytes(text if isinstance(text, bytes) else text.encode())
        return traffic_from_csv(table, **options)  # type: ignore[arg-type]

    return of


def test_day(read) -> None:
    got = read(DAY, strict=True)
    rate = got.traffic.rate
    assert rate.rates[:8] == (0.0, 1 / 60, 2 / 60, 3 / 60, 4 / 60, 5 / 60, 6 / 60, 0.0)
    assert (rate.bucket, rate.repeat, rate.period) == (60.0, True, 86_400.0)
    assert (got.minutes, got.requests, got.notes) == (1440, sum(m % 7 for m in range(1440)), ())


@pytest.mark.parametrize(
    "text",
    [
        "minute,requests\n0,6\n1,12\n",
        "0,6\n1,12",
        "\ufeffMinute;Requests\r\n0;6\r\n1;12\r\n",
        "minute\trequests\n0\t6\n1\t12\n",
        "requests,host,minute\n12,a,1\n6,a,0\n",
        '\n"minute","requests"\n\n "0" , 6.0\n1,1.2e1\n,\n',
    ],
)
def test_ways_to_write_it(read, text: str) -> None:
    got = read(text)
    assert got.traffic.rate.rates == (0.1, 0.2)
    assert "2 minutes, not the 1,440 of a day" in got.notes[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "this table is empty"),
        ("\n \n", "this table is empty"),
        ("minute,requests\n", "header and no minutes"),
        ("time,hits\n0,1\n", r':1: the columns are "time, hits"; needed are minute, requests'),
        ("minute,minute\n0,1\n", "needed are"),
        ("minute,requests\n0,1\n1,-2\n", r':3: requests: got "-2"'),
        ("minute,requests\n0,1\n1,many\n", r':3: requests: got "many"'),
        ("minute,requests\n0,1\n1,nan\n", r'got "nan"'),
        ("minute,requests\n0,1\n1,1e99\n", r'got "1e99"'),
        ("minute,requests\n0,1\n1,\n", r'got ""'),
        ("minute,requests\n0,1\n1.5,1\n", r':3: minute: got "1.5"'),
        ("minute,requests\n0,1\n-1,1\n", r'minute: got "-1"'),
        ("minute,requests\n0,1\n99999999,1\n", "minute: got"),
        ("minute,requests\n0,1\n1,2\n1,3\n", ":4: minute 1 was on line 3 already"),
        ("minute,requests\n0,1\n1\n", ':3: got "1", allowed are 2 columns'),
        ("minute,requests\n0,1\n1,2,3\n", "allowed are 2 columns"),
        ("minute,requests\n0,0\n1,0\n", "no minute has a request"),
        ("minute,requests\n0,1\n5,1\n", ":3: minutes 1 to 4 missing before minute 5"),
        ("minute,requests\n0,1\n2,1\n", ":3: minute 1 missing"),
        ("minute,requests\n1,1\n2,1\n", "minute 0 missing before minute 1; minutes count from 0"),
        (b"minute,requests\n0,\xff\n", "not UTF-8"),
        (b"\0\1\2", "binary"),
    ],
)
def test_refused(read, tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message) as caught:
        read(text)
    assert str(caught.value).startswith(f"{tmp_path}/minutes.csv")


def test_all_problems_together(read) -> None:
    with pytest.raises(InvalidInput) as caught:
        read("0,1\n1,x\n2,-1\n2,5\n")
    assert [problem.place.rsplit(":", 1)[1] for problem in caught.value.problems] == ["2", "3", "4"]
    with pytest.raises(InvalidInput, match="and 20 more"):
        read("".join(f"{n},x\n" for n in range(30)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("minute,requests\n0,1\n1,1\n", "ends with minute 1"),
        (DAY.replace("\n5,5\n", "\n5,5.5\n"), "a whole number"),
        (DAY.replace("\n5,5\n6,6\n", "\n6,6\n5,5\n"), "got 6 where 5 is expected"),
        (DAY + "1440,1\n", "allowed is 0 to 1439"),
    ],
)
def test_strict(read, text: str, message: str) -> None:
    read(text)
    with pytest.raises(InvalidInput, match=message):
        read(text, strict=True)


def test_missing_minutes_as_zero(read) -> None:
    got = read("minute,requests\n2,60\n5,60\n", missing="zero")
    assert got.traffic.rate.rates == (0.0, 0.0, 1.0, 0.0, 0.0, 1.0)
    assert "4 minutes are not in the table: counted as 0 requests" in got.notes
    with pytest.raises(InvalidInput, match="Known: error, zero"):
        read(DAY, missing="none")


def test_no_file(tmp_path: Path) -> None:
    for path, message in ((tmp_path, "folder"), (tmp_path / "none.csv", "no such table")):
        with pytest.raises(InvalidInput, match=message):
            traffic_from_csv(path)


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=60).filter(any))
def test_tables_read_back(tmp_path_factory: pytest.TempPathFactory, counts: list[int]) -> None:
    table = tmp_path_factory.getbasetemp() / "generated.csv"
    table.write_text("minute,requests\n" + "".join(f"{m},{n}\n" for m, n in enumerate(counts)))
    got = traffic_from_csv(table)
    assert got.requests == sum(counts)
    assert got.traffic.rate.rates == tuple(count / 60 for count in counts)
    assert parse_traffic(traffic_text(got.traffic)) == got.traffic


@pytest.mark.parametrize(
    ("name", "requests"), [("epa_1995_08_30", 47_742), ("sdsc_1995_08_22", 28_338)]
)
def test_shipped_traffic_is_what_its_table_gives(repo_root: Path, name: str, requests: int) -> None:
    folder = repo_root / "models/traffic"
    made = traffic_from_csv(folder / f"{name}.csv", strict=True)
    assert made.requests == requests
    assert read_traffic(folder / f"{name}.yaml") == made.traffic
    shared = repo_root.parent / f"shared/samples/requests_per_minute_{name}.csv"
    if shared.exists():
        assert shared.read_bytes() == (folder / f"{name}.csv").read_bytes()
