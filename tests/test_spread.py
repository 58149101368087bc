"""Models on several devices, one process each: two processes of the CPU stand for two accelerators."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import imine
from imine.errors import WorkerError
from imine.indicators.settings import ScoreSettings
from imine.indicators.spread import Compute, run_spread
from imine.progress import SilentProgress
from tests.tiny_judges import save_neox_reward, save_t5

pytest.importorskip("torch")

TWO = ("cpu", "cpu")
POOL = pl.DataFrame(
    {
        "id": [f"r{i}" for i in range(14)],
        "source": "made",
        "instruction": ["Say something.", "Add two numbers."] * 7,
        "input": ["", "1, 2"] * 7,
        "output": ["!" * i for i in range(13)] + ["a longer answer of some words"],
    }
)
JUDGED = ["reward", "naturalness", "coherence", "understandability"]


class Notes(SilentProgress):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def doubling(room: int, device: str) -> Compute:
    """A model that doubles numbers and has memory for so much."""

    def compute(rows: list[int]) -> list[float]:
        if sum(rows) > room:
            raise MemoryError
        return [2.0 * row for row in rows]

    assert device == "cpu"
    return compute


@pytest.mark.parametrize("devices", [("cpu",), TWO])
def test_every_row_comes_once_and_memory_that_runs_out_is_told(devices: tuple[str, ...]) -> None:
    numbers, told = [7, 1, 5, 3, 90, 2, 4, 6, 8, 9] * 20, Notes()
    found: dict[int, float | None] = {}
    for done in run_spread(partial(doubling, 40), numbers, numbers, devices, {"cpu": 60}, told):
        for row, value in zip(done.rows, done.values or [None] * len(done.rows), strict=True):
            assert row not in found
            found[row] = value
            assert (done.why is None) == (numbers[row] != 90)
    assert found == {i: None if number == 90 else 2.0 * number for i, number in enumerate(numbers)}
    assert any("memory ran out" in note for note in told.notes)


def test_no_rows_need_no_model() -> None:
    def never(device: str) -> Compute:
        raise AssertionError("a model was loaded for nothing")

    assert list(run_spread(never, [], [], TWO, {"cpu": 60}, SilentProgress())) == []


def broken(device: str) -> Compute:
    raise ValueError("no such weights")


def test_a_process_that_fails_says_why() -> None:
    with pytest.raises(WorkerError, match="no such weights"):
        list(run_spread(broken, [1, 2], [1, 2], TWO, {"cpu": 60}, SilentProgress()))


def test_judges_in_two_processes_give_what_one_gives(tmp_path: Path, own_cache: Path) -> None:
    settings = ScoreSettings(
        reward_model=str(save_neox_reward(tmp_path / "reward")),
        unieval_model=str(save_t5(tmp_path / "t5")),
        cache=False,
    )
    one = imine.score(POOL, JUDGED, settings=settings)
    two = imine.score(POOL, JUDGED, settings=replace(settings, devices=TWO))
    assert one.frame["reward"].null_count() < POOL.height
    for name in JUDGED:
        assert one.frame[name].is_null().equals(two.frame[name].is_null())
        assert (one.frame[name] - two.frame[name]).abs().max() < 1e-5
    assert one.fingerprints == two.fingerprints


@pytest.mark.models
def test_embeddings_in_two_processes_are_those_of_one(embedded_models: None) -> None:
    from imine.indicators.stages.neighbors import embed_records

    settings = ScoreSettings(cache=False)
    one = embed_records(POOL, settings, SilentProgress())
    two = embed_records(POOL, replace(settings, devices=TWO), SilentProgress())
    assert np.abs(one - two).max() < 1e-5
    assert one.any(axis=1).all()
