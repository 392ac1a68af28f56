"""Pictures good enough for a slide, made without a display: `plot`, `draw`, `render`, `mermaid`.

Layer: plots, above studies and beside io, which it may not import: a picture is rendered to bytes
here and written by whoever asked for it. `style` says how all look, `graph` lays topologies out,
`drawing`, `measured` and `months` draw. Importing this package loads matplotlib, so nothing below
does so.
"""

from __future__ import annotations

from scalesim.errors import InvalidInput, nearest
from scalesim.plots import measured, months
from scalesim.plots.drawing import draw
from scalesim.plots.mermaid import mermaid
from scalesim.plots.style import FORMATS, Picture, render
from scalesim.results import Results
from scalesim.studies.forecast import Forecast
from scalesim.topology import Topology

__all__ = ["FORMATS", "KINDS", "Picture", "draw", "mermaid", "plot", "render"]

KINDS = ("distribution", "latency", "overview", "rate", "topology", "utilization")
"""Kinds of picture of results."""


def plot(thing: Results | Forecast | Topology, kind: str | None = None) -> Picture:
    """Return a picture of results, of a forecast or of a topology.

    Parameters
    ----------
    thing : Results, Forecast or Topology
    kind : str, optional
        Of results only: ``overview`` (the default), ``latency`` and ``rate`` over time,
        ``utilization``, ``distribution`` of the latency, or ``topology`` colored by utilization.

    Returns
    -------
    matplotlib.figure.Figure
        Shows itself in a notebook; ``savefig(path)`` writes it.

    Raises
    ------
    InvalidInput
        The kind is unknown, or the thing is none of these.

    Examples
    --------
    >>> import scalesim as ss
    >>> server = ss.Service("web", endpoints={"get": [ss.compute(ss.ms(5))]})
    >>> results = ss.simulate(ss.Topology(server, entry="web"), ss.Traffic(100.0), duration=20)
    >>> render(plot(results, "latency"), "png")[1:4]
    b'PNG'
    """
    if isinstance(thing, Results):
        if kind is not None and kind not in KINDS:
            raise InvalidInput(
                f'"{kind}" is not a kind of plot. {nearest(kind, KINDS)}Known: {", ".join(KINDS)}'
            )
        if kind == "topology":
            return draw(thing.topology, thing)
        if kind in measured.PANELS:
            return measured.single(thing, kind)
        return measured.overview(thing)
    if kind is not None:
        raise InvalidInput(f'kind: got "{kind}", but only results have kinds of plot; leave it out')
    if isinstance(thing, Forecast):
        return months.forecast(thing)
    if isinstance(thing, Topology):
        return draw(thing)
    raise InvalidInput(f"got {type(thing).__name__}, allowed is Results, Forecast or Topology")
