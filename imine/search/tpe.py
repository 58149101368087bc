"""Optuna's tree-structured Parzen estimator."""

from __future__ import annotations

from typing import Any

from imine.search.strategies import PATIENCE, Space, Told, quiet


class Tpe:
    """Optuna over the places of the lattice: random sizes for the first third of the trials, then where losses are low.

    Bergstra, Bardenet, Bengio, Kegl (2011), Algorithms for Hyper-Parameter Optimization, NeurIPS. It knows nothing of
    cost.
    """

    def __init__(self, space: Space) -> None:
        import optuna

        self._sizes, self._known = space.sizes, dict(space.known)
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
        for _ in range(PATIENCE):
            if len(self._known) == len(self._sizes):
                break
            trial = self._study.ask(self._places)
            size = self._sizes[trial.params["place"]]
            if size not in self._known:
                self._pending[size] = trial
                return (size,)
            # A size that was tried is no news: told again, it would count twice.
            self._study.tell(trial, state=self._failed)
        return ()

    def tell(self, size: int, told: Told) -> None:
        """The loss of a size."""
        self._known[size] = told
        self._study.tell(self._pending.pop(size), told.loss)
