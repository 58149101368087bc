"""Optuna's tree-structured Parzen estimator."""

from __future__ import annotations

from typing import Any

import numpy as np

from imine.search.strategies import Space, Told, quiet

# So often in a row may be proposed what was tried. Near its end the estimator proposes little else.
_PATIENCE = 20


class Tpe:
    """Optuna over the places of the lattice: random sizes for the first third of the trials, then where losses are low.

    Where it proposes what was tried again and again, an untried size is drawn at random. It knows nothing of cost.
    Bergstra, Bardenet, Bengio, Kegl (2011), Algorithms for Hyper-Parameter Optimization, NeurIPS.
    """

    def __init__(self, space: Space) -> None:
        import optuna

        self._sizes, self._known = space.sizes, dict(space.known)
        self._rng = np.random.default_rng(space.seed)
        self._failed = optuna.trial.TrialState.FAIL
        self._places: dict[str, Any] = {
            "place": optuna.distributions.IntDistribution(0, len(space.sizes) - 1)
        }
        sampler = optuna.samplers.TPESampler(seed=space.seed, n_startup_trials=max(2, space.trials // 3))
        with quiet():
            self._study = optuna.create_study(sampler=sampler, direction="minimize")
        for size, told in space.known.items():
            self._study.add_trial(
                optuna.trial.create_trial(
                    params={"place": self._sizes.index(size)}, distributions=self._places, value=told.loss
                )
            )
        for size in space.start:
            if size not in space.known:
                self._study.enqueue_trial({"place": self._sizes.index(size)})
        self._pending: dict[int, Any] = {}

    def ask(self) -> tuple[int, ...]:
        """The next size."""
        left = [place for place, size in enumerate(self._sizes) if size not in self._known]
        if not left:
            return ()
        for _ in range(_PATIENCE):
            trial = self._study.ask(self._places)
            if trial.params["place"] in left:
                return self._propose(trial)
            # A size that was tried is no news: told again, it would count twice.
            self._study.tell(trial, state=self._failed)
        self._study.enqueue_trial({"place": left[int(self._rng.integers(len(left)))]})
        return self._propose(self._study.ask(self._places))

    def _propose(self, trial: Any) -> tuple[int, ...]:
        size = self._sizes[trial.params["place"]]
        self._pending[size] = trial
        return (size,)

    def tell(self, size: int, told: Told) -> None:
        """The loss of a size."""
        self._known[size] = told
        self._study.tell(self._pending.pop(size), told.loss)
