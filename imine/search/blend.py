"""FLAML's BlendSearch: cost-frugal local searches from a low-cost start, and a global one beside them."""

from __future__ import annotations

import warnings
from typing import Any

from imine.search.strategies import Space, Told, quiet

# What is proposed again costs nothing; with 50 in the place of 200, searches end before they leave a valley.
_PATIENCE = 200


class Blend:
    """BlendSearch over the places of the lattice, in which equal steps are equal factors of size.

    Wang, Wu, Huang, Saied (2021), Economical Hyperparameter Optimization With Blended Search Strategy, ICLR. The local
    search begins at the smallest size and moves to costlier ones only where the loss pays for it; the cost is what it
    is told, in tokens, and never wall time.

    Known sizes are asked for and answered at once. ``evaluated_rewards`` of FLAML 2.7 would keep the best of them only,
    and count its cost as 1.
    """

    def __init__(self, space: Space) -> None:
        self._sizes, self._known = space.sizes, dict(space.known)
        self._pending: dict[int, tuple[str, dict[str, Any]]] = {}
        self._asked = 0
        first = [*space.known, *(size for size in space.start if size not in space.known)]
        points = [{"place": space.sizes.index(size)} for size in first]
        with quiet():
            self._search = _searcher()(
                metric="loss",
                mode="min",
                space=_space(len(space.sizes)),
                low_cost_partial_config={"place": 0},
                points_to_evaluate=points or None,
                cost_attr="cost",
                num_samples=space.trials + len(space.known),
                seed=space.seed,
            )

    def ask(self) -> tuple[int, ...]:
        """The next size; what is known is told the searcher on the way."""
        for _ in range(_PATIENCE):
            if len(self._known) + len(self._pending) == len(self._sizes):
                break
            self._asked += 1
            trial = f"trial {self._asked}"
            with quiet():
                config = self._search.suggest(trial)
            if config is None:
                continue
            size = self._sizes[config["place"]]
            self._pending[size] = (trial, config)
            if size not in self._known:
                return (size,)
            self.tell(size, self._known[size])
        return ()

    def tell(self, size: int, told: Told) -> None:
        """Loss and cost of a size."""
        self._known[size] = told
        trial, config = self._pending.pop(size)
        with quiet():
            self._search.on_trial_complete(trial, {"config": config, "loss": told.loss, "cost": told.cost})


def _searcher() -> Any:
    with warnings.catch_warnings():
        # FLAML speaks of another part of itself, which needs another extra.
        warnings.filterwarnings("ignore", "flaml.automl is not available")
        from flaml.tune.searcher.blendsearch import BlendSearch
    return BlendSearch


def _space(places: int) -> dict[str, Any]:
    from flaml import tune

    return {"place": tune.randint(0, places)}
