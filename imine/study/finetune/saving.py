"""A finetuned model as a folder, whole or not at all."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from imine.errors import StudyError
from imine.study.finetune.ranks import Ranks
from imine.study.finetune.training import Finetuned

RECORD = "finetune.json"
"""What made the model, in its folder."""


def check_new(out: Path) -> None:
    """Fail, before any work, where the folder of a model is there already or cannot be made.

    Raises:
        StudyError: names it.
    """
    if out.exists():
        raise StudyError(f"{out} is there already; name another folder")
    out.parent.mkdir(parents=True, exist_ok=True)
    if not os.access(out.parent, os.W_OK):
        raise StudyError(f"{out.parent} cannot be written to")


def save_finetuned(tuned: Finetuned, tokenizer: Any, out: Path, record: dict[str, Any], ranks: Ranks) -> None:
    """Write weights (or adapters) as safetensors, configuration, tokenizer and record; every rank calls it.

    Args:
        tuned: what was trained.
        tokenizer: its tokenizer of transformers.
        out: new folder; rank 0 writes it, and it appears under its name only when it is complete.
        record: what goes into ``finetune.json``.
        ranks: this process.

    Raises:
        StudyError: the folder is there by now.
    """
    adapted = tuned.adapters is not None
    model = tuned.adapters if adapted else tuned.model
    state = _gathered(model, ranks, adapters_only=adapted)
    if not ranks.first:
        return
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as scratch:
        made = Path(scratch) / "made"
        # Embeddings are frozen beside adapters; to find out whether they changed, peft would ask the hub.
        model.save_pretrained(made, state_dict=state, **({"save_embedding_layers": False} if adapted else {}))
        # peft writes a card whose every field waits to be filled in.
        (made / "README.md").unlink(missing_ok=True)
        tokenizer.save_pretrained(made)
        text = json.dumps(record, ensure_ascii=False, allow_nan=False, indent=1)
        (made / RECORD).write_text(f"{text}\n", encoding="utf-8")
        check_new(out)
        os.replace(made, out)


def _gathered(model: Any, ranks: Ranks, *, adapters_only: bool) -> dict[str, Any]:
    """Weights on the CPU of rank 0, one at a time where stage 3 spread them over the ranks."""
    import deepspeed

    state = {}
    # Tied weights come once: the same parameter under its first name.
    for name, parameter in model.named_parameters():
        if adapters_only and not parameter.requires_grad:
            continue
        with deepspeed.zero.GatheredParameters([parameter], enabled=hasattr(parameter, "ds_id")):
            if ranks.first:
                state[name] = parameter.detach().cpu().clone()
    kept = model.state_dict().keys()
    buffers = {} if adapters_only else {n: b.cpu() for n, b in model.named_buffers() if n in kept}
    return state | buffers
