"""What a search may vary, in Hydra's own words: `choice(a, b)`, `interval(0, 1)`, `range(1, 5)`."""

import itertools
import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dermasense.errors import DermaSenseError


@dataclass(frozen=True)
class Choice:
    """One of several words."""

    words: tuple[str, ...]

    def draw(self, generator: random.Random) -> str:
        return generator.choice(self.words)


@dataclass(frozen=True)
class Steps:
    """One of several numbers at equal distances, in order."""

    numbers: tuple[float, ...]

    @property
    def words(self) -> tuple[str, ...]:
        return tuple(str(number) for number in self.numbers)

    def draw(self, generator: random.Random) -> str:
        return generator.choice(self.words)


@dataclass(frozen=True)
class Between:
    """A number from low to high; `log`: its logarithm is even; `whole`: both ends and integers."""

    low: float
    high: float
    log: bool = False
    whole: bool = False

    @property
    def words(self) -> tuple[str, ...]:
        return (self.word(self.low),)

    def word(self, value: float) -> str:
        return str(round(value)) if self.whole else repr(float(value))

    def draw(self, generator: random.Random) -> str:
        low, high = self.low, self.high
        if self.whole and not self.log:
            return self.word(generator.randint(int(low), int(high)))
        value = generator.uniform(math.log(low), math.log(high)) if self.log else None
        value = generator.uniform(low, high) if value is None else math.exp(value)
        return self.word(min(max(value, low), high))


@dataclass(frozen=True)
class Space:
    """The command line of a search.

    Attributes:
        fixed: words that every trial has.
        options: what varies, by option.
    """

    fixed: tuple[str, ...]
    options: dict[str, Choice | Steps | Between]

    def first(self) -> dict[str, str]:
        """The first value of every option."""
        return {key: option.words[0] for key, option in self.options.items()}

    def ordered(self, keys: Iterable[str]) -> "Space":
        """The space with those options first, in that order; keys of no option are passed over."""
        order = [key for key in (*keys, *self.options) if key in self.options]
        return replace(self, options={key: self.options[key] for key in order})

    def draw(self, seed: int, number: int) -> dict[str, str]:
        """Random values: a function of seed and number of the trial, and of nothing else."""
        generator = random.Random(f"{seed}:{number}")
        return {key: option.draw(generator) for key, option in self.options.items()}

    def grid(self) -> list[dict[str, str]]:
        """All combinations, the last option changing fastest.

        Raises:
            DermaSenseError: where an option is an interval, which no grid can walk.
        """
        for key, option in self.options.items():
            if isinstance(option, Between):
                raise DermaSenseError(
                    f"{key}: a grid needs single values, and an interval has none; write "
                    f"{key}=choice(...) or range(...), or take another sampler."
                )
        values = itertools.product(*[option.words for option in self.options.values()])
        return [dict(zip(self.options, each, strict=True)) for each in values]


def read_space(words: Sequence[str], config_loader: Any = None) -> Space:
    """The space that the words of a command line span; a later word replaces an earlier one.

    Args:
        words: `key=value` as Hydra reads them; `key=a,b`, `choice(...)`, `range(...)` (without its
            end, as in Python), `glob(...)`, `interval(...)`, `tag(log, interval(...))` and
            `int(interval(...))` vary.
        config_loader: Hydra's, which `glob` needs.

    Raises:
        DermaSenseError: an empty interval, one whose logarithm is not defined, or nothing to vary.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser

    fixed: dict[str, str] = {}
    options: dict[str, Choice | Steps | Between] = {}
    for override in OverridesParser.create(config_loader).parse_overrides(list(words)):
        key = override.get_key_element()
        fixed.pop(key, None)
        options.pop(key, None)
        if override.is_sweep_override():
            options[key] = _option(key, override)
        else:
            fixed[key] = override.input_line
    if not options:
        raise DermaSenseError(
            "nothing to search over: give options several values, such as "
            "'head.dropout=interval(0,0.5)' or loss.gamma=0,1,2."
        )
    return Space(tuple(fixed.values()), options)


def _option(key: str, override: Any) -> Choice | Steps | Between:
    if override.is_interval_sweep():
        return _between(key, override.value())
    words = tuple(dict.fromkeys(override.sweep_string_iterator()))
    if not words:
        raise DermaSenseError(f"{override.input_line}: no value; name some.")
    if override.is_range_sweep():
        return Steps(tuple(sorted(override.value().range())))
    return Choice(words)


def _between(key: str, sweep: Any) -> Between:
    whole, log = isinstance(sweep.start, int), "log" in sweep.tags
    if unknown := sorted(sweep.tags - {"log"}):
        raise DermaSenseError(f"{key}: tag {unknown[0]} is unknown; valid: log")
    if not sweep.start < sweep.end:
        raise DermaSenseError(f"{key}=interval({sweep.start},{sweep.end}): no number lies in it.")
    if log and sweep.start <= 0:
        raise DermaSenseError(
            f"{key}=tag(log,interval({sweep.start},{sweep.end})): a logarithm needs a start > 0."
        )
    return Between(sweep.start, sweep.end, log=log, whole=whole)
