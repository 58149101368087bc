"""Kill a study of 30 tiny runs at random moments until it has been killed so often; the results must not show it.

    python tests/-m tests.kill_study --kills 100 [--workers 2] [--seed 0]

With workers it is now the parent that is killed, now one of its workers. Whenever a study is finished its table is
compared with the undisturbed one, and another study is begun, until there were enough kills.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

RUNS = 30


@dataclass
class Killer:
    """Starts a study again and again, and kills it.

    Attributes:
        llama: folder of a tiny model.
        root: folder for the studies.
        workers: of each study.
        rng: chooses the moments.
    """

    llama: Path
    root: Path
    workers: int
    rng: np.random.Generator
    longest: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)

    def make(self, name: str) -> Path:
        from tests.test_study_run import STUDY, make_folder

        file = make_folder(self.root / name)
        text = STUDY.replace("subsets = 4", f"subsets = {RUNS}").replace("epochs = 2", "epochs = 1")
        file.write_text(text.replace("[finetune]", f'[finetune]\nmodel = "{self.llama}"\nthreads = 1'))
        return file

    def start(self, file: Path) -> int:
        """Run what is left of a study."""

        def run() -> None:
            from imine.study import load_study, run_study
            from tests.test_study_run import count_characters

            run_study(load_study(file), scorer=count_characters, workers=self.workers)

        return fork(run)

    def undisturbed(self) -> Path:
        """A study that nobody kills; the time to its third run decides when others are killed."""
        file = self.make("undisturbed")
        began, process = time.monotonic(), self.start(file)
        while len(finished(file)) < 3 and os.waitpid(process, os.WNOHANG) == (0, 0):
            time.sleep(0.01)
        self.longest = time.monotonic() - began
        _, status = os.waitpid(process, 0)
        assert status == 0, "the undisturbed study failed"
        return file

    def disturb(self, file: Path) -> bool:
        """Start a study and kill it or one of its workers at a random moment; whether it was finished before."""
        before = finished(file)
        process = self.start(file)
        moment = time.monotonic() + self.rng.uniform(0, self.longest)
        status = 0
        while time.monotonic() < moment:
            done, status = os.waitpid(process, os.WNOHANG)
            if done:
                assert status == 0, "it failed by itself"
                return True
            time.sleep(0.002)
        victim = process
        if self.workers and self.rng.random() < 0.5:
            victim = next(iter(children(process)), process)
        try:
            os.kill(victim, signal.SIGKILL)
        except ProcessLookupError:  # a worker that ended just now
            victim = 0
        self.counts["parent" if victim == process else "worker"] += victim > 0
        if victim != process:
            time.sleep(self.rng.uniform(0, self.longest))
            os.kill(process, signal.SIGKILL)
            self.counts["parent"] += 1
        os.waitpid(process, 0)
        after = finished(file)
        assert after[: len(before)] == before, "a finished run was lost"
        assert len(set(after)) == len(after), "a run was done twice"
        return False


def finished(file: Path) -> list[Any]:
    """Runs in the ledger, in its order."""
    from imine.study.ledger import read_ledger

    records = read_ledger(file.parent / "out" / "ledger.jsonl").records
    assert sum(record["kind"] == "baseline" for record in records) <= 1, "the base model was evaluated twice"
    return [record["run"] for record in records if record["kind"] == "run"]


def children(process: int) -> list[int]:
    """Processes that a process started, as Linux lists them."""
    try:
        return [int(one) for one in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def fork(work: Callable[[], object]) -> int:
    """Do something in a process that has everything imported already.

    This one must never use polars itself: its threads do not survive a fork.
    """
    process = os.fork()
    if process:
        return process
    status = 1
    try:
        work()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def same_table(one: Path, other: Path) -> None:
    """Fail where the numbers of two studies differ that must not depend on how often they were killed."""
    import polars as pl

    from tests.test_study_run import comparable

    first, second = (
        comparable(pl.read_parquet(file.parent / "out" / "runs.parquet")) for file in (one, other)
    )
    assert first.height == RUNS
    assert first.equals(second), f"{other.parent} is not as the undisturbed study"


def kill_study(root: Path, llama: Path, kills: int, workers: int, seed: int) -> Counter[str]:
    """Kill studies so often, and compare each with the undisturbed one.

    Returns:
        Kills of parents and of workers, and the number of studies that were finished under them.
    """
    import deepspeed  # noqa: F401 - imported before the forks, or every process would take seconds for it
    import transformers

    from tests.test_study_run import count_characters  # noqa: F401

    transformers.utils.logging.set_verbosity_error()
    killer = Killer(llama, root, workers, np.random.default_rng(seed))
    whole = killer.undisturbed()
    while killer.counts["parent"] + killer.counts["worker"] < kills:
        killer.counts["studies"] += 1
        file = killer.make(f"study-{killer.counts['studies']}")
        while killer.counts["parent"] + killer.counts["worker"] < kills and not killer.disturb(file):
            print(f"{dict(killer.counts)}, {len(finished(file))} runs", file=sys.stderr, flush=True)
        _, status = os.waitpid(killer.start(file), 0)
        assert status == 0, "a study that was killed could not be finished"
        _, status = os.waitpid(fork(partial(same_table, whole, file)), 0)
        assert status == 0, "its table is not as the undisturbed one"
        assert sorted(finished(file)) == list(range(RUNS))
    return killer.counts


def main() -> None:
    """Do so in a temporary folder."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    from tests.tiny import save_llama

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        counts = kill_study(root, save_llama(root / "llama"), options.kills, options.workers, options.seed)
    print(f"{dict(counts)}: every table equals the undisturbed one")


if __name__ == "__main__":
    main()
