"""The whole path on tiny models: score, runs, fit, select; and what the command says when something is wrong."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import imine
from imine.__main__ import main
from imine.indicators.settings import ScoreSettings
from imine.indicators.stages.neighbors import make_reference
from imine.sample import load_sample, sample_path

TERMS = ["output_length", "mtld", "perplexity", "knn_6"]


def made_up_runs(scores: imine.Scores, path: Path) -> None:
    """Runs whose loss is a made-up linear function of the real subset means, with noise."""
    rng = np.random.default_rng(1)
    rows = []
    for run in range(30):
        subset = scores.frame.sample(40, seed=run)
        means: dict[str, Any] = {name: subset[name].cast(pl.Float64).mean() for name in TERMS}
        log_loss = 0.7 - 0.002 * means["mtld"] + 0.1 * means["knn_6"] + rng.normal(0, 0.002)
        rows.append({"run_id": f"r{run}", "loss": float(np.exp(log_loss)), **means})
    facts = {"fingerprints": {n: scores.fingerprints[n] for n in TERMS}, "study": {"name": "made up"}}
    pl.DataFrame(rows).write_parquet(path, metadata={"imine": json.dumps(facts)})


@pytest.fixture(scope="module")
def rule_file(tiny_llama: Path, tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    settings = ScoreSettings(model=str(tiny_llama), encoder=str(tiny_encoder), cache=False)
    sample = load_sample()
    reference = make_reference("sample", sample, settings)
    reference.save(folder / "reference.npz")
    settings = ScoreSettings(settings.model, encoder=settings.encoder, reference=reference, cache=False)
    made_up_runs(imine.score(sample, TERMS, settings=settings), folder / "runs.parquet")
    main_ok("fit", str(folder / "runs.parquet"), "-o", str(folder / "tiny.json"))
    return folder / "tiny.json"


def main_ok(*args: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(args)
    assert ended.value.code in (0, None)


def main_fails(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    with pytest.raises(SystemExit) as ended:
        main(args)
    assert ended.value.code == 2
    return capsys.readouterr().err


def json_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_from_pool_to_mined_rows(
    rule_file: Path, own_cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "mined.jsonl"
    main_ok("select", "--sample", "--rule", str(rule_file), "--top", "60", "-o", str(out))
    said = capsys.readouterr().out
    assert "Kept 60 of 300 rows" in said
    assert "Rejected 240 rows: 219 above the cut, 21 without a prediction." in said
    assert "without perplexity: 3 rows, most often: the response has no tokens" in said
    assert "without mtld: 21 rows" in said
    assert "Time: reading" in said
    mined, rejected = json_lines(out), json_lines(tmp_path / "mined.rejected.jsonl")
    originals = {row["id"]: row for row in json_lines(sample_path())}
    assert len(mined) == 60
    assert all(row == originals[row["id"]] for row in mined), "rows come back as they came in"
    assert {r["id"] for r in mined} | {r["id"] for r in rejected} == set(originals), "nothing is lost"
    assert all(row.pop("imine_reason") and row == originals[row["id"]] for row in rejected)
    table = pl.read_parquet(tmp_path / "mined.selection.parquet")
    assert table.filter("kept")["id"].to_list() == [row["id"] for row in mined]
    kept, cut = (
        table.filter("kept")["predicted_log_loss"],
        table.filter(~pl.col("kept"))["predicted_log_loss"],
    )
    assert kept.max() <= cut.min()  # type: ignore[operator]


def test_a_second_run_uses_the_scores_of_the_first(
    rule_file: Path, own_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    main_ok(
        "select", "--sample", "--rule", str(rule_file), "--fraction", "0.1", "-o", str(tmp_path / "a.jsonl")
    )
    for loader in ("likelihood.load_causal_lm", "embeddings.load_encoder"):
        monkeypatch.setattr(f"imine.indicators.{loader}", None)
    main_ok(
        "select", "--sample", "--rule", str(rule_file), "--fraction", "0.1", "-o", str(tmp_path / "b.jsonl")
    )
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()


def test_python_does_the_same(rule_file: Path, own_cache: Path, tmp_path: Path) -> None:
    main_ok(
        "select", "--sample", "--rule", str(rule_file), "--top", "25", "-o", str(tmp_path / "mined.jsonl")
    )
    pool = imine.read(sample_path())
    selection = imine.select(pool, imine.load_rule(rule_file), top=25)
    assert selection.kept is not None
    assert selection.kept["id"].to_list() == [row["id"] for row in json_lines(tmp_path / "mined.jsonl")]


def test_scores_made_otherwise_are_refused_and_allowed_with_a_stored_warning(
    rule_file: Path,
    tiny_llama: Path,
    own_cache: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    rule = imine.load_rule(rule_file)
    settings = ScoreSettings(
        model=str(tiny_llama), template="plain", encoder=rule.fingerprints["knn_6"]["encoder"]["name"]
    )
    imine.score(load_sample(), TERMS, settings=settings).write(tmp_path / "scores.parquet")
    request = [
        "select",
        "--sample",
        "--rule",
        str(rule_file),
        "--top",
        "9",
        "--scores",
        str(tmp_path / "scores.parquet"),
    ]
    message = main_fails(capsys, *request, "-o", str(tmp_path / "mined.jsonl"))
    assert "perplexity: template.sha256 is" in message
    assert "knn_6: reference.kind is 'self', the rule expects 'set'" in message
    assert "--allow-mismatch" in message
    assert not (tmp_path / "mined.jsonl").exists()
    main_ok(*request, "--allow-mismatch", "-o", str(tmp_path / "mined.jsonl"))
    assert "warning" in capsys.readouterr().err
    stored = json.loads(pl.read_parquet_metadata(tmp_path / "mined.selection.parquet")["imine"])
    assert any("template.sha256" in note for note in stored["notes"])


def test_a_rule_without_its_reference_says_so(
    rule_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    alone = tmp_path / "alone.json"
    alone.write_bytes(rule_file.read_bytes())
    message = main_fails(
        capsys, "select", "--sample", "--rule", str(alone), "--top", "9", "-o", str(tmp_path / "x.jsonl")
    )
    assert "tiny.reference.npz" in message


def test_a_rule_that_cannot_be_computed_fails_before_any_work(
    own_cache: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imine.records.read_records", None)
    message = main_fails(capsys, "select", "nowhere.jsonl", "--rule", "instructmining-v2", "--top", "9")
    for name in ("reward", "understandability", "naturalness", "coherence", "unieval-dialog", "oasst-rm-2.1"):
        assert name in message


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["select", "--sample"], "exactly one of"),
        (["select", "--sample", "--top", "3", "--fraction", "0.5"], "exactly one of"),
        (["select", "--top", "3"], "name the files of a pool"),
        (["select", "--sample", "--top", "3", "-o", "absent/mined.jsonl"], "absent"),
        (["select", "--sample", "--top", "3", "-o", "mined.docx"], "suffix"),
        (["select", "absent.jsonl", "--top", "3"], "absent.jsonl"),
        (["score", "--sample", "--indicators", "mtdl"], "no indicator 'mtdl'"),
        (["score", "--sample", "--map", "output"], "FIELD=COLUMN"),
        (["rules", "show", "nothing"], "no rule 'nothing'"),
        (["models", "path", "nothing"], "no model 'nothing'"),
    ],
)
def test_mistakes_end_with_one_message_and_exit_code_2(
    args: list[str],
    message: str,
    rule_file: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    rule = ["--rule", str(rule_file)] if args[0] == "select" else []
    assert message in main_fails(capsys, *args, *rule)
    assert list(tmp_path.iterdir()) == []


def test_a_bad_row_ends_the_run_or_is_written_aside(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with gzip.open("pool.jsonl.gz", "wt") as file:
        file.write('{"instruction": "a", "output": "b"}\n{"instruction": "a", "outp\n')
    message = main_fails(capsys, "score", "pool.jsonl.gz", "--indicators", "lexical")
    assert "pool.jsonl.gz, line 2" in message
    assert "--on-bad-row skip" in message
    main_ok("score", "pool.jsonl.gz", "--indicators", "lexical", "--on-bad-row", "skip")
    said = capsys.readouterr()
    assert "1 bad rows were skipped" in said.err
    assert "scores.parquet: 1 rows" in said.out
    (aside,) = json_lines(tmp_path / "scores.bad.jsonl")
    assert aside["line"] == 2
