"""Monthly cost, against sums made by hand."""

from __future__ import annotations

import dataclasses
import json
import math

import pytest

from scalesim.components import Database, LoadBalancer, MessageQueue, Service
from scalesim.components.base import Component
from scalesim.components.calls import Call
from scalesim.components.steps import Compute, Publish, Sleep
from scalesim.errors import InvalidInput, MissingPrice
from scalesim.studies.cost import monthly_cost
from scalesim.studies.prices import PriceBook
from scalesim.topology import Topology

BOOK = PriceBook.default()


def shop(**machines: object) -> Topology:
    """Return balancer, 4 web nodes, 2 shards of a database with 2 replicas each, a queue."""
    web = Service(
        "web", instances=4, endpoints={"get": [Compute(0.01), Call("db.read"), Publish("mail")]}
    )
    parts: list[Component] = [
        LoadBalancer("lb", targets="web"),
        web,
        Database("db", connections=20, read=0.001, shards=2, read_replicas=2),
        MessageQueue("mail", handler=[Sleep(0.1)]),
    ]
    topology = Topology(*parts, entry="lb")
    return topology.vary({key.replace("__", "."): value for key, value in machines.items()})


WEB = {"web__machine": "m7g.large"}
WEB_AND_DB = {**WEB, "db__machine": "r6g.xlarge"}


def test_four_machines_by_hand() -> None:
    cost = monthly_cost(shop(**WEB), BOOK, "us-east-1", requests_per_month=10e6)
    assert cost.total_usd_per_month == pytest.approx(238.272)  # 4 x 0.0816 x 730
    assert cost.usd_per_million_requests == pytest.approx(23.8272)
    assert cost.hours_per_month == 730
    assert cost.unpriced == ("lb", "db", "mail")
    web = cost.components[1]
    assert (web.component, web.nodes, web.machine) == ("web", 4, "m7g.large")
    assert (web.usd_per_node_hour, web.region, web.source_date) == (
        0.0816,
        "us-east-1",
        "2025-03-02",
    )


def test_replicas_and_shards_are_nodes() -> None:
    cost = monthly_cost(shop(**WEB_AND_DB), BOOK, "eu-west-1")
    # 4 x 0.091 x 730 + (2 shards x 3 nodes) x 0.2256 x 730
    assert cost.total_usd_per_month == pytest.approx(265.72 + 988.128)
    assert cost.usd_per_million_requests is None


def test_price_of_the_models_own() -> None:
    cost = monthly_cost(shop(web__cost_per_hour=0.25, mail__cost_per_hour=0.0), BOOK)
    assert cost.total_usd_per_month == pytest.approx(730.0)
    assert cost.components[1].source == "cost_per_hour of the model"
    assert cost.unpriced == ("lb", "db")  # the queue is free because the model says so
    assert cost.book is None
    assert cost.region is None


def test_default_book_and_region_are_said() -> None:
    cost = monthly_cost(shop(**WEB))
    assert cost == monthly_cost(shop(**WEB), BOOK, "us-east-1")
    assert cost.describe() == (
        "238.27 USD a month (nodes run all 730 hours of a month; on-demand prices of us-east-1 "
        "from scalesim/data/prices.csv, dated 2025-03-02; not in the total, without machine and "
        "cost_per_hour: lb, db, mail; not priced: egress, storage, disk I/O, calls of managed "
        "services, discounts, tax)"
    )
    asked = monthly_cost(shop(**WEB), requests_per_month=1e6)
    assert asked.describe().startswith("238.27 USD a month, 238 USD for a million requests (")


def test_dates_of_several_sources() -> None:
    cost = monthly_cost(shop(**WEB, db__machine="m5.xlarge"))
    assert "dated 2024-02-21 to 2025-03-02" in cost.describe()


def test_not_asked_for_is_none_and_never_zero() -> None:
    cost = monthly_cost(shop(), requests_per_month=1e6)
    assert cost.total_usd_per_month is None
    assert cost.usd_per_million_requests is None
    assert cost.describe() == "cost not asked for: no component has machine or cost_per_hour"
    assert cost.to_dict()["cost_usd_per_month"] is None
    assert cost.table()["cost_usd_per_month"].isna().all()


def test_all_missing_prices_are_named_together() -> None:
    with pytest.raises(MissingPrice) as caught:
        monthly_cost(shop(web__machine="m7g.larg", db__machine="c7g.large"), BOOK, "us-east-1")
    first, second = caught.value.problems
    assert first.subject == 'service "web": machine "m7g.larg" in us-east-1'
    assert 'Did you mean "m7g.large"?' in first.message
    assert first.path == ("web", "machine")
    assert second.subject == 'database "db": machine "c7g.large" in us-east-1'
    assert "It has one in eu-west-1" in second.message


@pytest.mark.parametrize("requests", [0, -1, math.nan, math.inf])
def test_requests_must_be_a_number_above_0(requests: float) -> None:
    with pytest.raises(InvalidInput, match="requests_per_month"):
        monthly_cost(shop(**WEB), requests_per_month=requests)


def test_table() -> None:
    table = monthly_cost(shop(**WEB)).table()
    assert list(table.columns) == [
        "component",
        "nodes",
        "machine",
        "cost_usd_per_node_hour",
        "cost_usd_per_month",
        "region",
        "source",
        "source_date",
    ]
    assert list(table["component"]) == ["lb", "web", "db", "mail"]
    assert list(table["nodes"]) == [1, 4, 6, 1]
    assert table["cost_usd_per_month"].sum() == pytest.approx(238.272)
    assert table["cost_usd_per_month"].isna().sum() == 3


def test_json() -> None:
    plain = json.loads(json.dumps(monthly_cost(shop(**WEB), requests_per_month=2e6).to_dict()))
    assert plain["cost_usd_per_month"] == pytest.approx(238.272)
    assert plain["cost_usd_per_million_requests"] == pytest.approx(119.136)
    assert plain["region"] == "us-east-1"
    assert plain["unpriced"] == ["lb", "db", "mail"]
    assert plain["components"][1]["cost_usd_per_node_hour"] == 0.0816


def test_change() -> None:
    before = monthly_cost(shop(**WEB_AND_DB))
    after = monthly_cost(shop(**WEB_AND_DB, web__instances=8))
    change = after.minus(before)
    assert change.usd_per_month == pytest.approx(238.272)  # 4 more
    assert change.describe() == "+238.27 USD a month (web +238.27)"
    assert before.minus(after).describe() == "-238.27 USD a month (web -238.27)"
    assert before.minus(before).describe() == "+0.00 USD a month"
    assert json.loads(json.dumps(change.to_dict()))["unknown"] == []


def test_change_of_machine() -> None:
    change = monthly_cost(shop(web__machine="m7g.xlarge")).minus(monthly_cost(shop(**WEB)))
    assert change.components == {"web": pytest.approx(4 * (0.1632 - 0.0816) * 730)}


def test_change_that_has_no_price_is_not_zero() -> None:
    before = monthly_cost(shop(**WEB))
    after = monthly_cost(shop(**WEB, web__instances=5, db__read_replicas=3))
    change = after.minus(before)
    assert change.usd_per_month is None
    assert change.unknown == ("db",)
    assert change.describe() == (
        "cost change not known: no price for db; the rest adds, in USD a month: web +59.57"
    )
    priced = monthly_cost(shop(**WEB_AND_DB)).minus(before)
    assert (priced.usd_per_month, priced.unknown) == (None, ("db",))


def test_change_between_costs_nobody_asked_for() -> None:
    change = monthly_cost(shop(web__instances=8)).minus(monthly_cost(shop()))
    assert change.usd_per_month is None
    assert "no component has machine or cost_per_hour" in change.describe()


def test_change_counts_new_and_removed_components() -> None:
    both = monthly_cost(shop(**WEB_AND_DB))
    web_only = dataclasses.replace(both, components=both.components[:2])
    db = both.components[2].usd_per_month
    new = dataclasses.replace(both, components=both.components[:3])
    assert new.minus(web_only).components == {"db": db}
    assert web_only.minus(new).usd_per_month == pytest.approx(-db)
    assert both.minus(web_only).unknown == ("mail",)


def test_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        monthly_cost(shop()).region = "x"  # type: ignore[misc]
