"""The one comparison every conformance test makes: two engines, one plan, no bit of difference."""

from __future__ import annotations

import numpy as np

from scalesim.engines.compiled import CompiledEngine
from scalesim.engines.reference import ReferenceEngine
from scalesim.plan import build_plan
from scalesim.recording import Recording, RunSpec
from scalesim.run import trial_seed
from scalesim.topology import Topology
from scalesim.traffic import AnyTraffic

__all__ = ["assert_engines_agree", "run_compiled", "run_spec"]


def run_spec(
    duration: float,
    buckets: int = 8,
    *,
    seed: int = 1,
    warmup_buckets: int = 2,
    request_limit: int = 1000,
) -> RunSpec:
    """Return a spec of `buckets` equal buckets; warm-up is the first `warmup_buckets`."""
    boundaries = np.linspace(0.0, duration, buckets + 1)[1:]
    warmup = min(warmup_buckets, buckets - 1)
    return RunSpec(trial_seed(seed, 0), boundaries, warmup, request_limit, key_limit=5)


def run_compiled(topology: Topology, traffic: AnyTraffic, spec: RunSpec) -> Recording:
    """Return one trial of the compiled engine."""
    return CompiledEngine().run(build_plan(topology, traffic), spec)


def assert_engines_agree(
    topology: Topology,
    traffic: AnyTraffic,
    *,
    duration: float,
    buckets: int = 8,
    seed: int = 1,
) -> Recording:
    """Run both engines, compare every array bit by bit, return the compiled engine's recording."""
    plan = build_plan(topology, traffic)
    spec = run_spec(duration, buckets, seed=seed)
    compiled = CompiledEngine().run(plan, spec)
    reference = ReferenceEngine().run(plan, spec)
    assert list(compiled.differences(reference)) == []
    compiled.check()
    reference.check()
    return compiled
