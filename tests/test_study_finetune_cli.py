"""``imine finetune`` in one process: what it writes, what it says, what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import Result
from typer.testing import CliRunner

from imine._cli import app
from imine._cli._recipe_options import recipe
from imine.errors import BadRowError, FormatError, ModelNotFoundError, StudyConfigError, StudyError
from tests.finetune_ranks import frame

pytest.importorskip("deepspeed")

STUDY = """
name = "s"
[[pools]]
name = "a"
path = "a.jsonl"
[[evaluation]]
name = "e"
path = "e.jsonl"
[design]
subsets = 1
examples = 1
[finetune]
model = "base"
max_tokens = 64
epochs = 3
learning_rate = 5e-3
"""


def invoke(*arguments: Any) -> Result:
    return CliRunner().invoke(app, ["finetune", *map(str, arguments)])


@pytest.fixture
def folder(tmp_path: Path, tiny_llama: Path) -> Path:
    """Data, held-out data, and a study with its base model beside it."""
    frame(9).write_ndjson(tmp_path / "data.jsonl")
    frame(5, 20).write_ndjson(tmp_path / "held.out.jsonl")
    (tmp_path / "study.toml").write_text(STUDY)
    (tmp_path / "base").symlink_to(tiny_llama)
    return tmp_path


def test_a_model_by_the_recipe_of_a_study(folder: Path) -> None:
    out = folder / "models" / "tuned"
    arguments = [folder / "data.jsonl", "-o", out, "--study", folder / "study.toml", "--epochs", "2"]
    done = invoke(*arguments, "--evaluate", folder / "held.out.jsonl", "--seed", "4")
    assert done.exit_code == 0, done.output
    record = json.loads((out / "finetune.json").read_text())
    recipe = record["recipe"]
    assert (recipe["epochs"], recipe["learning_rate"], recipe["batch_size"]) == (2, 5e-3, 8)
    assert (record["seed"], record["steps"], record["ranks"]) == (4, 4, 1)
    assert set(record["data"]["files"]) == {"data.jsonl", "held.out.jsonl"}
    assert record["data"]["rows"] == 9
    held = record["evaluation"]["held"]
    assert f"held: loss {held['loss_before']:.4f} -> {held['loss']:.4f}" in done.stdout
    assert held["loss"] < held["loss_before"]
    assert {"model.safetensors", "config.json", "tokenizer.json"} <= {path.name for path in out.iterdir()}
    # Where files lie is nobody's business.
    assert str(folder) not in json.dumps(record)
    with pytest.raises(StudyError, match=r"tuned is there already; name another folder"):
        raise invoke(*arguments).exception or AssertionError
    assert [path.name for path in out.parent.iterdir()] == ["tuned"]


def test_options_of_adapters_and_of_deepspeed(folder: Path) -> None:
    (folder / "ds.json").write_text('{"zero_optimization": {"stage": 1}, "gradient_clipping": "auto"}')
    options = ["--model", folder / "base", "--lora-rank", "2", "--lora-targets", "q_proj, v_proj"]
    options += ["--deepspeed", folder / "ds.json", "--offload", "optimizer", "--max-tokens", "64"]
    done = invoke(folder / "data.jsonl", "-o", folder / "adapter", *options)
    assert done.exit_code == 0, done.output
    record = json.loads((folder / "adapter" / "finetune.json").read_text())
    assert record["recipe"]["lora"] == {
        "rank": 2,
        "alpha": 32.0,
        "dropout": 0.0,
        "targets": ["q_proj", "v_proj"],
    }
    assert record["deepspeed"]["zero_optimization"]["stage"] == 1
    assert record["deepspeed"]["zero_optimization"]["offload_optimizer"] == {"device": "cpu"}
    assert record["trained_parameters"] == 2 * 2 * ((64 + 64) + (64 + 32))
    assert "adapter of 9 rows" in done.stdout


@pytest.mark.parametrize("there", ["{}", "{ rank = 4, alpha = 8 }"])
def test_options_of_adapters_stand_over_those_of_a_study(folder: Path, there: str) -> None:
    file = folder / "study.toml"
    file.write_text(f"{STUDY}lora = {there}\n")
    lora = recipe(file, {"lora_rank": None, "lora_dropout": 0.25}).lora
    assert lora is not None
    assert (lora.rank, lora.alpha, lora.dropout) == ((4, 8, 0.25) if "rank" in there else (16, 32, 0.25))


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        (
            ["--epochs", "0"],
            StudyConfigError,
            r"finetune\.epochs: input should be greater than or equal to 1",
        ),
        (
            ["--schedule", "cubic"],
            StudyConfigError,
            r"finetune\.schedule: .*'cosine', 'linear' or 'constant'",
        ),
        (["--deepspeed", "none.json"], StudyConfigError, r"--deepspeed: none\.json: not a readable JSON"),
        (
            ["--lora-dropout", "0.1", "--lora-targets", "q_proj"],
            StudyConfigError,
            r"--lora-dropout, --lora-targets: no adapters .* add --lora-rank",
        ),
        (["--model", "no/such"], ModelNotFoundError, "no/such"),
        (["--evaluate", "none.jsonl"], FormatError, r"none\.jsonl"),
    ],
)
def test_faults_are_told_before_any_work(
    folder: Path, options: list[str], error: type[Exception], said: str
) -> None:
    done = invoke(folder / "data.jsonl", "-o", folder / "tuned", "--model", folder / "base", *options)
    with pytest.raises(error, match=said):
        raise done.exception or AssertionError(done.output)
    assert not (folder / "tuned").exists()


def test_evaluation_files_are_read_as_the_data_or_by_their_own_layout(folder: Path) -> None:
    # Columns q and a; output is there too, and is not what --map names.
    mapped = frame(5, 20).rename({"instruction": "q", "output": "a"}).drop("input")
    mapped.with_columns(output=pl.lit("no")).write_ndjson(folder / "mapped.jsonl")
    frame(9).rename({"instruction": "q", "output": "a"}).write_ndjson(folder / "data.jsonl")
    frame(5, 20).write_csv(folder / "held.csv")
    options = ["--map", "instruction=q", "--map", "output=a", "--format", "jsonl"]
    options += ["--model", folder / "base", "--max-tokens", "64"]
    for name in ("mapped.jsonl", "held.csv"):
        options += ["--evaluate", folder / name]
    done = invoke(folder / "data.jsonl", "-o", folder / "tuned", *options)
    assert done.exit_code == 0, (done.output, done.exception)
    sets = json.loads((folder / "tuned" / "finetune.json").read_text())["evaluation"]
    # The same five rows, in two layouts.
    assert sets["mapped"]["loss"] == sets["held"]["loss"]
    assert (
        "mapped.jsonl: jsonl [container given], layout alpaca (instruction from q, output from a"
        in done.output
    )
    assert "held.csv: csv, layout alpaca" in done.output


def test_an_evaluation_file_that_nothing_fits_is_refused(folder: Path) -> None:
    frame(9).rename({"instruction": "q", "output": "a"}).write_ndjson(folder / "data.jsonl")
    (folder / "odd.jsonl").write_text('{"u": "x", "v": "y"}\n')
    options = ["--map", "instruction=q", "--map", "output=a", "--evaluate", folder / "odd.jsonl"]
    done = invoke(folder / "data.jsonl", "-o", folder / "tuned", "--model", folder / "base", *options)
    said = r"odd\.jsonl: --map instruction=q: no such column; columns found: u, v\. An evaluation file.* neither fits"
    with pytest.raises(FormatError, match=said):
        raise done.exception or AssertionError(done.output)


def test_bad_rows_are_written_beside_the_output(folder: Path) -> None:
    for name in ("data.jsonl", "held.out.jsonl"):
        with (folder / name).open("a") as file:
            file.write(f"no JSON in {name}\n")
    arguments = [folder / "data.jsonl", "--model", folder / "base", "--max-tokens", "64"]
    arguments += ["--evaluate", folder / "held.out.jsonl"]
    refused = invoke(*arguments, "-o", folder / "new" / "tuned")
    assert isinstance(refused.exception, BadRowError)
    done = invoke(*arguments, "-o", folder / "new" / "tuned", "--on-bad-row", "skip")
    assert done.exit_code == 0, (done.output, done.exception)
    written = {path.name: path.read_text() for path in (folder / "new").iterdir() if path.is_file()}
    assert {name: json.loads(text)["raw"] for name, text in written.items()} == {
        "tuned.bad.jsonl": "no JSON in data.jsonl",
        "tuned.bad-evaluation-held.jsonl": "no JSON in held.out.jsonl",
    }
    assert f"1 bad rows were skipped and written to {folder / 'new' / 'tuned.bad.jsonl'}" in done.output
    beside = folder / "again.bad.jsonl"
    frame(2).write_ndjson(beside)
    kept = invoke(beside, "-o", folder / "again", "--model", folder / "base", "--on-bad-row", "skip")
    with pytest.raises(FormatError, match=r"again\.bad\.jsonl: would overwrite the input"):
        raise kept.exception or AssertionError(kept.output)


def test_data_without_a_response_is_an_error(folder: Path) -> None:
    frame(2).with_columns(output=pl.lit(" ")).write_ndjson(folder / "data.jsonl")
    done = invoke(folder / "data.jsonl", "-o", folder / "tuned", "--model", folder / "base")
    with pytest.raises(StudyError, match="the data: no row of 2 has a response"):
        raise done.exception or AssertionError(done.output)


def test_the_launcher_may_put_its_rank_before_the_command() -> None:
    done = CliRunner().invoke(app, ["--local_rank=0", "finetune", "--help"])
    assert done.exit_code == 0
    assert "--zero-stage" in done.stdout


def test_auto_in_a_json_takes_the_recipes_value_everywhere() -> None:
    from imine.study.deepspeed_json import deepspeed_config, own_adamw
    from imine.study.recipe import FinetuneConfig

    own = {"zero_optimization": {"stage": 2, "offload_optimizer": {"device": "auto", "pin_memory": True}}}
    found = deepspeed_config(FinetuneConfig(zero_stage=2, offload=("optimizer",), deepspeed=own))
    assert found["zero_optimization"]["offload_optimizer"] == {"device": "cpu", "pin_memory": True}
    for optimizer in ({"type": "auto"}, {"params": {"lr": "auto"}}, {"type": "AdamW", "params": None}):
        auto = FinetuneConfig(deepspeed={"optimizer": optimizer})
        assert own_adamw(auto) == {}
        assert "optimizer" not in deepspeed_config(auto)
    with pytest.raises(ValueError, match=r"optimizer\.params must be an object with keys there, not \[1\]"):
        FinetuneConfig(deepspeed={"optimizer": {"type": "AdamW", "params": [1]}})


def test_a_seed_below_zero_is_refused(folder: Path) -> None:
    done = invoke(folder / "data.jsonl", "-o", folder / "tuned", "--seed", "-1")
    assert done.exit_code == 2
    assert "Invalid value for '--seed'" in done.output
