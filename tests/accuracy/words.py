"""Words: a model read strictly. What nobody consumes, or no one knows, makes a case unsupported.

A model is a tree of mappings. Each translator takes the words it understands; `Words.finish` then
complains of the first word that nobody took. So a case with a new word is never run as if the word
were not there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import scalesim as ss
from scalesim import distributions

__all__ = ["Unsupported", "Words", "distribution", "mean_of", "only", "understanding"]

COMMENTS = frozenset({"note", "price_note", "meaning", "title"})
"""Words that explain and change nothing. Any other prose has to be a phrase that is known."""

MEASURE = re.compile(r".*(_s|_h|_per_s|_per_month|_probability|_usd\w*|_up)|scv|shape|exponent")
WHOLE = re.compile(
    "branches|choices|close_after_successes|consecutive_failures|count|half_open_probes|instances|"
    "machines|needed_up|partitions|periods_before_observing|phases|requests|shards|trials|users|"
    "warmup_requests"
)
FLAG = re.compile(
    "at_each_layer|cancel_losers|cancel_on_timeout|coalesce_misses|fails_when_idle|"
    "newest_version_wins|ttl_renewed_by_hit|unbounded"
)
TEXT = re.compile(
    "kind|name|form|metric|origin|from|to|(?:cpu_|backlog_)?discipline|policy|eviction"
)
"""Words whose values are numbers (or mappings, lists, None), whole numbers, yes or no, texts."""

_ABSENT = object()


class Unsupported(Exception):
    """What the library cannot express, or the word that is not known here."""


@contextmanager
def understanding() -> Iterator[None]:
    """Call a model unsupported if its values have shapes that translators do not expect.

    For translating alone: once a model is understood, such an error is one of this code.
    """
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise Unsupported(f"not understood, at {Words.latest}: {error!r}") from error


def only(items: Iterable[Any], what: str) -> Any:
    """Return the only one of some items; `what` can't be told if there are others, or none."""
    found = list(items)
    if len(found) != 1:
        raise Unsupported(f"{what}: there are {len(found)}")
    return found[0]


class Words:
    """One mapping of a model, and which of its words have been consumed.

    Parameters
    ----------
    mapping : mapping of str to anything
    path : str
        Where it stands in the model, for messages.
    """

    latest = ""
    """The word that was consumed last, of whatever model: to say where translating stopped."""

    def __init__(self, mapping: dict[str, Any], path: str = "") -> None:
        if not isinstance(mapping, dict):
            raise Unsupported(f"{path or 'model'}={mapping!r}")
        self.mapping = mapping
        self.path = path
        self.taken: dict[str, list[Words]] = {}

    def __contains__(self, word: str) -> bool:
        return word in self.mapping

    def take(self, word: str, default: Any = _ABSENT) -> Any:
        """Consume a plain value (a number, a string, a list of them)."""
        if word not in self.mapping:
            if default is _ABSENT:
                raise Unsupported(f"{self.path or 'model'} without {word}")
            return default
        value = self._consumed(word)
        if not _fits(word, value):
            raise self.unsupported(word)
        return value

    def _consumed(self, word: str) -> Any:
        Words.latest = f"{self.path}.{word}".lstrip(".")
        self.taken.setdefault(word, [])
        return self.mapping[word]

    def phrase(self, word: str, known: dict[str, Any], default: Any = _ABSENT) -> Any:
        """Consume a word whose value is one of the known phrases; return what it stands for."""
        value = self.take(word, default)
        if value is default:
            return default
        if not isinstance(value, str) or value not in known:
            raise self.unsupported(word)
        return known[value]

    def expect(self, **values: Any) -> None:
        """Consume words that, if present, may only have the value (or one of the set) given."""
        for word, allowed in values.items():
            if word in self.mapping:
                value = self._consumed(word)
                known = allowed if isinstance(allowed, (set, tuple)) else (allowed,)
                if not any(_same(value, each) for each in known):
                    raise self.unsupported(word)

    def inner(self, word: str) -> Words:
        """Consume a mapping; its own words are checked, too."""
        value = self.take(word)
        if not isinstance(value, dict):
            raise self.unsupported(word)
        child = Words(value, f"{self.path}.{word}".lstrip("."))
        self.taken[word].append(child)
        return child

    def each(self, word: str) -> list[Words]:
        """Consume a list of mappings."""
        if not isinstance(self.take(word), list):
            raise self.unsupported(word)
        children = [
            Words(each, f"{self.path}.{word}[{i}]".lstrip("."))
            for i, each in enumerate(self.take(word))
        ]
        self.taken[word].extend(children)
        return children

    def unsupported(self, word: str) -> Unsupported:
        """Return the error that names a word and its value."""
        value = self.mapping[word]
        shown = f"{word}={value!r}" if not isinstance(value, (dict, list)) else word
        return Unsupported(f"{self.path}.{shown}".lstrip("."))

    def left(self) -> Iterator[str]:
        """Yield the words that nobody consumed."""
        for word, value in self.mapping.items():
            if word in COMMENTS:
                continue
            if word not in self.taken:
                yield f"{self.path}.{word}".lstrip(".") + (
                    "" if isinstance(value, (dict, list)) else f"={value!r}"
                )
            for child in self.taken.get(word, ()):
                yield from child.left()

    def finish(self) -> None:
        """Raise `Unsupported` if a word was not consumed."""
        left = list(self.left())
        if left:
            raise Unsupported(", ".join(left))


def _same(value: Any, other: Any) -> bool:
    """Whether two values are equal; yes is not 1."""
    return value == other and isinstance(value, bool) == isinstance(other, bool)


def _fits(word: str, value: Any) -> bool:
    """Whether a value is of the type that a word has wherever it stands."""
    if WHOLE.fullmatch(word):
        return isinstance(value, int) and not isinstance(value, bool)
    if isinstance(value, list):  # alternatives, or one for each
        return all(_fits(word, each) for each in value)
    if FLAG.fullmatch(word):
        return isinstance(value, bool)
    if TEXT.fullmatch(word):
        return isinstance(value, str)
    if MEASURE.fullmatch(word):
        numeric = isinstance(value, (int, float)) and not isinstance(value, bool)
        return value is None or numeric or isinstance(value, dict)
    return True


# Distributions ----------------------------------------------------------------------------------

_KINDS: dict[str, Callable[[Words], Any]] = {
    "exponential": lambda w: ss.Exponential(w.take("mean_s")),
    "deterministic": lambda w: distributions.Constant(w.take("mean_s")),
    "erlang": lambda w: distributions.Erlang(w.take("mean_s"), phases=w.take("phases")),
    "uniform": lambda w: distributions.Uniform(w.take("low_s"), w.take("high_s")),
    "lognormal": lambda w: ss.LogNormal(w.take("mean_s"), cv=w.take("scv") ** 0.5),
    "shifted_exponential": lambda w: distributions.Shifted(
        w.take("shift_s"), ss.Exponential(w.take("mean_s") - w.mapping["shift_s"])
    ),
    "pareto": lambda w: distributions.Pareto(scale=w.take("scale_s"), shape=w.take("shape")),
    "hyperexponential": lambda w: distributions.HyperExponential(
        probabilities=_summing_to_1(w.take("probabilities")), means=tuple(w.take("means_s"))
    ),
}


def distribution(words: Words) -> Any:
    """Return a distribution; its redundant words (`mean_s`, `scv`) must agree with the others."""
    kind = words.take("kind")
    if kind not in _KINDS:
        raise words.unsupported("kind")
    if kind == "exponential" and words.take("mean_s") == 0:
        kind = "deterministic"
    found = _KINDS[kind](words)
    for word, value in (("mean_s", found.mean), ("scv", found.scv)):
        stated = words.take(word, value)
        if found.mean and abs(stated - value) > 1e-6 * abs(value):
            raise Unsupported(f"{words.path}: {word} is {stated}, of the other words {value}")
    return found


def mean_of(found: Any) -> float:
    """Return the mean of a distribution or a number [s]."""
    return float(getattr(found, "mean", found))


def _summing_to_1(probabilities: list[float]) -> tuple[float, ...]:
    """Return probabilities that were rounded to 12 digits with a sum of exactly 1."""
    return (*probabilities[:-1], 1.0 - sum(probabilities[:-1]))
