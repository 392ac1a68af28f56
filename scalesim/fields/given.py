"""What a field takes, and what it keeps, as type checkers see them.

A field annotated ``Given[tuple[float, ...], Values[float]]``, or ``AsTuple[float]``, takes any
sequence of numbers in the constructor and is read as a tuple of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, Protocol, Self, TypeVar, overload

__all__ = ["AsTuple", "Given", "Values"]

Kept = TypeVar("Kept")
Taken = TypeVar("Taken", contravariant=True)
T = TypeVar("T")


class Given(Generic[Kept, Taken]):
    """For annotations only: of a field with a descriptor's type, a dataclass takes what is set.

    See "dataclass_transform" in the typing specification. No field is one when the code runs.
    """

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: object, owner: type) -> Kept: ...
    def __get__(self, instance: object | None, owner: type) -> Any:
        raise NotImplementedError

    def __set__(self, instance: object, value: Taken) -> None:
        raise NotImplementedError


class HasToList(Protocol):
    """An array of NumPy, a column of pandas."""

    def tolist(self) -> Any: ...


Values = Sequence[T] | HasToList
AsTuple = Given[tuple[T, ...], Values[T]]
