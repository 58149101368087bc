"""What strategies propose: known curves, the same sizes for the same inputs, warm starts, missing packages."""

from __future__ import annotations

import importlib.util
import itertools
import math
from typing import Any

import numpy as np
import pytest

from imine.errors import MissingExtraError, SearchError
from imine.search.sizes import size_lattice, spread
from imine.search.strategies import STRATEGIES, Space, StrategyName, Told, check_strategy, make_strategy
from tests.search_fakes import CURVES

SIZES = size_lattice(512, 16384)
NEEDS = {"blendsearch": "flaml", "optuna": "optuna", "grid": "numpy"}


def strategy(name: StrategyName, *args: Any, **more: Any) -> Any:
    pytest.importorskip(NEEDS[name])
    return make_strategy(name, Space(*args, **more))


def drive(proposer: Any, curve: str, trials: int, cost: float = 600.0) -> dict[int, float]:
    tried: dict[int, float] = {}
    while len(tried) < trials and (asked := proposer.ask()):
        for size in asked:
            assert size not in tried
            tried[size] = CURVES[curve](math.log2(size))
            proposer.tell(size, Told(tried[size], cost * size))
    return tried


def steps_off(tried: dict[int, float], curve: str) -> int:
    best = min(SIZES, key=lambda size: CURVES[curve](math.log2(size)))
    return abs(SIZES.index(min(tried, key=tried.__getitem__)) - SIZES.index(best))


def test_lattice_ends_and_steps() -> None:
    assert SIZES[0] == 512
    assert SIZES[-1] == 16384
    assert len(SIZES) == 21
    ratios = [b / a for a, b in itertools.pairwise(SIZES)]
    assert max(ratios) == pytest.approx(2**0.25, rel=0.01)
    # The largest takes the place of one just below it; small sizes do not stand twice.
    assert size_lattice(512, 8300)[-2:] == (6889, 8300)
    assert size_lattice(1, 4, steps=8) == (1, 2, 3, 4)
    assert size_lattice(7, 7) == (7,)
    with pytest.raises(SearchError, match="the smallest size is 9 and the largest 8"):
        size_lattice(9, 8)


def test_spread_has_both_ends() -> None:
    assert spread(SIZES, 5) == (512, 1218, 2896, 6889, 16384)
    assert all(len(set(spread(SIZES, k))) == k for k in range(1, 22))


@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.parametrize("curve", ["falling", "valley", "early valley"])
def test_the_minimum_is_found_within_twelve_trials(name: StrategyName, curve: str) -> None:
    """Of 21 sizes; within two steps, a factor of 1.41 in size."""
    for seed in range(3):
        tried = drive(strategy(name, SIZES, 12, seed), curve, 12)
        assert len(tried) <= 12
        assert steps_off(tried, curve) <= 2


@pytest.mark.parametrize("name", ["optuna", "grid"])
def test_a_second_descent_is_found_where_the_whole_range_is_looked_at(name: StrategyName) -> None:
    assert steps_off(drive(strategy(name, SIZES, 12, 0), "double descent", 12), "double descent") <= 1


def test_blendsearch_is_frugal() -> None:
    """Where small subsets are as good, the large ones are not paid for."""
    spent = {
        name: sum(drive(strategy(name, SIZES, 8, 1), "early valley", 8)) for name in ("blendsearch", "grid")
    }
    assert spent["blendsearch"] < spent["grid"] / 2


def test_blendsearch_begins_at_the_smallest_and_is_told_the_cost() -> None:
    assert strategy("blendsearch", SIZES, 12, 3).ask() == (512,)
    # Costs far below its smallest unit make all searches equally cheap, and others go on.
    cheap, dear = (drive(strategy("blendsearch", SIZES, 14, 0), "valley", 14, cost) for cost in (1e-4, 600.0))
    assert list(cheap) != list(dear)


@pytest.mark.filterwarnings("ignore:Define-by-run function")
@pytest.mark.parametrize("name", STRATEGIES)
def test_the_same_inputs_give_the_same_trials(name: StrategyName, monkeypatch: pytest.MonkeyPatch) -> None:
    found, clock = [], itertools.count(0, 1e5)
    for noise in (1, 2):
        # What others draw from numpy's global generator must not matter, and how long things take neither.
        np.random.seed(noise)  # noqa: NPY002
        if noise == 2:
            monkeypatch.setattr("time.time", lambda: next(clock))
        found.append(list(drive(strategy(name, SIZES, 12, 7), "valley", 12)))
    assert found[0] == found[1]
    if name != "grid":
        assert found[0] != list(drive(strategy(name, SIZES, 12, 8), "valley", 12))


@pytest.mark.parametrize("name", STRATEGIES)
def test_known_sizes_are_not_asked_for_and_guide(name: StrategyName) -> None:
    known = {size: Told(CURVES["valley"](math.log2(size)), 600.0 * size) for size in (512, 1448, 2896, 8192)}
    tried = drive(strategy(name, SIZES, 3, 0, known=known), "valley", 3)
    assert tried
    assert not set(tried) & set(known)
    if name == "blendsearch":
        # From the best known size its neighbourhood is searched, not the smallest.
        assert steps_off(tried, "valley") <= 2
        assert min(tried) > 609


@pytest.mark.parametrize("name", STRATEGIES)
def test_start_sizes_come_first(name: StrategyName) -> None:
    tried = list(drive(strategy(name, SIZES, 4, 0, start=(4096, 1024)), "valley", 4))
    assert {4096, 1024} <= set(tried)
    if name != "grid":
        assert tried[:2] == [4096, 1024]


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_small_lattice_is_used_up_and_the_search_ends(name: StrategyName) -> None:
    proposer = strategy(name, (10, 20, 30), 12, 0)
    tried = drive(proposer, "valley", 12)
    assert set(tried) == {10, 20, 30}
    assert proposer.ask() == ()


@pytest.mark.parametrize(
    ("name", "package", "line"),
    [("blendsearch", "flaml", r'pip install "imine\[flaml\]"'), ("optuna", "optuna", r'"imine\[search\]"')],
)
def test_a_missing_package_is_named(
    monkeypatch: pytest.MonkeyPatch, name: StrategyName, package: str, line: str
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda n, *a: None if n == package else object())
    with pytest.raises(MissingExtraError, match=f"the strategy {name}: {package} not installed.*{line}"):
        check_strategy(name)
    check_strategy("grid")
