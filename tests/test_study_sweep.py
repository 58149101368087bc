"""Sweeps in worker processes: what a crash, a hang or an error costs, and what is recorded of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from imine.errors import RepeatedFailureError, StudyError
from imine.progress import SilentProgress
from imine.study.ledger import Ledger, read_ledger
from imine.study.sweep import Job, run_jobs
from imine.study.sweep.jobs import Task
from imine.study.sweep.limits import RunTimes
from imine.study.sweep.running import read_running, running_file
from imine.study.sweep.slots import find_slots
from tests.sweep_work import JOBS, FakeTrainer


class Notes(SilentProgress):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, text: str) -> None:
        self.lines.append(text)


def sweep(folder: Path, workers: int = 1, jobs: Any = JOBS, **more: Any) -> Ledger:
    """A sweep in a folder; the options of the trainer and of run_jobs."""
    ours = {"time_limit", "attempts", "progress", "after_job"}
    trainer = FakeTrainer(folder, **{key: value for key, value in more.items() if key not in ours})
    ledger = read_ledger(folder / "ledger.jsonl")
    options = {key: value for key, value in more.items() if key in ours}
    run_jobs(jobs, trainer, ledger, workers=workers, **options)  # type: ignore[arg-type]
    again = read_ledger(folder / "ledger.jsonl")
    assert again.records == ledger.records, "what is in memory is on the disk"
    assert not running_file(ledger.path).exists()
    return ledger


def losses(ledger: Ledger) -> dict[int, float]:
    return {run: ledger.runs[run]["loss"] for run in sorted(ledger.runs)}


def attempts(folder: Path, run: int | str | None) -> list[int]:
    """Processes that tried a run."""
    return [int(line) for line in (folder / f"{run}").read_text().split()]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> dict[int, float]:
    """Losses of the six jobs, made in one plain loop."""
    folder = tmp_path_factory.mktemp("plain")
    trainer = FakeTrainer(folder)
    made = {}
    for job in JOBS:
        rows = {id: trainer.train[id] for id in job.ids}
        made[int(job.run)] = FakeTrainer(folder, train=rows).run(job.run, job.ids, job.seed)["loss"]
    return made


@pytest.mark.parametrize("workers", [1, 3])
def test_workers_give_the_losses_of_a_plain_loop(
    tmp_path: Path, plain: dict[int, float], workers: int
) -> None:
    after: list[int] = []
    ledger = sweep(tmp_path, workers, after_job=lambda record: after.append(record["run"]))
    assert losses(ledger) == plain
    assert sorted(after) == list(plain)
    assert ledger.runs[4]["weights"] == {"p": 1.0}
    assert {len(attempts(tmp_path, run)) for run in (None, *plain)} == {1}
    tried = {process for run in (None, *plain) for process in attempts(tmp_path, run)}
    assert len(tried) <= workers
    assert os.getpid() not in tried
    kinds = [record["kind"] for record in ledger.records]
    assert kinds.index("baseline") < kinds.index("run")
    # One load a worker that got ready; a quick sweep may be over before the last one is.
    assert 1 <= kinds.count("stage") <= workers


FAULTS = {
    "exit": "the process ended with exit status 7",
    "killed": "the process was killed by signal 9 (SIGKILL; often the system does it, for want of memory)",
    "segfault": "the process was killed by signal 11 (SIGSEGV)",
    "memory": "MemoryError",
    "out of memory": "RuntimeError: out of memory: no such luck",
}


def test_a_fault_costs_one_attempt_at_one_run(tmp_path: Path, plain: dict[int, float]) -> None:
    notes = Notes()
    ledger = sweep(tmp_path, faults={run: (fault, 1) for run, fault in enumerate(FAULTS)}, progress=notes)
    assert losses(ledger) == plain
    for run, reason in enumerate(FAULTS.values()):
        first, second = attempts(tmp_path, run)
        assert first != second, "the second attempt is in a fresh process"
        assert ledger.runs[run]["attempts"] == 2
        assert ledger.runs[run]["seconds_lost"] > 0
        assert f"run {run}: {reason}; it is tried again in a fresh process" in notes.lines
    assert ledger.runs[5]["attempts"] == 1
    assert "seconds_lost" not in ledger.runs[5]
    assert ledger.failed == {}


def test_a_run_that_hangs_costs_one_attempt(tmp_path: Path, plain: dict[int, float]) -> None:
    notes = Notes()
    ledger = sweep(tmp_path, faults={4: ("hang", 1)}, progress=notes, time_limit=3.0)
    assert losses(ledger) == plain
    assert ledger.runs[4]["attempts"] == 2
    assert ledger.runs[4]["seconds_lost"] >= 3
    assert "run 4: no result after 3 s; it is tried again in a fresh process" in notes.lines


def test_a_run_that_fails_again_is_recorded_and_the_sweep_goes_on(
    tmp_path: Path, plain: dict[int, float]
) -> None:
    faults = {1: ("killed", 2), 4: ("memory", 2)}
    ledger = sweep(tmp_path, 2, faults=faults)
    assert losses(ledger) == {run: loss for run, loss in plain.items() if run not in faults}
    assert {run: record["reason"] for run, record in ledger.failed.items()} == {
        run: FAULTS[fault] for run, (fault, _) in faults.items()
    }
    record = ledger.failed[1]
    assert (record["attempts"], record["seed"], record["n_examples"]) == (2, 101, 2)
    lost = ledger.device_seconds["lost"]
    assert lost == sum(record["seconds_lost"] for record in ledger.failed.values()) > 0
    # The next call tries them again, and then nothing is failed any more.
    ledger = sweep(tmp_path, 2, faults=faults)
    assert losses(ledger) == plain
    assert ledger.failed == {}
    assert ledger.device_seconds["lost"] == lost
    assert {run: len(attempts(tmp_path, run)) for run in plain} == {0: 1, 1: 3, 2: 1, 3: 1, 4: 3, 5: 1}


def test_an_error_that_would_come_again_is_not_tried_again(tmp_path: Path) -> None:
    ledger = sweep(tmp_path, faults={0: ("refused", 9)})
    assert ledger.failed[0]["reason"] == "the loss is nan at step 3"
    assert ledger.failed[0]["attempts"] == 1
    assert sorted(ledger.runs) == [1, 2, 3, 4, 5]
    assert len({process for run in range(6) for process in attempts(tmp_path, run)}) == 1


def test_one_attempt_may_be_enough(tmp_path: Path) -> None:
    ledger = sweep(tmp_path, faults={3: ("killed", 1)}, attempts=1)
    assert ledger.failed[3]["attempts"] == 1


def test_run_after_run_that_fails_ends_the_sweep(tmp_path: Path) -> None:
    faults = dict.fromkeys(range(6), ("refused", 9))
    with pytest.raises(
        RepeatedFailureError, match=r"5 runs in a row failed, the last one, run 4, with: the loss is nan"
    ):
        sweep(tmp_path, faults=faults)
    assert sorted(read_ledger(tmp_path / "ledger.jsonl").failed) == [0, 1, 2, 3, 4]


def test_a_base_model_that_cannot_be_evaluated_ends_it(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"the base model cannot be evaluated: MemoryError"):
        sweep(tmp_path, faults={None: ("memory", 2)})
    assert len(attempts(tmp_path, None)) == 2
    assert read_ledger(tmp_path / "ledger.jsonl").runs == {}


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("killed", r"a worker process cannot be started: the process was killed by signal 9.*workers = 0"),
        ("refused", r"^the loss is nan at step 3$"),
    ],
)
def test_workers_that_do_not_start_end_it(tmp_path: Path, fault: str, said: str) -> None:
    with pytest.raises(StudyError, match=said):
        sweep(tmp_path, start=fault)


def test_an_idle_worker_that_is_killed_costs_nothing(tmp_path: Path, plain: dict[int, float]) -> None:
    """The parent writes the ledger, and calls the hook, while its worker has nothing to do."""

    def kill(record: dict[str, Any]) -> None:
        if record["run"] == 2:
            os.kill(attempts(tmp_path, 2)[0], signal.SIGKILL)
            time.sleep(0.2)

    ledger = sweep(tmp_path, after_job=kill)
    assert losses(ledger) == plain
    assert all(record.get("attempts") == 1 for record in ledger.runs.values())
    assert ledger.device_seconds["lost"] == 0


def test_without_workers_an_error_ends_the_sweep_and_leaves_the_ledger(tmp_path: Path) -> None:
    trainer = FakeTrainer(tmp_path, {1: ("refused", 9)}, train=dict.fromkeys(JOBS[0].ids, 0))
    ledger = Ledger(tmp_path / "ledger.jsonl")
    with pytest.raises(StudyError, match="the loss is nan"):
        run_jobs([JOBS[0], Job(1, JOBS[0].ids, 3)], trainer, ledger)  # type: ignore[arg-type]
    assert [record["kind"] for record in read_ledger(ledger.path).records] == ["baseline", "run"]
    assert attempts(tmp_path, 0) == [os.getpid()]


def test_names_for_runs(tmp_path: Path) -> None:
    jobs = [Job(name, JOBS[0].ids, 1) for name in ("3r1", "3r2")]
    ledger = sweep(tmp_path, 2, jobs=jobs, faults={"3r1": ("memory", 2)})
    assert list(ledger.failed) == ["3r1"]
    assert list(ledger.runs) == ["3r2"]


PARENT = """
import sys
from pathlib import Path
from imine.study.ledger import read_ledger
from imine.study.sweep import run_jobs
from tests.sweep_work import JOBS, FakeTrainer
folder = Path(sys.argv[1])
run_jobs(JOBS, FakeTrainer(folder, seconds=float(sys.argv[2])), read_ledger(folder / "ledger.jsonl"), workers=2)
"""


def start_parent(folder: Path, seconds: float) -> subprocess.Popen[bytes]:
    root = str(Path(__file__).resolve().parents[1])
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([root, f"{root}/kernels"])}
    return subprocess.Popen([sys.executable, "-c", PARENT, str(folder), str(seconds)], env=env, cwd=root)


def wait_until(true: Callable[[], Any], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.02)


def runs_now(process: int) -> bool:
    """Whether a process is there and is no zombie."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_workers_end_with_their_parent(tmp_path: Path, how: signal.Signals) -> None:
    parent = start_parent(tmp_path, 300)
    wait_until(lambda: (tmp_path / "0").exists() and (tmp_path / "1").exists())
    workers = [*attempts(tmp_path, 0), *attempts(tmp_path, 1)]
    assert len(set(workers)) == 2
    running = read_running(tmp_path / "ledger.jsonl")
    assert {worker.what for worker in running} == {"run 0", "run 1"}
    assert all(runs_now(worker) for worker in workers)
    parent.send_signal(how)
    parent.wait(60)
    wait_until(lambda: not any(runs_now(worker) for worker in workers), 30)
    assert read_ledger(tmp_path / "ledger.jsonl").runs == {}


def test_three_kills_lose_nothing_and_do_nothing_twice(tmp_path: Path, plain: dict[int, float]) -> None:
    path = tmp_path / "ledger.jsonl"

    def more_runs_than(count: int) -> bool:
        return path.exists() and path.read_bytes().count(b'{"kind": "run"') > count

    for kill in range(3):
        parent = start_parent(tmp_path, 0.2)
        wait_until(partial(more_runs_than, kill))
        parent.kill()
        parent.wait()
    before = path.read_bytes()
    ledger = sweep(tmp_path)
    assert path.read_bytes().startswith(before[: before.rfind(b"\n") + 1])
    assert losses(ledger) == plain
    runs = [record["run"] for record in ledger.records if record["kind"] == "run"]
    assert sorted(runs) == list(plain), "each is recorded once"
    assert sum(record["kind"] == "baseline" for record in ledger.records) == 1


def test_a_limit_follows_from_finished_runs() -> None:
    rows = {str(k): type("Row", (), {"prompt": [0] * 60, "response": [0] * 40})() for k in range(100)}
    times = RunTimes(None, 3, [])
    assert times.limit(Task(0, (), 0, rows)) is None
    times.add({"seconds_evaluate": 30.0})
    assert times.limit(Task(0, (), 0, rows)) is None
    times.add({"seconds_evaluate": 10.0, "seconds_train": 80.0, "tokens": 4000})
    # 100 rows of 100 tokens, three times, at 0.02 s a token, and the slowest evaluation: twenty times that.
    assert times.limit(Task(0, (), 0, rows)) == pytest.approx(20 * (30_000 * 0.02 + 30))
    assert times.limit(Task(0, (), 0, {})) == 600
    assert RunTimes(7.0, 3, []).limit(Task(0)) == 7


def test_places_for_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    from imine.study.sweep import slots

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(slots, "find_devices", lambda: ("cpu",))
    monkeypatch.setattr(slots, "_cores", lambda: 6)
    assert [dict(slot.environment) for slot in find_slots(None, None)] == [{}]
    assert [slot.environment["OMP_NUM_THREADS"] for slot in find_slots(4, None)] == ["1"] * 4
    assert [slot.environment["OMP_NUM_THREADS"] for slot in find_slots(2, 5)] == ["5", "5"]
    monkeypatch.setattr(slots, "find_devices", lambda: ("cuda:0", "cuda:1"))
    assert [slot.environment["CUDA_VISIBLE_DEVICES"] for slot in find_slots(None, 4)] == ["0", "1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,GPU-7")
    found = [(slot.device, slot.environment["CUDA_VISIBLE_DEVICES"]) for slot in find_slots(3, None)]
    assert found == [("cuda:0", "5"), ("cuda:1", "GPU-7"), ("cuda:0", "5")]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"workers": -1}, "workers must be 0 or more, not -1"),
        ({"attempts": 0}, "attempts must be 1 or more, not 0"),
        ({"time_limit": 0.0}, r"time_limit must be positive, not 0\.0"),
    ],
)
def test_wrong_arguments(tmp_path: Path, options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        run_jobs(JOBS, FakeTrainer(tmp_path), Ledger(tmp_path / "l"), **options)  # type: ignore[arg-type]


def test_a_full_disk_leaves_whole_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    ledger.append({"kind": "run", "run": 0})
    real, calls = os.write, []

    def write(handle: int, content: bytes) -> int:
        calls.append(handle)
        if len(calls) > 1:
            raise OSError(28, "No space left on device")
        return real(handle, content[:5])

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", write)
        with pytest.raises(StudyError, match=r"cannot be written: .*No space left"):
            ledger.append({"kind": "run", "run": 1})
    assert ledger.path.read_text() == '{"kind": "run", "run": 0}\n'
    assert [json.loads(line)["run"] for line in ledger.path.read_text().splitlines()] == [0]
    ledger.append({"kind": "run", "run": 1})
    assert list(read_ledger(ledger.path).runs) == [0, 1]
