"""Plan: a topology and its traffic lowered to frozen arrays, the one input of every engine."""

from __future__ import annotations

from scalesim.plan.build import build_plan, misfits, require_fit
from scalesim.plan.tables import Plan, StationLabel

__all__ = ["Plan", "StationLabel", "build_plan", "misfits", "require_fit"]
