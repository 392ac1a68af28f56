"""The commands: ``simulate forecast traffic draw explain schema warmup``.

Exit status: 0 done, 2 the input can't be used (one message, no traceback), 130 interrupted (what
was computed is printed, labelled partial), 1 a fault of scalesim's own.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import scalesim
from scalesim.cli.arguments import GROWTH, WARMUP, Quantity, objective_from, traffic_from
from scalesim.errors import InternalError, InvalidInput, MissingPrice, ScalesimError
from scalesim.words import significant

if TYPE_CHECKING:
    from scalesim.io import Model

__all__ = ["main"]

_SECONDS = Quantity("s")
_FORMATS = ("png", "svg", "pdf")


def _clean_errors(command: Callable[..., Any]) -> Callable[..., Any]:
    """Turn a user's mistake into a message and exit status 2, Ctrl-C into one and 130."""

    @wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except InternalError as error:
            click.echo(f"scalesim: internal error: {error}", err=True)
            sys.exit(1)
        except ScalesimError as error:
            click.echo(f"scalesim: {error}", err=True)
            sys.exit(2)
        except KeyboardInterrupt:  # before there was anything to keep
            click.echo("scalesim: interrupted", err=True)
            sys.exit(130)
        except BrokenPipeError:
            sys.stderr.close()
            sys.exit(0)

    return wrapped


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(scalesim.__version__, prog_name="scalesim")
def main() -> None:
    """Say what breaks first as traffic grows, when, why, what fixes it, and what it costs."""


def _read(model: str) -> Model:
    from scalesim.io import read_model

    return read_model(model)


def _picture_check(path: str | None) -> None:
    """Refuse a picture that can't be written before anything runs."""
    if path is None:
        return
    suffix = Path(path).suffix[1:].lower()
    if suffix not in _FORMATS:
        raise InvalidInput(
            f"{path}: got suffix {suffix or 'none'!r}, allowed is {', '.join(_FORMATS)}"
        )
    if not Path(path).absolute().parent.is_dir():
        raise InvalidInput(f"{path}: there is no folder {Path(path).absolute().parent}")


def _write_picture(figure: Any, path: str) -> None:
    from scalesim.io.atomic import write_bytes
    from scalesim.plots import render

    write_bytes(path, render(figure, Path(path).suffix[1:].lower()))
    click.echo(f"picture written to {path}", err=True)


def _json(data: Any) -> None:
    click.echo(json.dumps(data, indent=2, allow_nan=False))


@main.command()
@click.argument("model")
@click.option("--traffic", "traffic_file", help="Traffic file instead of the model's own traffic.")
@click.option("--scale", type=float, default=1.0, help="Multiply the traffic by this factor.")
@click.option("--duration", type=_SECONDS, default="10 min", show_default=True)
@click.option("--warmup", type=WARMUP, help="auto: found. [default: a tenth of the duration]")
@click.option("--trials", type=int, default=1, show_default=True)
@click.option(
    "--precision", type=float, help="Run trials until intervals are so narrow: 0.02 is 2 %."
)
@click.option(
    "--precision-of",
    multiple=True,
    default=["latency_mean_s"],
    show_default=True,
    metavar="METRIC",
    help="Of what, for example latency_p99_s; repeatable.",
)
@click.option(
    "--max-trials", type=int, default=200, show_default=True, help="Limit of --precision."
)
@click.option("--seed", type=int, default=1, show_default=True)
@click.option(
    "--engine", default="compiled", show_default=True, help="compiled, reference or analytic"
)
@click.option("--picture", help="Write an overview picture here (.png, .svg, .pdf).")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
@_clean_errors
def simulate(
    model: str,
    traffic_file: str | None,
    scale: float,
    duration: float,
    warmup: float | str | None,
    trials: int,
    precision: float | None,
    precision_of: tuple[str, ...],
    max_trials: int,
    seed: int,
    engine: str,
    picture: str | None,
    as_json: bool,
) -> None:
    """Simulate MODEL and print latency, errors and utilizations."""
    from scalesim.cli.explaining import agreement_of
    from scalesim.results import Results
    from scalesim.run import simulate as run

    _picture_check(picture)
    if picture is not None and engine == "analytic":
        raise InvalidInput("--picture: the analytic engine makes tables only; leave it out")
    described = _read(model)
    traffic = traffic_from(described, traffic_file, scale)
    results = run(
        described.topology,
        traffic,
        duration=duration,
        warmup=warmup,
        trials=trials,
        precision=precision,
        precision_of=precision_of,
        max_trials=max_trials,
        seed=seed,
        engine=engine,
    )
    if picture is not None and isinstance(results, Results):
        from scalesim.plots import plot

        # Before the text, whose reader may go away.
        _write_picture(plot(results), picture)
    agreement = agreement_of(results) if as_json else None
    if as_json:
        _json(results.to_dict() | ({} if agreement is None else {"theory": agreement.to_dict()}))
    else:
        click.echo(results.summary())
        # A terminal has no room for the ends of all intervals; --json has them.
        narrow = {"intervals": False} if isinstance(results, Results) else {}
        nothing = isinstance(results, Results) and not results.measured_time
        for table in (
            results.requests_table(**narrow),
            results.resources_table(**narrow),
            results.components_table(**narrow),
        ):
            if len(table) and not nothing:
                click.echo()
                click.echo(table.to_string(index=False, float_format=significant))
    agreement = agreement or agreement_of(results)  # late, for it takes a moment
    if agreement is not None and agreement.disagreements:
        click.echo(f"scalesim: {agreement.summary()}", err=True)
    if results.partial:
        sys.exit(130)


@main.command()
@click.argument("model")
@click.option(
    "--traffic", "traffic_file", help="Traffic file; its mix and keys default to the model's."
)
@click.option("--scale", type=float, default=1.0, help="Multiply the traffic by this factor.")
@click.option("--months", type=int, default=24, show_default=True)
@click.option("--growth", type=GROWTH, help="Compound growth, 15%/month. [default: the model's]")
@click.option("--latency", type=_SECONDS, help="Objective: latency limit. [default: the model's]")
@click.option("--quantile", type=float, help="Objective: quantile of the latency. [default: 0.99]")
@click.option("--error-ratio", type=float, help="Objective: error ratio limit, 0.001.")
@click.option("--peak-window", type=_SECONDS, default="15 min", show_default=True)
@click.option("--prices", "price_file", help="Price book (CSV) instead of the shipped one.")
@click.option("--region", help="Region of the prices.")
@click.option("--trials", type=int, default=5, show_default=True, help="Seeds of the search.")
@click.option("--requests", type=int, default=40_000, show_default=True, help="A simulation.")
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--picture", help="Write utilization and latency by month here.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
@_clean_errors
def forecast(
    model: str,
    traffic_file: str | None,
    scale: float,
    months: int,
    growth: Any,
    latency: float | None,
    quantile: float | None,
    error_ratio: float | None,
    peak_window: float,
    price_file: str | None,
    region: str | None,
    trials: int,
    requests: int,
    seed: int,
    picture: str | None,
    as_json: bool,
) -> None:
    """Say what breaks first as MODEL's traffic grows, in which month, why, and what fixes it."""
    from scalesim.studies.forecast import forecast as run
    from scalesim.studies.prices import PriceBook

    _picture_check(picture)
    described = _read(model)
    traffic = traffic_from(described, traffic_file, scale)
    growth = growth if growth is not None else described.growth
    if growth is None:
        raise InvalidInput(f"growth: {model} has none; give --growth, for example 15%/month")
    try:
        answer = run(
            described.topology,
            traffic,
            growth=growth,
            objective=objective_from(described, latency, quantile, error_ratio),
            months=months,
            peak_window=peak_window,
            prices=None if price_file is None else PriceBook.read(price_file),
            region=region,
            trials=trials,
            requests=requests,
            seed=seed,
        )
    except MissingPrice as error:
        raise MissingPrice(map(described.placed, error.problems)) from None
    if picture is not None and not answer.points:
        message = "interrupted before the months were simulated"
        click.echo(f"scalesim: no picture written to {picture}: {message}", err=True)
    elif picture is not None:  # before the text, whose reader may go away
        from scalesim.plots import plot

        _write_picture(plot(answer), picture)
    if as_json:
        _json(answer.to_dict())
    else:
        click.echo(answer.summary())
    if answer.partial:
        sys.exit(130)


@main.group()
def traffic() -> None:
    """Make a traffic file from an access log or a table of requests in each minute."""


def _write_traffic(described: Any, output: str | None) -> None:
    from scalesim.io import traffic_text, write_traffic

    if output is None:
        click.echo(traffic_text(described.traffic), nl=False)
    else:
        write_traffic(described.traffic, output)
        click.echo(f"traffic written to {output}", err=True)


@traffic.command("from-log")
@click.argument("log")
@click.option("--strict", is_flag=True, help="Refuse the log if a line can't be read.")
@click.option("--bucket", type=_SECONDS, default="1 min", show_default=True)
@click.option(
    "--endpoint",
    "endpoints",
    multiple=True,
    metavar="REGEX=NAME",
    help='Map "METHOD path" to an endpoint of your model; repeatable.',
)
@click.option("--output", "-o", help="Write here instead of printing.")
@_clean_errors
def from_log(
    log: str, strict: bool, bucket: float, endpoints: tuple[str, ...], output: str | None
) -> None:
    """Read an access log (Common or Combined format, also .gz)."""
    from scalesim.io.access_log import traffic_from_log

    pairs = {}
    for each in endpoints:
        pattern, equals, name = each.rpartition("=")
        if not equals:
            raise InvalidInput(f"--endpoint: got {each!r}, allowed is REGEX=NAME")
        pairs[pattern] = name
    read = traffic_from_log(log, strict=strict, bucket=bucket, endpoints=pairs or None)
    click.echo(f"{read.used:,} of {read.lines:,} lines used", err=True)
    for bad in read.bad[:10]:
        click.echo(f"  {log}:{bad.number}: {bad.reason}: {bad.text}", err=True)
    for note in read.notes:
        click.echo(f"  {note}", err=True)
    _write_traffic(read, output)


@traffic.command("from-csv")
@click.argument("table")
@click.option("--strict", is_flag=True, help="Refuse anything unusual.")
@click.option(
    "--missing",
    type=click.Choice(["error", "zero"]),
    default="error",
    show_default=True,
    help="What a minute without a line is.",
)
@click.option("--output", "-o", help="Write here instead of printing.")
@_clean_errors
def from_csv(table: str, strict: bool, missing: str, output: str | None) -> None:
    """Read a table of requests in each minute of a day: minute,requests."""
    from scalesim.io.per_minute import traffic_from_csv

    read = traffic_from_csv(table, strict=strict, missing=missing)
    for note in read.notes:
        click.echo(f"  {note}", err=True)
    _write_traffic(read, output)


@main.command()
@click.argument("model")
@click.option("--picture", help="Write a picture (.png, .svg, .pdf), not Mermaid text.")
@_clean_errors
def draw(model: str, picture: str | None) -> None:
    """Draw MODEL: as Mermaid text, or as a picture."""
    from scalesim import plots

    _picture_check(picture)
    topology = _read(model).topology
    if picture is None:
        click.echo(plots.mermaid(topology))
    else:
        _write_picture(plots.draw(topology), picture)


@main.command()
@click.argument("model")
@click.option("--traffic", "traffic_file", help="Traffic file instead of the model's own traffic.")
@click.option("--operations", is_flag=True, help="Show also what the simulation engines run.")
@click.option("--json", "as_json", is_flag=True, help="Print the analytic answers as JSON.")
@_clean_errors
def explain(model: str, traffic_file: str | None, operations: bool, as_json: bool) -> None:
    """Say at once what MODEL's traffic asks of it: loads, bottleneck, capacity, latencies."""
    from scalesim.cli import explaining
    from scalesim.engines.analytic import solve
    from scalesim.plan import build_plan

    described = _read(model)
    topology, traffic = described.topology, traffic_from(described, traffic_file, 1.0)
    plan = build_plan(topology, traffic)
    if as_json:
        _json(solve(topology, traffic).to_dict())
        return
    for line in explaining.call_lines(topology):
        click.echo(line)
    click.echo()
    for line in explaining.analytic_lines(topology, traffic):
        click.echo(line)
    if operations:
        click.echo()
        for line in explaining.plan_lines(plan):
            click.echo(line)


@main.command()
@_clean_errors
def schema() -> None:
    """Print the JSON Schema of model files, for editors."""
    from scalesim.io.schema import json_schema

    _json(json_schema())


@main.command()
@_clean_errors
def warmup() -> None:
    """Compile the engine now, so that the first simulation does not wait for it."""
    from scalesim.run import warm_up_engine

    compiled = warm_up_engine()
    click.echo("engine compiled" if compiled else "engine was compiled already")
