"""Strategies: which size to try next, asked and told, so that a search can be replayed from its records."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from typing import Literal, Protocol, get_args

from imine.errors import MissingExtraError
from imine.search.sizes import spread

StrategyName = Literal["blendsearch", "optuna", "grid"]
STRATEGIES: tuple[StrategyName, ...] = get_args(StrategyName)

_NEEDS = {"blendsearch": ("flaml", ("flaml", "optuna")), "optuna": ("search", ("optuna",))}


@dataclass(frozen=True, slots=True)
class Told:
    """What is known of a size.

    Attributes:
        loss: what is to become small, in nats a token.
        cost: tokens that finding it out took.
    """

    loss: float
    cost: float


@dataclass(frozen=True, slots=True)
class Space:
    """What a strategy searches.

    Attributes:
        sizes: the lattice, ascending.
        trials: sizes that may be tried.
        seed: everything random follows from it.
        start: sizes to try first; by default as the strategy likes.
        known: sizes whose loss is known before.
    """

    sizes: tuple[int, ...]
    trials: int
    seed: int = 0
    start: tuple[int, ...] = ()
    known: Mapping[int, Told] = field(default_factory=dict)


class Strategy(Protocol):
    """Proposes sizes; deterministic in its space and in what it is told."""

    def ask(self) -> tuple[int, ...]:
        """Sizes to try next, each new; none where there is nothing more to propose."""

    def tell(self, size: int, told: Told) -> None:
        """The loss and the cost of a size that was asked for."""


class Grid:
    """Sizes spread evenly over the lattice, all at once, the cheapest first."""

    def __init__(self, space: Space) -> None:
        chosen = {*spread(space.sizes, max(space.trials - len(space.start), 0) or 1), *space.start}
        if len(space.start) >= space.trials:
            chosen = set(space.start)
        self._left = tuple(size for size in sorted(chosen) if size not in space.known)

    def ask(self) -> tuple[int, ...]:
        """All sizes, once."""
        left, self._left = self._left, ()
        return left

    def tell(self, size: int, told: Told) -> None:
        """Nothing follows from a loss."""


def make_strategy(name: StrategyName, space: Space) -> Strategy:
    """A strategy by its name.

    Args:
        name: ``blendsearch``, ``optuna`` or ``grid``.
        space: what it searches.

    Raises:
        MissingExtraError: its package is not installed.

    Examples:
        >>> make_strategy("grid", Space((512, 724, 1024, 1448, 2048), trials=3)).ask()
        (512, 1024, 2048)
    """
    check_strategy(name)
    if name == "blendsearch":
        from imine.search.blend import Blend

        return Blend(space)
    if name == "optuna":
        from imine.search.tpe import Tpe

        return Tpe(space)
    return Grid(space)


def check_strategy(name: StrategyName) -> None:
    """Fail before any work where a strategy's package is not installed.

    Raises:
        MissingExtraError: names the package and the line that installs it.
    """
    extra, packages = _NEEDS.get(name, ("", ()))
    if absent := _absent(packages):
        raise MissingExtraError(
            f"the strategy {name}: {', '.join(absent)} not installed; the extra brings it: "
            f'pip install "imine[{extra}]". The strategy grid needs no package'
        )


def _absent(packages: Sequence[str]) -> list[str]:
    return [name for name in packages if importlib.util.find_spec(name) is None]


@contextmanager
def quiet() -> Iterator[None]:
    """Keep FLAML and optuna from writing a line at every study and every repeated size, in this context alone."""
    import_module("optuna")  # which sets the level of its logger
    loggers = [logging.getLogger(name) for name in ("flaml.tune.searcher.suggestion", "optuna")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
