"""The study file: what it may hold, and what is said of a wrong one."""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path

import pytest

from imine.errors import StudyConfigError
from imine.indicators.templates import TEMPLATES
from imine.study.config import IndicatorsConfig, PilotConfig, StudyConfig, load_study
from imine.study.designs.settings import DesignConfig
from imine.study.file_config import EvaluationConfig, PoolConfig
from imine.study.recipe import FinetuneConfig

GOOD = """
name = "small"
[[pools]]
name = "a"
path = "a.jsonl"
[[evaluation]]
name = "e"
path = "sub/e.jsonl"
[design]
subsets = 4
examples = 6
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "small.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_defaults_and_paths(tmp_path: Path) -> None:
    study = load_study(write(tmp_path, GOOD))
    assert study.out == tmp_path / "small-out"
    assert study.resolve(study.config.evaluation[0].path) == tmp_path / "sub" / "e.jsonl"
    assert study.config.finetune == FinetuneConfig()
    assert (study.config.finetune.learning_rate, study.config.finetune.dtype) == (2e-4, "float32")


def test_models_lie_relative_to_the_file(tmp_path: Path) -> None:
    study = load_study(write(tmp_path, GOOD))
    assert study.resolve_model("all-minilm-l6-v2") == "all-minilm-l6-v2"
    assert study.resolve_model("models/own") == str(tmp_path / "models" / "own")
    assert study.resolve_model("/models/own") == "/models/own"


def test_the_example_is_a_study_and_names_every_key() -> None:
    text = resources.files("imine.study").joinpath("example.toml").read_text(encoding="utf-8")
    tomllib.loads(text)
    for section in (
        PoolConfig,
        EvaluationConfig,
        DesignConfig,
        FinetuneConfig,
        IndicatorsConfig,
        PilotConfig,
    ):
        for key in section.model_fields:
            assert f"{key} = " in text, key
    for key in ("name", "seed", "out"):
        assert f"{key} = " in text


def test_the_example_loads(tmp_path: Path) -> None:
    text = resources.files("imine.study").joinpath("example.toml").read_text(encoding="utf-8")
    study = load_study(write(tmp_path, text))
    assert [pool.name for pool in study.config.pools] == ["good", "mixed"]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "subsets = 4",
            "subsets = 0",
            r"design\.subsets: input should be greater than or equal to 1 \(given: 0\)",
        ),
        (
            "subsets = 4",
            "subset = 4",
            r"design\.subset: unknown key; allowed: kind, subsets, examples, .*alpha",
        ),
        ("subsets = 4", "", r"design\.subsets: missing"),
        (
            "examples = 6",
            "examples = 6\nresponse_tokens = 90",
            r"design: give examples or response_tokens, one of the two",
        ),
        ("examples = 6", "", r"design: give examples or response_tokens, one of the two"),
        (
            "[design]",
            "[design]\nbands = 4",
            r'design: the key bands needs kind = "univariate"; the kind is "multivariate"',
        ),
        (
            "[design]",
            '[design]\nkind = "optimum"',
            r"design\.kind: input should be 'multivariate', 'univariate' or 'optimal' \(given: 'optimum'\)",
        ),
        (
            "[design]",
            '[design]\nkind = "optimal"\nindicators = ["pairs"]',
            r"design\.indicators: allowed: input_length, .*knn_6; got pairs",
        ),
        ("[design]", "[design]\nweights = { b = 1 }", r"design\.weights: allowed: a; got b"),
        (
            "[design]",
            "[design]\nweights = [{ a = 0 }]",
            r"weights: each mix needs a pool with a weight above 0",
        ),
        (
            "[design]",
            '[design]\nlevels = { lower = ["a"] }',
            r"design\.levels\.lower: at least one pool must be left as the better one",
        ),
        (
            "[design]",
            '[design]\nlevels = { lower = ["a"], low = 1 }',
            r"design\.levels\.low: unknown key; allowed: lower, count, most",
        ),
        ("[design]", "[design]\nrepeats = { runs = 9 }", r"repeats\.runs: at most as many as subsets; got 9"),
        ("[design]", '[design]\nguard = "none"', r"design\.guard: input should be 'exact' or 'near'"),
        (
            'path = "a.jsonl"',
            'file = "a"',
            r"pools\[1\]\.file: unknown key; allowed: name, path, rows, format, .*alpha",
        ),
        ('name = "a"', 'name = "A b"', r"pools\[1\]\.name: string should match pattern"),
        ("[design]", "[design]\nalpha = -1", r"design\.alpha: input should be greater than 0"),
        ("[design]", "[design]\nalpha = nan", r"design\.alpha: input should be a finite number"),
        (
            "[design]",
            '[finetune]\nschedule = "step"\n[design]',
            r"schedule: input should be 'cosine', 'linear'",
        ),
        ("[design]", '[finetune]\ntemplate = "x"\n[design]', r"finetune\.template: allowed: alpaca, plain"),
        (
            "[design]",
            "[finetune]\nzero_stage = 4\n[design]",
            r"finetune\.zero_stage: input should be 0, 1, 2 or 3",
        ),
        ("[design]", '[indicators]\nnames = ["mltd"]\n[design]', r"no indicator mltd; allowed: .*mtld"),
        (
            "[design]",
            "[indicators]\nnames = []\n[design]",
            r"indicators\.names: tuple should have at least 1",
        ),
        (
            "[design]",
            '[indicators]\nnames = ["mtld", "mtld"]\n[design]',
            r"indicators\.names: the indicator mtld stands twice",
        ),
        (
            "[design]",
            "[finetune]\nmax_tokens = 8\n[design]",
            r"max_tokens: input .* equal to 16 \(given: 8\)",
        ),
        (
            'path = "a.jsonl"',
            'path = "a.jsonl"\nformat = "xls"',
            r"pools\[1\]\.format: format 'xls' is not known; allowed: auto",
        ),
        (
            'path = "a.jsonl"',
            'path = "a.jsonl"\nturns = "all"',
            r"pools\[1\]\.turns: input should be 'first', 'last'",
        ),
        ("[design]", "[tuning]\n[design]", r"tuning: unknown key; allowed: name, seed, out, pools"),
        (
            "[[evaluation]]",
            '[[pools]]\nname = "a"\npath = "b"\n[[evaluation]]',
            "pools: the name a stands twice",
        ),
        ('name = "small"', "", "name: missing"),
        ('name = "small"', 'name = "small', "not a readable TOML file"),
    ],
)
def test_an_error_names_the_key_and_what_is_allowed(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in GOOD
    with pytest.raises(StudyConfigError, match=said):
        load_study(write(tmp_path, GOOD.replace(old, new, 1)))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StudyConfigError, match="imine study new writes one"):
        load_study(tmp_path / "none.toml")


def test_the_recipe_leaves_out_what_may_change(tmp_path: Path) -> None:
    recipe = load_study(write(tmp_path, GOOD)).config.recipe()
    assert recipe["pools.a.rows"] is None
    assert recipe["finetune.learning_rate"] == 2e-4
    assert recipe["pools (order)"] == ["a"]
    speed = {"finetune.threads", "finetune.micro_tokens", "finetune.zero_stage", "design.reference_rows"}
    assert not ({"out", "design.subsets", "finetune.model", "pools.a.path"} | speed) & set(recipe)
    assert set(StudyConfig.model_fields) - {key.split(".")[0] for key in recipe} == {
        "out",
        "indicators",
        "pilot",
    }


def test_keys_that_came_later_stand_in_the_recipe_only_where_they_are_set(tmp_path: Path) -> None:
    first = load_study(write(tmp_path, GOOD)).config.recipe()
    assert {key for key in first if key.startswith("design.")} == {
        "design.kind",
        "design.examples",
        "design.alpha",
    }
    same = GOOD.replace("[design]", '[design]\nguard = "exact"\nrepeats = { runs = 2 }')
    assert load_study(write(tmp_path, same)).config.recipe() == first
    near = load_study(write(tmp_path, GOOD.replace("[design]", '[design]\nguard = "near"'))).config.recipe()
    assert near == first | {"design.guard": "near"}
    tilted = GOOD.replace("[design]", '[design]\nkind = "optimal"')
    recipe = load_study(write(tmp_path, tilted)).config.recipe()
    # The neighbours are looked for among reference rows, so these decide on the draw as well.
    assert recipe["design.reference_rows"] == 2000
    assert "knn_6" in recipe["design.indicators"]


def test_the_table_of_keys_names_every_template() -> None:
    text = (Path(__file__).parent.parent / "docs" / "study.md").read_text(encoding="utf-8")
    (row,) = (line for line in text.splitlines() if line.startswith("| `template` |"))
    meaning = row.split("|")[3].partition("(")[0]
    assert meaning.split("`")[1::2] == list(TEMPLATES)
