"""The model when idle: what each place answers, and how often it is called, if nobody ever waits.

Only what waits is left out. Steps that fail, calls that take too long even so, the attempts that
follow, and the first branches of a fork are what they would be at a vanishing rate.
"""

from __future__ import annotations

from scalesim.engines.analytic.model import Ask, Part, Program, Send, parts_within
from scalesim.engines.analytic.part_replies import completing, reply_of
from scalesim.engines.analytic.reach import completion, weighted
from scalesim.engines.analytic.replies import Reply, in_turn
from scalesim.engines.analytic.solver import Solution, Solver
from scalesim.engines.analytic.stations import NO_DOUBT

__all__ = ["Idle"]

_PASSES = 2
"""The first finds how often places are reached, which hit ratios depend on."""


class Idle:
    """One model, idle, but for the hit ratios of caches that expire: those of a rate.

    Parameters
    ----------
    solver : Solver
    rate : float [requests/s]
    """

    def __init__(self, solver: Solver, rate: float) -> None:
        self.solver = solver
        flows, _ = solver.failing(rate)
        for _ in range(_PASSES):
            self.solution = Solution(rate, flows, facilities=solver.facilities)
            reached: dict[Ask | Send, float] = {}
            for name, endpoint in reversed(solver.order):
                program = solver.facilities[name].programs[endpoint]
                everything = (*program.before, *program.inside, *program.after)
                reply = self.reply(everything)
                self.solution.replies[name, endpoint] = reply
                for part, weight in weighted(everything, completing(self.solution)):
                    if isinstance(part, (Ask, Send)):
                        again = isinstance(part, Ask) and part.retry is not None
                        attempts = self.solution.asked(part).attempts if again else 1.0  # type: ignore[arg-type]
                        reached[part] = weight * attempts
            flows = solver.flows(rate, reached)
        self.solution.flows = flows

    def reply(self, parts: tuple[Part, ...]) -> Reply:
        """Return what parts one after another answer."""
        return in_turn([reply_of(part, self.solution, {}, {}) for part in parts])

    def begun(self, program: Program) -> float:
        """Return the share of requests that come to the program's slot."""
        share, ask = 1.0, completing(self.solution)
        for part in program.before:
            share *= completion(part, ask)
        return share

    def doubts(self) -> dict[str, frozenset[str]]:
        """Return the approximations that the rates at each component rest on."""
        found: dict[str, frozenset[str]] = {}
        for name, endpoint in self.solver.order:
            facility = self.solver.facilities[name]
            program = facility.programs[endpoint]
            reply = self.solution.replies[name, endpoint]
            own = found.get(name, NO_DOUBT)
            if reply.completed < 1 - 1e-12:
                own |= reply.doubts
            for part in parts_within((*program.before, *program.inside, *program.after)):
                if isinstance(part, (Ask, Send)):
                    more = own
                    if isinstance(part, Ask):
                        more |= self.solution.flows.hit_doubts(part.missed)
                    found[part.to[0]] = found.get(part.to[0], NO_DOUBT) | more
        return found
