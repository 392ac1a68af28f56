"""Pictures: every kind renders without a display, says its units, and no label covers another."""

from __future__ import annotations

import dataclasses
import itertools
import math
import struct
import subprocess
import sys
from typing import Any, cast

import matplotlib
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

import scalesim as ss
from scalesim.components import fail
from scalesim.plots import FORMATS, KINDS, draw, mermaid, plot, render
from scalesim.plots.graph import edges, layered
from scalesim.plots.months import _number
from scalesim.plots.style import percent, time_unit
from scalesim.results import Bottleneck, Results
from scalesim.studies.forecast import Break, Fix, Forecast, MonthPoint
from scalesim.studies.levers import Lever
from scalesim.studies.objective import Objective
from scalesim.traffic.growth import Compound


def one_service(**settings: Any) -> ss.Topology:
    work = {"get": [ss.compute(ss.Exponential(ss.ms(5)))]}
    return ss.Topology(ss.Service("server", endpoints=work, **settings), entry="server")


def web_shop() -> ss.Topology:
    return ss.Topology(
        ss.LoadBalancer("balancer", targets="web", policy="least_connections"),
        ss.Service(
            "web",
            endpoints={
                "browse": [ss.compute(ss.Exponential(ss.ms(4))), ss.call("cache.get")],
                "buy": [ss.compute(ss.ms(8)), ss.call("orders.write"), ss.publish("email")],
                "look-at-something-with-a-long-name": [ss.call("products.read")],
            },
            instances=4,
            workers=32,
        ),
        ss.Cache("cache", capacity=200, origin="products.read", delay=ss.ms(0.5)),
        ss.Database("products", connections=9, read=ss.ms(6), write=ss.ms(8), read_replicas=2),
        ss.Database("orders", connections=9, write=ss.Exponential(ss.ms(9)), shards=4),
        ss.MessageQueue("email", handler=[ss.sleep(ss.ms(80))], consumers=8, capacity=50),
        entry="balancer",
    )


MIX = {"browse": 0.8, "buy": 0.15, "look-at-something-with-a-long-name": 0.05}


def many_services(layers: int = 3, across: int = 4) -> ss.Topology:
    """Each service of a layer calls all of the next: every arrow that could cross does."""
    parts = [ss.Service("front", endpoints={"get": [ss.call(f"s0-{i}") for i in range(across)]})]
    for layer, i in itertools.product(range(layers), range(across)):
        below = [ss.call(f"s{layer + 1}-{j}") for j in range(across)] if layer + 1 < layers else []
        work = {"get": [ss.compute(ss.ms(0.1)), *below]}
        parts.append(ss.Service(f"s{layer}-{i}", endpoints=work, workers=50))
    return ss.Topology(*parts, entry="front")


def long_names() -> ss.Topology:
    """Many of its requests fail, at a component whose name leaves little room beside it."""
    work = {"browse-by-category": [ss.call("orders-database-eu.read")]}
    return ss.Topology(
        ss.Service("web", endpoints=work, workers=64),
        ss.Database("orders-database-eu", connections=1, read=ss.ms(10), queue_limit=5),
        entry="web",
    )


def simulated(topology: ss.Topology, traffic: ss.Traffic, duration: float = 5.0) -> Results:
    return ss.simulate(topology, traffic, duration=duration, engine="reference", progress=False)


@pytest.fixture(scope="module")
def runs() -> dict[str, Results]:
    keys = ss.Zipf(1000, 0.9)
    return {
        "one": simulated(one_service(), ss.Traffic(100.0)),
        "constant": simulated(
            ss.Topology(ss.Service("s", endpoints={"get": [ss.sleep(1.0)]}, workers=9), entry="s"),
            ss.Traffic(2.0, arrivals="constant"),
        ),
        "shop": simulated(web_shop(), ss.Traffic(200.0, mix=MIX, keys=keys)),
        "overload": simulated(one_service(), ss.Traffic(400.0)),
        "rejecting": simulated(one_service(workers=4, backlog=4), ss.Traffic(400.0)),
        "none done": simulated(
            ss.Topology(ss.Service("s", endpoints={"get": [ss.sleep(99.0)]}), entry="s"),
            ss.Traffic(5.0, timeout=0.5),
        ),
        "no time passes": simulated(
            ss.Topology(ss.Service("s", endpoints={"get": [ss.sleep(0.0)]}), entry="s"),
            ss.Traffic(5.0),
        ),
        "none came": simulated(one_service(), ss.Traffic(1e-6)),
        "many": simulated(many_services(), ss.Traffic(5.0)),
        "long names": simulated(long_names(), ss.Traffic(150.0, mix={"browse-by-category": 1})),
        "all fail": simulated(
            ss.Topology(ss.Service("s", endpoints={"get": [fail(1.0)]}), entry="s"),
            ss.Traffic(9.0),
        ),
    }


RUNS = [
    "one", "constant", "shop", "overload", "rejecting", "none done", "no time passes", "none came",
    "many", "long names", "all fail",
]  # fmt: skip


def texts(figure: Figure) -> list[Text]:
    """Return every text that is seen, after the figure was laid out."""
    figure.canvas.draw()
    found = [t for t in figure.findobj(Text) if isinstance(t, Text) and t.get_text().strip()]
    return [t for t in found if t.get_visible()]


def words(figure: Figure) -> str:
    return "\n".join(t.get_text() for t in texts(figure))


def size(png: bytes) -> tuple[int, int]:
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    return cast("tuple[int, int]", struct.unpack(">II", png[16:24]))


def assert_readable(figure: Figure) -> None:
    """Nothing is small, nothing lies outside or over another text."""
    seen = texts(figure)
    hidden = _undrawn(figure)
    shown = [t for t in seen if id(t) not in hidden]
    for text in shown:
        assert text.get_fontsize() >= 10, text
    inside = figure.bbox.expanded(1.002, 1.002)
    boxes = [(t.get_text(), t.get_window_extent()) for t in shown]
    outside = [t for t, b in boxes if not (inside.contains(*b.p0) and inside.contains(*b.p1))]
    assert outside == []
    clashes = [
        (a, b)
        for (a, one), (b, other) in itertools.combinations(boxes, 2)
        if one.shrunk(0.98, 0.9).overlaps(other.shrunk(0.98, 0.9))  # type: ignore[attr-defined]
    ]
    assert clashes == []


def _undrawn(figure: Figure) -> set[int]:
    """Return which texts exist but are not drawn: ticks beyond the limits, axes that are off."""
    hidden = set()
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            drawn = axis._update_ticks() if axes.axison else []  # type: ignore[attr-defined]
            for tick in (*axis.majorTicks, *axis.minorTicks):
                if tick not in drawn:
                    hidden |= {id(tick.label1), id(tick.label2)}
    return hidden


@pytest.mark.parametrize(
    ("name", "kind"),
    [*itertools.product(RUNS, ["overview"]), *itertools.product(["shop", "many"], KINDS)],
)
def test_results_render_and_are_readable(runs: dict[str, Results], name: str, kind: str) -> None:
    figure = plot(runs[name], kind)
    width, height = size(render(figure, "png"))
    assert width > 500
    assert height > 300
    assert_readable(figure)


@pytest.mark.parametrize(
    ("kind", "units"),
    [
        ("latency", ["latency of completed\nrequests [ms]", "simulated time [s]", "warm-up"]),
        ("rate", ["rate [requests/s]", "simulated time [s]"]),
        ("utilization", ["utilization [%]", "busiest instance", "bottleneck", "web  CPU"]),
        ("distribution", ["[ms]", "[% of requests]", "p50 ", "p90 ", "p99 ", "browse", "buy"]),
        ("topology", ["utilization [%]", "requests/s", "4 instances", "primary + 2 replicas"]),
    ],
)
def test_labels_name_their_units(runs: dict[str, Results], kind: str, units: list[str]) -> None:
    shown = words(plot(runs["shop"], kind))
    for each in units:
        assert each in shown


def test_default_is_the_overview(runs: dict[str, Results]) -> None:
    figure = plot(runs["shop"])
    assert len(figure.axes) == 4
    shown = words(figure)
    for each in ("requests/s completed", "p99 latency", "errors", "bottleneck"):
        assert each in shown


def test_legends_are_no_wider_than_their_axes(runs: dict[str, Results]) -> None:
    for name in ("long names", "shop"):
        figure = plot(runs[name])
        figure.canvas.draw()
        for axes in figure.axes:
            legend = axes.get_legend()
            assert legend is not None
            assert legend.get_window_extent().x1 <= axes.get_window_extent().x1 + 1
        assert "…" not in words(figure)  # there is room for every name


def line(results: Results, label: str) -> list[float]:
    """Return the values of a line of "Requests over time"."""
    (found,) = (each for each in plot(results, "rate").axes[0].lines if each.get_label() == label)
    return [float(y) for y in found.get_ydata()]  # type: ignore[union-attr]


def test_failures_are_drawn_also_where_everything_fails(runs: dict[str, Results]) -> None:
    assert line(runs["all fail"], "failed") == pytest.approx(line(runs["all fail"], "arrived"))
    assert "failed" not in words(plot(runs["one"], "rate"))
    missed = line(runs["rejecting"], "arrived")
    both = zip(line(runs["rejecting"], "failed"), line(runs["rejecting"], "completed"), strict=True)
    assert sum(map(sum, both)) == pytest.approx(sum(missed), rel=0.02)


def test_empty_axes_say_why(runs: dict[str, Results]) -> None:
    for name, why in (
        ("all fail", "no request completed"),
        ("none came", "no request completed"),
        ("no time passes", "all latencies are 0 s"),
    ):
        figure = plot(runs[name], "latency")
        assert set(words(figure).split("\n")) == {"Latency over time", why}
        assert not figure.axes[0].patches


def test_the_overview_says_unstable(runs: dict[str, Results]) -> None:
    assert words(plot(runs["overload"])).count("UNSTABLE: server") == 1
    assert "UNSTABLE" not in words(plot(runs["one"]))
    assert "bottleneck: " not in words(plot(runs["none came"]))


def test_warmup_is_marked_where_it_ends(runs: dict[str, Results]) -> None:
    axes = plot(runs["one"], "latency").axes[0]
    assert 0.5 in [line.get_xdata()[0] for line in axes.lines]  # type: ignore[index]


def test_marked_quantiles_are_those_of_the_results(runs: dict[str, Results]) -> None:
    results = runs["one"]
    axes = plot(results, "distribution").axes[0]
    dots = {
        float(line.get_ydata()[0]): float(line.get_xdata()[0])  # type: ignore[index]
        for line in axes.lines
        if line.get_marker() == "o"
    }
    expected = {1 - p: 1e3 * results.latency.quantile(p) for p in (0.5, 0.9, 0.99)}
    assert dots == pytest.approx(expected)


def test_unfinished_runs_say_so(runs: dict[str, Results]) -> None:
    whole = runs["one"].recordings[0]
    stopped = dataclasses.replace(whole, ended_at=0.2)
    results = Results(runs["one"].topology, runs["one"].traffic, [stopped], "reference")
    assert "PARTIAL RUN" in words(plot(results))
    assert "partial run" in words(plot(results, "topology"))
    for kind in KINDS:
        assert_readable(plot(results, kind))


# Forecasts


def months(utilization: float, growth: float = 1.1) -> tuple[MonthPoint, ...]:
    points = []
    for month in range(25):
        used = utilization * growth**month
        latency = math.nan if used >= 1 else 0.03 / (1 - used)
        busiest = "web.cpu" if month < 9 else "orders.disk"
        errors = max(0.0, 1 - 1 / used) if used > 1 else 0.0
        met = latency <= 0.3
        points.append(
            MonthPoint(month, 1000 * used, min(used, 1.0), busiest, latency, errors, used < 1, met)
        )
    return tuple(points)


def broken(month: int | None, low: int | None, high: int | None, already: bool = False) -> Break:
    evidence = Bottleneck("orders", "disk", 0, 0.93, 0.05, 4.0, 0.8, 0)
    return Break(
        "orders", "disk", 900.0, 850.0, 950.0, month, low, high, "latency", 0.31, 0.0, evidence,
        already,
    )  # fmt: skip


def answer(**changes: Any) -> Forecast:
    base = Forecast(
        topology=web_shop(),
        traffic=ss.Traffic(200.0, mix=MIX),
        growth=Compound(0.1),
        months=24,
        objective=Objective(latency=0.3, error_ratio=0.01),
        peak_window=900.0,
        peak_rate=200.0,
        first_break=broken(14, 13, 16),
        highest_rate=900.0,
        fix=Fix(Lever("orders", "shards", 4, 8), broken(21, 20, 22), False, ()),
        points=months(0.25),
        after_fix=months(0.13),
        cost_before=cast("Any", None),
        cost_after=None,
        simulations=99,
        partial=False,
    )
    return dataclasses.replace(base, **changes)


FORECASTS = {
    "breaks": {},
    "latency only": {"objective": Objective(latency=0.3)},
    "errors only": {"objective": Objective(error_ratio=0.001)},
    "no fix": {"fix": None, "after_fix": ()},
    "never": {"first_break": None, "fix": None, "after_fix": (), "points": months(0.02, 1.0)},
    "later": {"first_break": broken(90, 80, None), "fix": None, "after_fix": ()},
    "much later": {"first_break": broken(None, None, None), "fix": None, "after_fix": ()},
    "today": {"first_break": broken(0, 0, 0, already=True)},
    "today and with every lever": {
        "first_break": broken(0, 0, 0, already=True),
        "fix": Fix(Lever("orders", "shards", 4, 8), broken(0, 0, 0, already=True), False, ()),
    },
    "every load": {
        "first_break": dataclasses.replace(broken(0, 0, 0, already=True), rate=0.0, component=""),
        "fix": None, "after_fix": (),
    },
    "all unstable": {"points": months(1.5), "fix": None, "after_fix": ()},
    "interrupted early": {
        "partial": True, "points": (), "fix": None, "after_fix": (), "first_break": None,
    },
    "interrupted late": {"partial": True, "fix": None, "after_fix": ()},
}  # fmt: skip


@pytest.mark.parametrize("name", FORECASTS)
def test_forecasts_render_and_are_readable(name: str) -> None:
    figure = plot(answer(**FORECASTS[name]))
    assert min(size(render(figure, "png"))) > 500
    assert_readable(figure)


def test_a_forecast_says_what_breaks_when_and_what_helps() -> None:
    shown = words(plot(answer()))
    for each in (
        "Breaks first: orders disk, in month 14, at 900 requests/s",
        "breaks in month 14 (13 to 16)",
        "after the fix: orders.shards 4 → 8",
        "next to break: orders disk, month 21",
        "objective: p99 at most 300 ms, errors at most 1 %",
        "busiest is web CPU, then orders disk",
        "unstable",
        "p99 latency\n[ms]",
        "busiest resource [%]",
        "peak rate [requests/s]",
    ):
        assert each in shown


def test_what_is_no_fix_is_not_called_one() -> None:
    shown = words(plot(answer(**FORECASTS["today and with every lever"])))
    assert "with what gets furthest: orders.shards 4 → 8" in shown
    assert "after the fix" not in shown
    assert "missed at every load" in words(plot(answer(**FORECASTS["every load"])))


def test_unstable_months_show_through_the_band_of_the_break() -> None:
    points = (*months(0.25)[:14], *(dataclasses.replace(p, stable=False) for p in months(2.0)[14:]))
    for axes in plot(answer(points=points)).axes:
        spans = {patch.get_label(): patch for patch in axes.patches}
        assert spans["unstable"].get_x() == 13.5
        band = next(patch for label, patch in spans.items() if label != "unstable")
        assert spans["unstable"].get_zorder() > band.get_zorder()


def test_break_is_drawn_at_its_month_in_every_panel() -> None:
    for axes in plot(answer()).axes:
        at = [line.get_xdata() for line in axes.lines]
        assert [14, 14] in [list(x) for x in at if len(x) == 2]


def test_a_long_forecast_has_room_for_its_labels() -> None:
    points = tuple(
        MonthPoint(m, 1e4 * 1.05**m, 0.5, "web.cpu", 0.1, 0.0, True, True) for m in range(241)
    )
    assert_readable(plot(answer(months=240, points=points, after_fix=())))


# Topologies


@pytest.mark.parametrize(
    "topology", [one_service(), web_shop(), many_services(), many_services(5, 5)]
)
def test_drawings_are_readable(topology: ss.Topology) -> None:
    figure = draw(topology)
    assert_readable(figure)
    shown = words(figure)
    for name in topology.components:
        assert name in shown
    assert plot(topology).get_size_inches().tolist() == figure.get_size_inches().tolist()


def test_calls_run_to_the_right_unless_they_return() -> None:
    """Components may call each other in a circle as long as endpoints do not."""
    a = ss.Service("a", endpoints={"x": [ss.call("b.y")], "z": [ss.compute(ss.ms(1))]})
    b = ss.Service("b", endpoints={"y": [ss.call("a.z"), ss.call("b.w")], "w": [ss.sleep(0.1)]})
    front = ss.Service("front", endpoints={"get": [ss.call("a.x")]})
    topology = ss.Topology(front, a, b, entry="front")
    layout = layered(topology)
    assert layout.column == {"front": 0, "a": 1, "b": 2}
    assert {(e.source, e.target) for e in layout.others} == {("b", "a"), ("b", "b")}
    assert_readable(draw(topology))


def test_arrows_of_messages_are_told_apart() -> None:
    assert [e.target for e in edges(web_shop()) if e.message] == ["email"]
    assert "message: the sender goes on" in words(draw(web_shop()))
    assert "message" not in words(draw(one_service()))


def test_boxes_of_a_column_keep_their_distance() -> None:
    layout = layered(many_services(4, 6))
    for column in set(layout.column.values()):
        heights = sorted(layout.height[n] for n, at in layout.column.items() if at == column)
        gaps = [b - a for a, b in itertools.pairwise(heights)]
        assert all(gap >= 1 - 1e-9 for gap in gaps)


def test_mermaid_names_everything() -> None:
    text = mermaid(web_shop())
    assert text.startswith("flowchart LR\n")
    assert "clients((clients)) --> n0" in text
    assert 'n4[("orders<br/>database<br/>4 shards")]' in text
    assert "n1 -.-> n5" in text
    assert text.count("-->") == 1 + len(edges(web_shop())) - 1


# Rendering, errors, no display


@pytest.mark.parametrize(
    ("format", "start"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")]
)
def test_formats(format: str, start: bytes) -> None:
    assert format in FORMATS
    figure = draw(web_shop())
    image = render(figure, format)
    assert image.startswith(start)
    assert render(figure, f".{format.upper()}") == image
    assert render(draw(web_shop()), format) == image


def test_shows_itself_in_a_notebook() -> None:
    figure = draw(one_service())
    assert figure._repr_png_() == render(figure, "png")


def test_errors_name_what_is_allowed(runs: dict[str, Results]) -> None:
    with pytest.raises(ss.InvalidInput, match=r'Did you mean "latency"\? Known: dist'):
        plot(runs["one"], "latencies")
    with pytest.raises(ss.InvalidInput, match="only results have kinds"):
        plot(one_service(), "latency")
    with pytest.raises(ss.InvalidInput, match="got int, allowed is Results, Forecast or Topology"):
        plot(cast("Any", 3))
    with pytest.raises(ss.InvalidInput, match=r'Did you mean "png"\? Known: pdf, png, svg'):
        render(draw(one_service()), "pgn")


def test_neither_display_nor_global_state(runs: dict[str, Results]) -> None:
    before = dict(matplotlib.rcParams)
    for kind in KINDS:
        render(plot(runs["one"], kind), "svg")
    assert dict(matplotlib.rcParams) == before
    code = (
        "import sys, scalesim as ss; from scalesim.plots import draw, render\n"
        "web = ss.Service('web', endpoints={'get': [ss.compute(0.001)]})\n"
        "assert render(draw(ss.Topology(web, entry='web')), 'png')\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    environment = {"PYTHONPATH": ":".join(p for p in sys.path if p), "MPLBACKEND": "TkAgg"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr


def test_a_users_style_changes_nothing() -> None:
    plain = render(draw(web_shop()), "png")
    with matplotlib.rc_context({"font.size": 30, "text.color": "yellow"}):
        assert render(draw(web_shop()), "png") == plain


def test_words_of_numbers() -> None:
    numbers = [percent(each) for each in (0, 0.0001, 0.004, 0.02, 0.876, 1.0)]
    assert numbers == ["0 %", "under 0.1 %", "0.4 %", "2 %", "88 %", "100 %"]
    assert [_number(each) for each in (8.7234, 1240, 56_100, 999_999, 3.2e6)] == [
        "8.72", "1,240", "56.1k", "1,000k", "3.2M",
    ]  # fmt: skip
    assert [time_unit(each)[1] for each in (1e-5, 0.2, 30, 1e3, 1e5, math.nan)] == [
        "µs", "ms", "s", "min", "h", "s",
    ]  # fmt: skip
