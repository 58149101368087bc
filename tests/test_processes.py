"""One process a device: all results come back, and what goes wrong in one is told by the other."""

from __future__ import annotations

import pytest

from imine.errors import WorkerError
from imine.indicators.processes import run_in_processes
from imine.progress import SilentProgress
from tests.process_work import prepare


class Notes(SilentProgress):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, text: str) -> None:
        self.lines.append(text)


def test_every_piece_is_done_once_by_several_processes() -> None:
    progress = Notes()
    pieces = [5, 3, 0, 200, 7, 1, 300]
    results = list(run_in_processes(prepare, pieces, ("cpu", "cpu"), progress))
    for i, piece in enumerate(pieces):
        assert [square for at, (_, square) in results if at == i] == [k * k for k in range(piece)]
    assert len({process for _, (process, _) in results}) in (1, 2), "a quick one may do it all"
    assert progress.lines == ["cpu: five it is"]


@pytest.mark.parametrize(
    ("pieces", "device", "message"),
    [
        (
            [1, 13],
            "cpu",
            r"the process on cpu failed; what was done is kept[\s\S]*ValueError: thirteen is too many",
        ),
        ([2, 99], "cpu", r"the process on cpu ended with exit status 7\. What was done is kept"),
        ([1], "cuda:9", r"the process on cuda:9 failed[\s\S]*RuntimeError: no such device"),
    ],
)
def test_a_process_that_fails_is_told(pieces: list[int], device: str, message: str) -> None:
    with pytest.raises(WorkerError, match=message):
        list(run_in_processes(prepare, pieces, (device,), SilentProgress()))


def test_work_that_is_left_early_ends_the_processes() -> None:
    results = run_in_processes(prepare, [400, 400], ("cpu", "cpu"), SilentProgress())
    assert next(results)[1][1] == 0
    results.close()  # type: ignore[attr-defined]
    with pytest.raises(StopIteration):
        next(results)
