"""A study file of two pools and two evaluation sets with a few made-up rows each."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

WORDS = ["fox", "dog", "task", "request", "response", "number", "letter", "quick", "lazy", "brown", "context"]
STUDY = """
name = "tiny"
seed = 5
out = "out"
pools = [{ name = "short", path = "short.jsonl" }, { name = "long", path = "long.jsonl", rows = 12 }]
evaluation = [{ name = "one", path = "one.jsonl", rows = 4 }, { name = "two", path = "two.jsonl" }]
design = { subsets = 3, examples = 7, reference_rows = 5 }
indicators = { names = ["output_words", "log_perplexity"] }
[finetune]
model = "MODEL"
max_tokens = 64
batch_size = 3
micro_tokens = 100
epochs = 2
learning_rate = 3e-3
"""


def write_texts(path: Path, count: int, words: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = [
        {
            "instruction": f"{seed}: {' '.join(rng.choice(WORDS, 4))}",
            "input": "",
            "output": " ".join(rng.choice(WORDS, rng.integers(1, words))),
        }
        for _ in range(count)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def write_study(folder: Path, model: Path) -> Path:
    for seed, (name, count, words) in enumerate(
        [("short", 10, 5), ("long", 30, 40), ("one", 6, 10), ("two", 3, 10)]
    ):
        write_texts(folder / f"{name}.jsonl", count, words, seed)
    (folder / "study.toml").write_text(STUDY.replace("MODEL", str(model)), encoding="utf-8")
    return folder / "study.toml"
