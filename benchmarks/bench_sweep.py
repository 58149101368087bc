"""A sweep of finetunes in a worker against a process a run, as ``deepspeed script.py`` starts it; the same losses."""

from __future__ import annotations

import importlib.util
import json
import pickle
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pools import TEXTS, Pool

from imine.bench.children import child_environment, cpu_seconds, run_child
from imine.errors import ModelNotFoundError
from imine.indicators.devices import find_devices
from imine.indicators.templates import TEMPLATES, encode_examples
from imine.study.base_model import NamedModel
from imine.study.ledger import Ledger, read_ledger
from imine.study.recipe import FinetuneConfig
from imine.study.sweep import Job, run_jobs
from imine.study.trial import Trainer

# What a person starts for each run: the trainer, one finetune and its evaluation, its record as JSON.
ONE_RUN = """
import json, pickle, sys
trainer, job, out = sys.argv[1:]
with open(trainer, "rb") as file:
    trainer = pickle.load(file)
with open(job, "rb") as file:
    job = pickle.load(file)
trainer.prepare()
record = trainer.run(job.run, job.ids, job.seed)
with open(out, "w") as file:
    json.dump(record, file)
"""
# Its file deepspeed, without asking where that lies.
LAUNCHER = "from deepspeed.launcher.runner import main; main()"
# Products of bfloat16 with sums in float32, without sparsity, in 10^12 a second: NVIDIA's data sheets.
PEAKS = {
    "H100 PCIe": 756.0,
    "H100": 989.4,
    "H200": 989.4,
    "A100": 312.0,
    "L40S": 362.0,
    "L4": 121.0,
    "A10": 125.0,
}


@dataclass(frozen=True)
class Sweep:
    """What both sides do."""

    trainer: Trainer
    jobs: list[Job]
    folder: Path


@pytest.fixture(params=["tiny", "smollm2-135m"])
def sweep(
    request: pytest.FixtureRequest, pool: Pool, quick: bool, tmp_path: Path, note: Callable[[str], None]
) -> Sweep:
    """Runs of 16 examples on a random model of two layers; of 64 on a real one, on an accelerator."""
    if importlib.util.find_spec("deepspeed") is None:
        pytest.skip("deepspeed is not installed")
    cuda = find_devices()[0].startswith("cuda")
    if request.param == "tiny":
        name, examples, runs, max_tokens = str(save_tiny(tmp_path / "model", pool)), 16, 30, 96
    elif not cuda:
        pytest.skip("a real model is for accelerators")
    else:
        name, examples, runs, max_tokens = request.param, 64, 30, 256
    try:
        lm = NamedModel.find(name)
    except ModelNotFoundError as error:
        pytest.skip(str(error))
    runs = runs // 3 if quick else runs
    settings = FinetuneConfig(
        max_tokens=max_tokens,
        batch_size=8,
        micro_tokens=16384 if cuda else 1024,
        dtype="bfloat16" if cuda else "float32",
        threads=1,
        template="plain",
    )
    rows = pool.rows.filter(pool.rows["output"].str.len_chars() > 200).sample(examples * 4 + 8, seed=0)
    texts: Any = [rows[column].to_list() for column in TEXTS]
    encoded = encode_examples(lm.tokenizer, TEMPLATES["plain"], *texts, max_tokens=max_tokens, add_eos=True)
    train = {str(i): example for i, example in enumerate(encoded[8:])}
    ids = list(train)
    jobs = [Job(k, tuple((ids[k:] + ids[:k])[:examples]), k) for k in range(runs)]
    note(f"sweep: {runs} runs of {examples} examples, {request.param} model, one thread")
    return Sweep(Trainer(lm, settings, train, {"e": encoded[:8]}), jobs, tmp_path)


def save_tiny(folder: Path, pool: Pool) -> Path:
    """A random Llama of two layers with a tokenizer of a thousand tokens."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=1000,
        special_tokens=["<eos>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(pool.rows["output"].head(2000).to_list(), trainer)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=1000,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=True,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<eos>").save_pretrained(folder)
    return folder


@pytest.mark.parametrize("start", ["deepspeed", "python"])
def bench_sweep(benchmark: Any, sweep: Sweep, note: Callable[[str], None], start: str, quick: bool) -> None:
    """A whole sweep in a worker, its start included, against as many processes as it has runs.

    A round times one such process, of another run each round, and counts it for all.
    """
    rounds = 1 if quick else 3
    theirs: list[tuple[float, float]] = []
    cpus: list[float] = []
    ledgers: list[Ledger] = []

    def baseline() -> None:
        wall, cpu = one_process(sweep, sweep.jobs[len(theirs)], start)
        theirs.append((wall, cpu))

    def ours() -> None:
        cpu = cpu_seconds()
        ledger = read_ledger(sweep.folder / f"ledger-{len(ledgers)}.jsonl")
        run_jobs(sweep.jobs, sweep.trainer, ledger, workers=1)
        cpus.append(cpu_seconds() - cpu)
        ledgers.append(ledger)

    benchmark.pedantic(ours, setup=baseline, rounds=rounds)
    for k, ledger in enumerate(ledgers):
        alone = json.loads((sweep.folder / f"{sweep.jobs[k].run}.json").read_text())
        mine = ledger.runs[sweep.jobs[k].run]
        assert alone["train_losses"] == mine["train_losses"], "the losses are not the same"
        assert alone["evaluation"] == mine["evaluation"], "the losses are not the same"
    count = len(sweep.jobs)
    benchmark.extra_info |= {
        "rows": count,
        "target": ">= 5",
        "cpu_seconds": cpus,
        "baseline": f"{count} x a {start} process a run",
        "baseline_seconds": [count * wall for wall, _ in theirs],
        "baseline_cpu_seconds": [count * cpu for _, cpu in theirs],
    }
    for ledger in ledgers:
        say_speed(ledger, sweep, note)


def one_process(sweep: Sweep, job: Job, start: str) -> tuple[float, float]:
    """Wall and CPU seconds of a process that does one run and leaves its record in a file."""
    script, trainer, task = (sweep.folder / name for name in ("one_run.py", "trainer.pickle", "job.pickle"))
    script.write_text(ONE_RUN)
    trainer.write_bytes(pickle.dumps(sweep.trainer))
    task.write_bytes(pickle.dumps(job))
    command = [sys.executable]
    if start == "deepspeed":
        command += ["-c", LAUNCHER, "--num_gpus", "1", "--no_local_rank"]
    command += [str(script), str(trainer), str(task), str(sweep.folder / f"{job.run}.json")]
    began = time.perf_counter()
    child = run_child(command, child_environment({"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}))
    return time.perf_counter() - began, child.cpu


def say_speed(ledger: Ledger, sweep: Sweep, note: Callable[[str], None]) -> None:
    """Tokens a second in training, and on a GPU that is known its share of the peak."""
    runs = list(ledger.runs.values())
    speed = sum(run["tokens"] for run in runs) / sum(run["seconds_train"] for run in runs)
    said = f"sweep: {speed:,.0f} tokens a second in training"
    peak = next((value for name, value in PEAKS.items() if name in runs[0]["device"]), None)
    if peak is not None:
        # Forward and backward take six operations a weight and token; attention comes on top and is left out.
        weights = sum(one.numel() for one in sweep.trainer.lm.model.parameters())
        said += f", {6 * weights * speed / (peak * 1e12):.1%} of the peak of {runs[0]['device']}"
    note(said)
