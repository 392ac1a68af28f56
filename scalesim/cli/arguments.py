"""Arguments of the command line: quantities with units, and what a model file leaves open."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import click

from scalesim.errors import InvalidInput
from scalesim.units import parse_quantity

if TYPE_CHECKING:
    from scalesim.io import Model
    from scalesim.studies.objective import Objective
    from scalesim.traffic import AnyTraffic

__all__ = ["GROWTH", "WARMUP", "Quantity", "objective_from", "traffic_from"]


class Quantity(click.ParamType[float]):
    """A number with a unit: ``10 min``."""

    name = "quantity"

    def __init__(self, unit: str) -> None:
        self.unit = unit

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return parse_quantity(value, self.unit)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Warmup(Quantity):
    """A time, or ``auto``: as long as the beginning differs."""

    name = "quantity or auto"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        return value if value == "auto" else super().convert(value, param, ctx)


GROWTH = Quantity("1/month")
WARMUP = Warmup("s")


def traffic_from(model: Model, path: str | None, scale: float) -> AnyTraffic:
    """Return the traffic to use: of the file `path`, completed by the model's, times `scale`.

    A traffic file made from counts knows how much and when, and leaves open who asks for what: the
    fields that it does not give are the model's.
    """
    from scalesim.io import read_traffic

    if not (math.isfinite(scale) and scale > 0):
        raise InvalidInput(f"--scale: got {scale:g}, allowed is a finite number above 0")
    own = model.traffic
    if path is None:
        if own is None:
            raise InvalidInput(f"{model.source}: the model has no traffic; give --traffic FILE")
        return own.scaled(scale)
    given = read_traffic(path)
    shared = ("mix", "keys", "clients", "request_bytes", "response_bytes", "timeout", "retry")
    missing = {name: getattr(own, name) for name in shared if own and getattr(given, name) is None}
    if own and "timeout" in missing:
        missing["cancel"] = own.cancel
    return dataclasses.replace(given, **missing).scaled(scale)


def objective_from(
    model: Model, latency: float | None, quantile: float | None, error_ratio: float | None
) -> Objective:
    """Return the model's objective with what the command line says instead."""
    from scalesim.studies.objective import Objective

    given = {"latency": latency, "quantile": quantile, "error_ratio": error_ratio}
    said: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if model.objective is not None:
        return dataclasses.replace(model.objective, **said)
    if latency is None and error_ratio is None:
        raise InvalidInput(
            f"{model.source}: the model has no objective; give --latency, for example 300 ms, or "
            "--error-ratio"
        )
    return Objective(**said)
