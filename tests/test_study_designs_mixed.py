"""Given weights, budgets of response tokens, nested levels, repeats."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imine.errors import StudyConfigError
from imine.study.design import draw_subset
from imine.study.designs.budget import TOLERANCE, take_tokens
from imine.study.designs.draw import draw_design
from imine.study.designs.levels import draw_level
from imine.study.designs.mixed import given_mix, random_line, token_mix
from imine.study.designs.settings import REPEAT_STEP
from tests.study_candidates import candidates, config, pools

ALPHAS = {"a": 0.5, "b": 0.5, "c": 0.5}
POOLS = pools(50, 80, 40)


def test_the_plain_design_draws_what_it_always_drew() -> None:
    design = {"subsets": 6, "examples": 20, "alpha": 0.5}
    drawn = draw_design(config(design, seed=7), POOLS).subsets
    assert list(drawn) == [draw_subset(POOLS, ALPHAS, 20, seed=7, run=run) for run in range(6)]
    # As it was drawn before there were other designs.
    assert [subset.sha256 for subset in drawn[:2]] == ["38b6f69098189580", "80a61677f98b3c1d"]


@settings(max_examples=60, deadline=None)
@given(
    weights=st.lists(st.floats(0.05, 1.0), min_size=3, max_size=3),
    examples=st.integers(1, 40),
    seed=st.integers(0, 2**63),
    run=st.integers(0, 500),
)
def test_given_weights_are_met_but_for_rounding(
    weights: list[float], examples: int, seed: int, run: int
) -> None:
    mix = dict(zip("abc", weights, strict=True))
    own = candidates(60, 60, 60)
    subset = given_mix(own, mix, seed, run, examples=examples)
    assert len(subset.ids) == len(set(subset.ids)) == examples
    for name, weight in mix.items():
        share = weight / sum(weights)
        assert subset.weights[name] == pytest.approx(share)
        # Webster's rule misses a quota by less than (pools - 1) / 2 + 1/2 rows, and by less than 1 nearly always.
        assert abs(subset.counts[name] - share * examples) < 1.5
    assert given_mix(own, mix, seed, run, examples=examples) == subset


def test_a_pool_without_weight_gives_nothing_and_one_too_small_is_named() -> None:
    own = candidates(30, 5, 30)
    assert given_mix(own, {"a": 1.0}, 0, 0, examples=30).counts == {"a": 30, "b": 0, "c": 0}
    with pytest.raises(
        StudyConfigError, match=r"design\.weights: run 3 .* 10 of pool b .* it has 5 candidates"
    ):
        given_mix(own, {"a": 1, "b": 1}, 0, 3, examples=20)
    with pytest.raises(StudyConfigError, match=r"design\.examples: 40 .* weight have 35 candidates"):
        given_mix(own, {"a": 6, "b": 1}, 0, 3, examples=40)


def test_runs_take_the_given_weights_in_turn() -> None:
    design = {"subsets": 5, "examples": 8, "weights": [{"a": 1}, {"b": 3, "c": 1}]}
    drawn = draw_design(config(design), POOLS).subsets
    assert [subset.counts["b"] for subset in drawn] == [0, 6, 0, 6, 0]
    assert len({subset.sha256 for subset in drawn}) == 5


def plain_closest(line: list[int], lengths: list[int], budget: int) -> int:
    """The smallest gap that the prefix and at most one more row leave: exchanges can only make it smaller."""
    total, count = 0, 0
    for row in line:
        if total + lengths[row] > budget:
            break
        total, count = total + lengths[row], count + 1
    return min(
        abs(budget - total - more) for more in [0, *(lengths[row] for row in line[count : count + 200])]
    )


@settings(max_examples=150, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 40), min_size=60, max_size=300),
    budget=st.integers(200, 600),
    seed=st.integers(0, 1000),
)
def test_a_budget_is_met_by_the_first_rows_and_few_others(lengths: list[int], budget: int, seed: int) -> None:
    line = np.random.default_rng(seed).permutation(len(lengths))
    gap = plain_closest(line.tolist(), lengths, budget)
    if sum(lengths) < budget * (1 - TOLERANCE):
        with pytest.raises(StudyConfigError, match=r"design\.response_tokens: .* cannot be met within 2%"):
            take_tokens(line, np.array(lengths), budget)
        return
    taken = take_tokens(line, np.array(lengths), budget)
    assert len(set(taken.tolist())) == len(taken)
    assert abs(budget - sum(lengths[row] for row in taken)) <= gap
    first = line[: len(taken)].tolist()
    assert len(set(first) - set(taken.tolist())) <= 4


def test_a_budget_that_long_rows_cannot_meet_is_an_error() -> None:
    with pytest.raises(StudyConfigError, match="the rows drawn come to 200"):
        take_tokens(np.arange(10), np.full(10, 100), 250)


@settings(max_examples=40, deadline=None)
@given(budget=st.integers(300, 2000), seed=st.integers(0, 10**9), run=st.integers(0, 300))
def test_random_mixes_of_tokens(budget: int, seed: int, run: int) -> None:
    own = candidates(60, 80, 40)
    assert own.lengths is not None
    length = dict(zip(own.ids, own.lengths.tolist(), strict=True))
    subset = token_mix(own, ALPHAS, budget, seed, run)
    assert len(subset.ids) == len(set(subset.ids))
    assert abs(sum(length[id] for id in subset.ids) - budget) <= TOLERANCE * budget
    assert subset.counts == {name: subset.pools.count(name) for name in "abc"}
    assert token_mix(own, ALPHAS, budget, seed, run) == subset


def test_a_line_holds_every_candidate_once_and_begins_with_the_weights() -> None:
    own = candidates(500, 500, 500)
    firsts = np.zeros(3)
    for seed in range(40):
        line = random_line(own, np.array([0.6, 0.3, 0.1]), np.random.default_rng(seed))
        assert sorted(line.tolist()) == list(range(1500))
        firsts += np.bincount(own.pool[line[:100]], minlength=3)
    # 4,000 draws: three standard errors of a share are at most 0.023.
    np.testing.assert_allclose(firsts / 4000, [0.6, 0.3, 0.1], atol=0.023)


@settings(max_examples=40, deadline=None)
@given(
    count=st.integers(2, 6),
    most=st.floats(0.2, 1.0),
    examples=st.integers(2, 30),
    seed=st.integers(0, 10**9),
    family=st.integers(0, 20),
)
def test_levels_are_nested(count: int, most: float, examples: int, seed: int, family: int) -> None:
    own = candidates(50, 80, 40)
    levels = [
        draw_level(own, ALPHAS, ("b",), count, most, examples, seed, family * count + level)
        for level in range(count)
    ]
    lower = [{id for id in level.ids if id.startswith("b")} for level in levels]
    better = [set(level.ids) - low for level, low in zip(levels, lower, strict=True)]
    assert all(len(level.ids) == len(set(level.ids)) == examples for level in levels)
    assert all(a <= b for a, b in pairwise(lower))
    assert all(a >= b for a, b in pairwise(better))
    assert len(lower[0]) == 0
    assert len(lower[-1]) == round(examples * most)
    assert [level.labels["design_level"] for level in levels] == list(range(count))
    again = draw_level(own, ALPHAS, ("b",), count, most, examples, seed, family * count + 1)
    assert again == levels[1]


def test_levels_of_pools_that_are_too_small() -> None:
    with pytest.raises(
        StudyConfigError, match=r"levels need 20 rows from the pools of .*lower.* have 5 cand"
    ):
        draw_level(candidates(50, 5), {"a": 1, "b": 1}, ("b",), 3, 1.0, 20, 0, 0)


def test_repeats_have_the_rows_of_their_run_other_seeds_and_numbers_of_their_own() -> None:
    design = {"subsets": 5, "examples": 10, "repeats": {"runs": 3, "seeds": 2}}
    plain = draw_design(config({"subsets": 5, "examples": 10}), POOLS).subsets
    drawn = {subset.run: subset for subset in draw_design(config(design), POOLS).subsets}
    assert config(design).design.total_runs == len(drawn) == 11
    for run, base in enumerate(plain):
        assert (drawn[run].ids, drawn[run].seed) == (base.ids, base.seed)
    for run in range(3):
        same = [drawn[run], drawn[run + REPEAT_STEP], drawn[run + 2 * REPEAT_STEP]]
        assert len({subset.sha256 for subset in same}) == 1
        assert len({subset.seed for subset in same}) == 3
        assert [subset.labels for subset in same] == [{"subset": run, "repeat": r} for r in range(3)]


@settings(max_examples=30, deadline=None)
@given(
    subsets=st.integers(3, 6), more=st.integers(0, 5), seeds=st.integers(1, 3), more_seeds=st.integers(0, 2)
)
def test_more_subsets_and_repeats_only_add_runs(subsets: int, more: int, seeds: int, more_seeds: int) -> None:
    few = {"subsets": subsets, "examples": 10, "repeats": {"runs": 3, "seeds": seeds}}
    many = {"subsets": subsets + more, "examples": 10, "repeats": {"runs": 3, "seeds": seeds + more_seeds}}
    before = {s.run: s for s in draw_design(config(few), POOLS).subsets}
    after = {s.run: s for s in draw_design(config(many), POOLS).subsets}
    assert len(after) == subsets + more + 3 * (seeds + more_seeds)
    assert before.items() <= after.items()
