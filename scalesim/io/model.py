"""What a model file holds, and where in the file it stands."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from scalesim.errors import Problem
from scalesim.io.yaml_nodes import Document
from scalesim.topology import Topology
from scalesim.traffic import AnyTraffic, Growth

if TYPE_CHECKING:
    from scalesim.studies.objective import Objective

__all__ = ["Model"]


@dataclass(frozen=True)
class Model:
    """What a model file holds.

    Parameters
    ----------
    topology : Topology
    traffic : AnyTraffic, optional
    growth : Growth, optional
    objective : Objective, optional
    source : str
        The file it came from; not compared.
    document : Document, optional
        Its text, for the places of problems that are found later; not compared.
    """

    topology: Topology
    traffic: AnyTraffic | None = None
    growth: Growth | None = None
    objective: Objective | None = None
    source: str = field(default="", compare=False)
    document: Document | None = field(default=None, compare=False, repr=False)

    def placed(self, problem: Problem) -> Problem:
        """Return a problem of a component, whose name its path starts with, with its place."""
        if self.document is None or not problem.path:
            return problem
        place = self.document.place(("topology", "components", *problem.path))
        return replace(problem, place=place)
