"""Batches that shrink where memory runs out."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imine.indicators.batches import BatchResult, is_out_of_memory, run_batches
from imine.progress import SilentProgress

torch = pytest.importorskip("torch")

ERRORS: list[Callable[[], Exception]] = [
    lambda: torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB"),
    lambda: RuntimeError("MPS backend out of memory (MPS allocated: 5.05 GB)"),
    lambda: RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory"),
    lambda: RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate(handle)"),
    MemoryError,
]


class Device:
    """A device on which so many padded tokens fit."""

    def __init__(self, lengths: list[int], room: int, error: Callable[[], Exception] = ERRORS[0]) -> None:
        self.lengths, self.room, self.error = lengths, room, error
        self.tried: list[int] = []

    def __call__(self, rows: list[int]) -> list[int]:
        size = max(self.lengths[i] for i in rows) * len(rows)
        self.tried.append(size)
        if size > self.room:
            raise self.error()
        return [self.lengths[i] for i in rows]


@pytest.mark.parametrize("error", ERRORS)
def test_a_batch_is_halved_until_it_fits_and_later_ones_are_smaller(error: Callable[[], Exception]) -> None:
    lengths = [10] * 64
    device = Device(lengths, 85, error)
    results = list(run_batches(lengths, device, max_tokens=320))
    assert sorted(i for result in results for i in result.rows) == list(range(64))
    assert [device.tried.count(size) for size in (320, 160)] == [1, 1], "what was too much is not tried again"
    assert max(device.tried[2:]) == 80
    assert all(result.values == [10] * 8 and result.why is None for result in results)


@settings(max_examples=30)  # freeing memory takes its time where torch is loaded
@given(
    st.lists(st.integers(1, 40), max_size=40), st.integers(1, 400), st.integers(1, 400)
)  # lengths, room, budget
def test_every_row_is_computed_once_or_told_too_long(lengths: list[int], room: int, budget: int) -> None:
    results = list(run_batches(lengths, Device(lengths, room), max_tokens=budget))
    assert sorted(i for result in results for i in result.rows) == list(range(len(lengths)))
    for result in results:
        fits = max(lengths[i] for i in result.rows) <= room
        assert (result.values is not None) == fits
        assert (result.why is None) == fits
        if fits:
            assert result.values == [lengths[i] for i in result.rows]


def test_a_row_that_does_not_fit_is_given_back_and_the_others_go_on() -> None:
    lengths = [5, 900, 5]
    results = list(run_batches(lengths, Device(lengths, 100), max_tokens=1000))
    assert results[0] == BatchResult([1], None, "memory ran out at the example's 900 tokens")
    assert [result.values for result in results[1:]] == [[5, 5]]


def test_it_is_said_once_each_time() -> None:
    class Notes(SilentProgress):
        lines: list[str] = []  # noqa: RUF012

        def note(self, text: str) -> None:
            self.lines.append(text)

    lengths, notes = [10] * 40, Notes()
    list(run_batches(lengths, Device(lengths, 100), max_tokens=200, progress=notes))
    assert notes.lines == ["memory ran out at 20 rows of 200 tokens together; going on with at most 100"]


def test_other_errors_are_not_swallowed() -> None:
    def broken(rows: list[int]) -> list[int]:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        list(run_batches([3, 3], broken, max_tokens=10))
    assert not is_out_of_memory(ValueError("out of memory"))


def test_a_score_that_memory_did_not_suffice_for_is_null_now_and_tried_again_later(
    own_cache: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    from imine.indicators.judging import JudgeInput, judge_rows, judged_column, open_store

    inputs = [JudgeInput([1] * 9), JudgeInput([1, 2]), JudgeInput([], why="the response is empty")]
    keys = ["long", "short", "empty"]
    for room, expected in ((5, None), (50, 9.0)):
        store = open_store("reward", {"model": "m"}, on_disk=True)
        missing = store.missing(keys)
        assert missing == ([0, 1, 2] if expected is None else [0])

        def judge(rows: list[JudgeInput], room: int = room) -> list[float]:
            if sum(len(row.ids) for row in rows) > room:
                raise torch.OutOfMemoryError("CUDA out of memory.")
            return [float(len(row.ids)) for row in rows]

        judge_rows(
            [inputs[i] for i in missing],
            [keys[i] for i in missing],
            [store] * len(missing),
            lambda device, judge=judge: judge,  # type: ignore[misc]
            kind="reward",
            devices=["cpu"],
            progress=SilentProgress(),
        )
        column = judged_column(store, keys, "reward", 10, SilentProgress())
        assert column["value"].to_list() == [expected, 2.0, None]
        why = None if expected else "memory ran out at the example's 9 tokens"
        assert column["why"].to_list() == [why, None, "the response is empty"]


def test_a_score_that_is_no_number_is_null_with_its_reason(own_cache: object) -> None:
    from imine.indicators.judging import JudgeInput, judge_rows, judged_column, open_store

    store = open_store("reward", {"model": "n"}, on_disk=False)
    judge_rows(
        [JudgeInput([1]), JudgeInput([2])],
        ["a", "b"],
        [store, store],
        lambda device: lambda rows: [float("nan"), 1.0],
        kind="reward",
        devices=["cpu"],
        progress=SilentProgress(),
    )
    column = judged_column(store, ["b", "a"], "reward", 10, SilentProgress())
    assert column.rows() == [(1.0, None, 0), (None, "the model's score is not a finite number", 0)]
