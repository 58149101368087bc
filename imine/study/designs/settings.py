"""The section ``design`` of a study file."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from imine.study.section import Section

REPEAT_STEP = 1_000_000
"""Repeat ``r`` of run ``k`` has the number ``k + r * REPEAT_STEP``, so more subsets never meet its number."""

# These stand in the recipe of every study that was ever started; keys that came later do where they are set.
_FIRST_KEYS = ("kind", "examples", "alpha")
_NOT_IN_RECIPE = ("subsets", "reference_rows", "repeats")
_ONLY_WITH = {
    "weights": ("multivariate",),
    "levels": ("multivariate",),
    "response_tokens": ("multivariate", "optimal"),
    "indicators": ("univariate", "optimal"),
    "bands": ("univariate",),
    "breadth": ("optimal",),
}

Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class LevelsConfig(Section):
    """Nested levels of quality; see :mod:`imine.study.designs.levels`.

    Attributes:
        lower: pools of lower quality.
        count: levels of a family, from no row of these pools to the largest share.
        most: share of these pools' rows in the last level.
    """

    lower: tuple[str, ...] = Field(min_length=1)
    count: int = Field(default=5, ge=2)
    most: float = Field(default=1.0, gt=0, le=1)


class RepeatsConfig(Section):
    """Runs that are trained again on the same rows with other seeds.

    Attributes:
        runs: the first so many subsets.
        seeds: further seeds of each.
    """

    runs: int = Field(ge=1)
    seeds: int = Field(default=1, ge=1)


class DesignConfig(Section):
    """How subsets are drawn.

    Attributes:
        kind: ``multivariate``: subsets mixed from the pools with random or given weights; ``univariate``: subsets
            from consecutive quantile bands of an indicator; ``optimal``: draws tilted towards one end or the
            other of all indicators, so that their coefficients come out sharp.
        subsets: number of subsets, one finetune each; may be raised later.
        examples: examples of a subset.
        response_tokens: response tokens of a subset, as they are trained on, in place of ``examples``.
        alpha: Dirichlet concentration of every pool: small mixes are dominated by one pool, large ones even.
        weights: given weights of the pools instead of random ones: run ``k`` takes number ``k`` of them, and
            after the last the first again.
        levels: nested levels of quality.
        indicators: what a univariate or optimal design is about; all of the study where absent.
        bands: quantile bands of a univariate design.
        breadth: how many times the examples of a subset its tilted draw effectively chooses from.
        repeats: runs done again with other seeds; may be raised later.
        guard: ``exact``: candidates with a prompt of an evaluation set are left out; ``near``: also those with
            nearly one, see :mod:`imine.study.designs.guard`.
        reference_rows: candidates in the reference set of the nearest-neighbour indicators.
    """

    kind: Literal["multivariate", "univariate", "optimal"] = "multivariate"
    subsets: int = Field(ge=1, lt=REPEAT_STEP)
    examples: int | None = Field(default=None, ge=1)
    response_tokens: int | None = Field(default=None, ge=1)
    alpha: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    weights: tuple[dict[str, Weight], ...] | None = Field(default=None, min_length=1)
    levels: LevelsConfig | None = None
    indicators: tuple[str, ...] | None = Field(default=None, min_length=1)
    bands: int = Field(default=8, ge=2)
    breadth: float = Field(default=2.0, ge=1, allow_inf_nan=False)
    repeats: RepeatsConfig | None = None
    guard: Literal["exact", "near"] = "exact"
    reference_rows: int = Field(default=2000, ge=1)

    @field_validator("weights", mode="before")
    @classmethod
    def _one_mix(cls, value: Any) -> Any:
        return [value] if isinstance(value, dict) else value

    @model_validator(mode="after")
    def _consistent(self) -> DesignConfig:
        if (self.examples is None) == (self.response_tokens is None):
            raise ValueError("give examples or response_tokens, one of the two")
        for key, kinds in _ONLY_WITH.items():
            if self.kind not in kinds and getattr(self, key) != type(self).model_fields[key].default:
                allowed = " or ".join(f'"{kind}"' for kind in kinds)
                raise ValueError(f'the key {key} needs kind = {allowed}; the kind is "{self.kind}"')
        if self.levels and (self.weights or self.response_tokens):
            raise ValueError(
                "levels go with examples and random weights, not with weights or response_tokens"
            )
        if any(not sum(mix.values()) > 0 for mix in self.weights or ()):
            raise ValueError("weights: each mix needs a pool with a weight above 0")
        if self.repeats and self.repeats.runs > self.subsets:
            raise ValueError(f"repeats.runs: at most as many as subsets; got {self.repeats.runs}")
        return self

    @property
    def needs_scores(self) -> bool:
        """Whether the rows depend on the indicators of all candidates."""
        return self.kind != "multivariate"

    @property
    def needs_lengths(self) -> bool:
        """Whether the rows depend on the response tokens of all candidates."""
        return self.response_tokens is not None

    @property
    def total_runs(self) -> int:
        """Number of finetunes: subsets and repeats."""
        return self.subsets + (self.repeats.runs * self.repeats.seeds if self.repeats else 0)

    def check_names(self, pools: tuple[str, ...], indicators: tuple[str, ...]) -> None:
        """Check the names that the section takes from other parts of the file.

        Args:
            pools: names of all pools.
            indicators: names of all indicators.

        Raises:
            ValueError: names the key, what is allowed and what came.
        """
        for key, given, allowed in (
            ("weights", [name for mix in self.weights or () for name in mix], pools),
            ("levels.lower", self.levels.lower if self.levels else (), pools),
            ("indicators", self.indicators or (), indicators),
        ):
            if unknown := next((name for name in given if name not in allowed), None):
                raise ValueError(f"design.{key}: allowed: {', '.join(allowed)}; got {unknown}")
        for key, names in (
            ("levels.lower", self.levels and self.levels.lower),
            ("indicators", self.indicators),
        ):
            if names and len(set(names)) != len(names):
                raise ValueError(f"design.{key}: each once; got {', '.join(names)}")
        if self.levels and set(self.levels.lower) == set(pools):
            raise ValueError("design.levels.lower: at least one pool must be left as the better one")

    def recipe(self) -> dict[str, Any]:
        """What the rows of a run depend on; keys that came later only where they are set."""
        whole = self.model_dump(mode="json", exclude=set(_NOT_IN_RECIPE))
        fields = type(self).model_fields
        return {
            key: value
            for key, value in whole.items()
            if key in _FIRST_KEYS or getattr(self, key) != fields[key].default
        }
