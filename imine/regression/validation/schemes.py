"""Ways to leave runs out."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Held:
    """One fold: what it is called, in which repeat it is, and the rows that it leaves out."""

    label: str
    repeat: int
    rows: Rows


class Scheme(Protocol):
    """Anything that says which rows are left out together."""

    def folds(self, n_runs: int) -> list[Held]:
        """The folds over ``n_runs`` rows, repeat by repeat."""
        ...


@dataclass(frozen=True, slots=True)
class KFold:
    """``k`` random parts of sizes that differ by at most one, each left out once a repeat.

    Attributes:
        k: number of parts, at least 2.
        repeats: how often the runs are dealt out anew.
        seed: of the dealing; repeat ``i`` is the same however many there are.

    Examples:
        >>> [fold.rows.tolist() for fold in KFold(2).folds(5)]
        [[0, 2, 3], [1, 4]]
    """

    k: int = 10
    repeats: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        if self.k < 2 or self.repeats < 1 or self.seed < 0:
            raise ValueError(
                "KFold needs k of at least 2, repeats of at least 1 and a seed that is not negative; "
                f"got {self.k}, {self.repeats} and {self.seed}"
            )

    def folds(self, n_runs: int) -> list[Held]:
        """The folds over ``n_runs`` rows."""
        if n_runs < self.k:
            raise ValueError(f"{n_runs} runs cannot be dealt into {self.k} folds; lower k")
        dealt = []
        for repeat, seed in enumerate(np.random.SeedSequence(self.seed).spawn(self.repeats)):
            order = np.random.default_rng(seed).permutation(n_runs)
            for i, rows in enumerate(np.array_split(order, self.k)):
                dealt.append(Held(f"fold {i + 1}", repeat, np.sort(rows)))
        return dealt


@dataclass(frozen=True, slots=True)
class LeaveOneOut:
    """Every run by itself.

    Examples:
        >>> [fold.label for fold in LeaveOneOut().folds(2)]
        ['run 0', 'run 1']
    """

    def folds(self, n_runs: int) -> list[Held]:
        """The folds over ``n_runs`` rows."""
        return [Held(f"run {i}", 0, np.array([i])) for i in range(n_runs)]


@dataclass(frozen=True, slots=True)
class LeaveOneGroupOut:
    """All runs of one source, base model or other group together.

    Attributes:
        groups: one entry a run: a label, or, where a run belongs to several groups (subsets mixed from several
            pools), a set or tuple of labels. A run is left out with each group that it belongs to, and the rule
            is then fitted on runs without any part of that group.

    Examples:
        >>> [(f.label, f.rows.tolist()) for f in LeaveOneGroupOut(("a", {"a", "b"}, "b")).folds(3)]
        [('a', [0, 1]), ('b', [1, 2])]
    """

    groups: Sequence[Hashable | set[Hashable]]

    def folds(self, n_runs: int) -> list[Held]:
        """The folds over ``n_runs`` rows, groups in the order of their first run."""
        if len(self.groups) != n_runs:
            raise ValueError(
                f"groups must have one entry for each of the {n_runs} runs; got {len(self.groups)}"
            )
        several = (set, frozenset, tuple, list)
        belongs = [
            sorted(g, key=str) if isinstance(g, several) else [g]  # type: ignore[call-overload]
            for g in self.groups
        ]
        labels = dict.fromkeys(label for run in belongs for label in run)
        if len(labels) < 2:
            raise ValueError(f"groups must name at least two groups; got {list(labels)}")
        return [
            Held(str(label), 0, np.array([i for i, run in enumerate(belongs) if label in run]))
            for label in labels
        ]
