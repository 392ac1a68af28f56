"""What was measured or computed does not change afterwards: attributes and arrays that refuse.

Lowest layer: imports nothing of ours.
"""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import numpy as np

__all__ = ["Frozen", "read_only"]


class Frozen:
    """Base of answers that are no dataclasses; `_set` is for their constructors.

    What `functools.cached_property` works out is kept all the same: it does not go through
    `__setattr__`.
    """

    def _set(self, **fields: object) -> None:
        """Give the attributes their values, once."""
        self.__dict__.update(fields)

    def __setattr__(self, name: str, value: object) -> None:
        raise FrozenInstanceError(f"{type(self).__name__} is frozen: cannot assign to {name!r}")

    def __delattr__(self, name: str) -> None:
        raise FrozenInstanceError(f"{type(self).__name__} is frozen: cannot delete {name!r}")


def read_only(array: np.ndarray) -> np.ndarray:
    """Return the same array, which from now on refuses to be written to."""
    array.setflags(write=False)
    return array
