"""Ladders: functions that call the policy with a given code, written from the registries.

Numba calls a tuple of first-class functions 700 times slower than an ``if`` ladder (measured), so
the ladder is generated text. Their sources are part of the kernel's cache key.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from scalesim.policies.eviction import eviction_functions
from scalesim.policies.load_balancing import balancing_functions
from scalesim.policies.sharding import sharding_functions

__all__ = [
    "LADDERS",
    "POLICY_FUNCTIONS",
    "choose_shard",
    "choose_target",
    "choose_victim",
    "enter",
    "leave",
    "touch",
]


def _ladder(name: str, arguments: str, functions: Sequence[Callable[..., Any]]) -> Any:
    """Return ``name(code, arguments)``, which calls ``functions[code](arguments)``."""
    lines = [f"def {name}(code, {arguments}):"]
    for code in range(len(functions) - 1):
        lines += [f"    if code == {code}:", f"        return f{code}({arguments})"]
    lines.append(f"    return f{len(functions) - 1}({arguments})")
    space: dict[str, Any] = {f"f{code}": function for code, function in enumerate(functions)}
    exec(compile("\n".join(lines), f"<ladder {name}>", "exec"), space)
    return space[name]


_balancing = balancing_functions()
_entered = eviction_functions("entered")
_touched = eviction_functions("touched")
_left = eviction_functions("left")
_victim = eviction_functions("victim")
_sharding = sharding_functions()

choose_target = _ladder(
    "choose_target", "balancer, target, values, b, key, item, client", _balancing
)
enter = _ladder("enter", "cache, entry, history, c, e", _entered)
touch = _ladder("touch", "cache, entry, history, c, e", _touched)
leave = _ladder("leave", "cache, entry, history, c, e", _left)
choose_victim = _ladder("choose_victim", "cache, entry, c, key", _victim)
choose_shard = _ladder("choose_shard", "value, shards, count, values", _sharding)

LADDERS = (choose_target, enter, touch, leave, choose_victim, choose_shard)
POLICY_FUNCTIONS = tuple(
    dict.fromkeys((*_balancing, *_entered, *_touched, *_left, *_victim, *_sharding))
)
