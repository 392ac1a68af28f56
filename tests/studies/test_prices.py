"""The price book: what ships, what is looked up, what is refused."""

from __future__ import annotations

import csv
import dataclasses
import re
from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from scalesim.errors import InvalidInput, MissingPrice
from scalesim.studies.prices import PriceBook, _parse

HEADER = "provider,service,item,region,unit,price_usd,source,source_date"
FACTS = Path(__file__).resolve().parents[3] / "shared" / "facts"
BOOK = PriceBook.default()


def row(**cells: str) -> str:
    """Return a good line of a price book, with some cells changed."""
    good = ("acme", "vm", "m1", "north", "instance-hour", "0.5", "our contract", "2026-01-31")
    named = dict(zip(HEADER.split(","), good, strict=True)) | cells
    return ",".join(named.values())


def read(tmp_path: Path, *lines: str, default_region: str | None = None) -> PriceBook:
    path = tmp_path / "book.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return PriceBook.read(path, default_region=default_region)


def refusal(tmp_path: Path, *lines: str) -> str:
    with pytest.raises(InvalidInput) as caught:
        read(tmp_path, *lines)
    return str(caught.value).replace(str(tmp_path), "")


# --- what ships ---


def test_every_shipped_row_has_price_source_and_date() -> None:
    assert len(BOOK.prices) == 50
    assert BOOK.regions == ("eu-west-1", "us-east-1")
    for price in BOOK.prices:
        assert 0.001 < price.usd_per_hour < 10
        assert price.source
        assert re.fullmatch(r"20\d\d-\d\d-\d\d", price.source_date)


def test_no_price_ships_twice() -> None:
    keys = [(price.provider, price.item, price.region) for price in BOOK.prices]
    assert len(keys) == len(set(keys))


def test_price_grows_with_size() -> None:
    """The vendor's own rule, which is what confirms the rows of one source."""
    sizes = {"micro": 0.25, "small": 0.5, "medium": 1, "large": 2, "xlarge": 4, "2xlarge": 8}
    sizes["4xlarge"] = 16
    of_family = defaultdict(dict)
    for price in BOOK.prices:
        family, size = price.item.split(".")
        of_family[family, price.region][price.item] = price.usd_per_hour / sizes[size]
    for prices in of_family.values():
        assert max(prices.values()) / min(prices.values()) < 1.005, prices


@pytest.mark.skipif(not FACTS.exists(), reason="shared/ is not here")
def test_only_checked_facts_ship() -> None:
    with (FACTS / "prices.csv").open(encoding="utf-8", newline="") as file:
        checked = {
            (fact["provider"], fact["service"], fact["item"], fact["region"]): fact["price_usd"]
            for fact in csv.DictReader(file)
            if fact["check"] in ("agrees", "second source")
        }
    shipped = {
        (price.provider, price.service, price.item, price.region): price.usd_per_hour
        for price in BOOK.prices
    }
    assert shipped == {key: float(price) for key, price in checked.items()}


@pytest.mark.skipif(not FACTS.exists(), reason="shared/ is not here")
@pytest.mark.parametrize("name", ["prices.csv", "prices_libcloud_suspect.csv"])
def test_suspect_prices_are_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="an unverified price is not used"):
        PriceBook.read(FACTS / name)


def test_pandas_reads_the_shipped_file(repo_root: Path) -> None:
    import pandas as pd

    table = pd.read_csv(repo_root / "scalesim" / "data" / "prices.csv", comment="#")
    assert list(table["price_usd"]) == [price.usd_per_hour for price in BOOK.prices]


# --- looking up ---


def test_price_of_a_machine() -> None:
    price = BOOK.hourly("m7g.large", "eu-west-1")
    assert (price.usd_per_hour, price.provider, price.region) == (0.091, "aws", "eu-west-1")
    assert (price.service, price.source_date) == ("ec2-linux-ondemand", "2025-03-02")
    assert "libcloud" in price.source


def test_default_region_is_stated() -> None:
    price = BOOK.hourly("m7g.large")
    assert (price.usd_per_hour, price.region) == (0.0816, "us-east-1")


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (("m7g.larg", "us-east-1"), ['"m7g.larg" in us-east-1', 'Did you mean "m7g.large"?']),
        (("c7g.large",), ['"c7g.large" in us-east-1', "It has one in eu-west-1"]),
        (("m7g.large", "eu-wst-1"), ['no region "eu-wst-1"', 'mean "eu-west-1"?', "us-east-1"]),
        (("m7g.large", "us-east-1", "azur"), ['no provider "azur"', "Known: aws"]),
        (("zzz", "us-east-1"), ['"zzz"', "no price", "cost_per_hour"]),
    ],
)
def test_missing_price_names_what_is_near(asked: tuple[str, ...], words: list[str]) -> None:
    with pytest.raises(MissingPrice) as caught:
        BOOK.hourly(*asked)
    assert [word for word in words if word not in str(caught.value)] == [], str(caught.value)


def test_without_a_default_region_it_must_be_clear(tmp_path: Path) -> None:
    lines = (HEADER, row(), row(region="south", price_usd="0.6"), row(item="m2"))
    book = read(tmp_path, *lines)
    assert book.hourly("m2").region == "north"
    with pytest.raises(MissingPrice, match="north and south; say which region"):
        book.hourly("m1")
    assert read(tmp_path, *lines, default_region="south").hourly("m1").usd_per_hour == 0.6
    with pytest.raises(InvalidInput, match=r'no region "sout"\. Did you mean "south"'):
        read(tmp_path, *lines, default_region="sout")


def test_two_providers_must_be_told_apart(tmp_path: Path) -> None:
    book = read(tmp_path, HEADER, row(), row(provider="bell", price_usd="0.4"))
    with pytest.raises(MissingPrice, match="acme and bell have it in north; say which provider"):
        book.hourly("m1", "north")
    assert book.hourly("m1", "north", "bell").usd_per_hour == 0.4


def test_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        BOOK.name = "other"  # type: ignore[misc]
    assert hash(BOOK) == hash(PriceBook.default())


# --- files ---


def test_own_book(tmp_path: Path) -> None:
    """A byte-order mark, comments, blank lines, other columns and monthly prices are fine."""
    lines = ('\ufeff# ours, "2026"', "", f"{HEADER},team", f"{row(unit='instance-month')},a")
    (price,) = read(tmp_path, *lines).prices
    assert price.usd_per_hour == pytest.approx(0.5 / 730)


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ({"price_usd": "0"}, 'price_usd is "0"; a price is a number above 0'),
        ({"price_usd": "0.0"}, "above 0"),
        ({"price_usd": "-1"}, "above 0"),
        ({"price_usd": "nan"}, "above 0"),
        ({"price_usd": "inf"}, "above 0"),
        ({"price_usd": "$0.5"}, "above 0"),
        ({"price_usd": ""}, "price_usd is empty"),
        ({"unit": "instance-hours"}, 'Did you mean "instance-hour"?'),
        ({"unit": "GB"}, "Known: instance-hour, instance-month"),
        ({"source": ""}, "source is empty"),
        ({"source_date": "undated"}, "write the day of the price as 2025-03-02"),
        ({"source_date": "2026-02-30"}, "source_date"),
        ({"source_date": "20260228"}, "source_date"),
        ({"item": " "}, "item is empty"),
    ],
)
def test_bad_row(tmp_path: Path, cells: dict[str, str], words: str) -> None:
    text = refusal(tmp_path, "# a comment", HEADER, row(item="m0"), row(**cells))
    assert text.startswith("/book.csv:4: price of ")
    assert words in text


def test_duplicate_names_both_lines(tmp_path: Path) -> None:
    text = refusal(tmp_path, HEADER, row(), row(item="m2"), row(price_usd="0.7", service="db"))
    assert text.startswith(
        '/book.csv:4: price of "m1" in "north": it has a price already, in line 2'
    )


def test_problems_come_together_but_not_endlessly(tmp_path: Path) -> None:
    text = refusal(tmp_path, HEADER, *(row(price_usd="0", unit="h") for _ in range(100)))
    assert "and 180 more" in text
    assert len(text.splitlines()) == 22


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ((), ":1: price book: the file is empty"),
        (("# nothing",), "the file is empty"),
        ((HEADER,), "no price"),
        (("provider,item", "a,b"), "missing: service, region, unit, price_usd, source"),
        ((HEADER + ",unit", row() + ",h"), "one is there twice"),
        ((HEADER, row() + ",more"), ":2: price book: got 9 cells, the header has 8"),
        ((HEADER, row(), 'a,"b'), "not CSV"),
        ((HEADER, row(item="x" * 200_000)), "not CSV: field larger"),
    ],
)
def test_bad_file(tmp_path: Path, lines: tuple[str, ...], words: str) -> None:
    assert words in refusal(tmp_path, *lines)


def test_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="there is no such price book"):
        PriceBook.read(tmp_path / "none.csv")
    with pytest.raises(InvalidInput, match="this is a folder; name a price book in it"):
        PriceBook.read(tmp_path)
    (tmp_path / "latin").write_bytes(HEADER.encode() + b"\nacm\xe9,")
    with pytest.raises(InvalidInput, match=r"latin:2: .*UTF-8"):
        PriceBook.read(tmp_path / "latin")
    (tmp_path / "binary").write_bytes(bytes(range(128)) * 100)
    with pytest.raises(InvalidInput):
        PriceBook.read(tmp_path / "binary")


@given(st.data())
def test_mutated_file_is_read_or_refused(data: st.DataObject) -> None:
    text = "\r\n".join(["# ours", HEADER, row(), row(item="m2")]).encode()
    at = data.draw(st.integers(0, len(text)))
    junk = data.draw(st.binary(max_size=3) | st.sampled_from([b'"', b",", b"\n", b"#", b"\x00"]))
    text = text[:at] + junk + text[at + data.draw(st.integers(0, 5)) :]
    prices, places = (), []
    try:
        prices = _parse(text, "book.csv")
    except InvalidInput as error:
        places = [problem.place for problem in error.problems]
    assert all(re.fullmatch(r"book\.csv(:\d+)?", place) for place in places)
    assert all(price.usd_per_hour > 0 for price in prices)
