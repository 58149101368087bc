"""Asking a strategy for sizes, finetuning on them, telling it what came of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from imine.progress import Progress
from imine.search.candidates import Candidates
from imine.search.config import SearchSettings
from imine.search.losses import pooled, read_losses
from imine.search.records import check_rows
from imine.search.strategies import Space, Told, make_strategy
from imine.study.ledger import Ledger
from imine.study.sweep import check_finished, run_jobs


@dataclass(frozen=True, slots=True)
class Tried:
    """What a search did.

    Attributes:
        sizes: in the order in which they were tried.
        stopped: why it ended: ``trials``, ``token budget`` or ``nothing new``.
    """

    sizes: tuple[int, ...]
    stopped: str


@dataclass(slots=True)
class Driver:
    """One search at work.

    A search that was stopped is replayed from its start: the strategy is told again what the ledger has, and asks for
    the same sizes, since it depends on nothing but its seed, the losses and the tokens.

    Attributes:
        candidates: rows and trainer.
        settings: how sizes are searched.
        search_on: evaluation sets whose loss is to become small.
        ledger: takes the finetunes.
        say: told of every finetune.
        after_job: called with a finetune's record once it is in the ledger.
    """

    candidates: Candidates
    settings: SearchSettings
    search_on: tuple[str, ...]
    ledger: Ledger
    say: Progress
    after_job: Callable[[dict[str, Any]], None] | None = None

    def search(self, sizes: tuple[int, ...], known: tuple[int, ...] = ()) -> Tried:
        """Try sizes until the trials are used up, the tokens are, or nothing new is proposed.

        Args:
            sizes: the lattice.
            known: sizes of it that the ledger has and the strategy is to know before.
        """
        told = {size: self._told(size) for size in known}
        start = tuple(dict.fromkeys(self.settings.start))
        space = Space(sizes, self.settings.trials, self.candidates.seed, start, told)
        strategy = make_strategy(self.settings.strategy, space)
        tried: list[int] = []
        spent = 0
        while left := self.settings.trials - len(tried):
            asked = strategy.ask()[:left]
            batch, spent = self._affordable(asked, spent)
            self._finetune(batch)
            for size in batch:
                strategy.tell(size, self._told(size))
            tried += batch
            if not asked:
                return Tried(tuple(tried), "nothing new")
            if len(batch) < len(asked):
                return Tried(tuple(tried), "token budget")
        return Tried(tuple(tried), "trials")

    def cost(self, size: int) -> int:
        """Tokens that all finetunes of a size are trained on."""
        return self.candidates.cost(self.candidates.jobs(size, self.settings.seeds))

    def _affordable(self, asked: tuple[int, ...], spent: int) -> tuple[tuple[int, ...], int]:
        budget = self.settings.token_budget
        for place, size in enumerate(asked):
            if budget is not None and spent + self.cost(size) > budget:
                return asked[:place], spent
            spent += self.cost(size)
        return asked, spent

    def _finetune(self, sizes: tuple[int, ...]) -> None:
        jobs = [job for size in sizes for job in self.candidates.jobs(size, self.settings.seeds)]
        if not jobs:
            return
        check_rows(self.ledger, jobs)
        run_jobs(jobs, self.candidates.trainer, self.ledger, progress=self.say, after_job=self.after_job)
        check_finished(jobs, self.ledger, "the search")

    def _told(self, size: int) -> Told:
        check_rows(self.ledger, self.candidates.jobs(size, self.settings.seeds))
        losses = read_losses(self.ledger, (size,), self.settings.seeds)
        mean = float(np.mean(pooled(losses, self.search_on)[0, 0]))
        return Told(mean, float(self.cost(size)))


def trial_numbers(tried: Tried) -> Mapping[int, int]:
    """Number of the trial of every size, from 1."""
    return {size: number for number, size in enumerate(tried.sizes, 1)}
