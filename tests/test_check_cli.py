"""imine check, imine rules diff, imine rules card on the command line: output and exit codes."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import polars as pl
import pytest

import imine
import imine.rules
from imine.__main__ import main
from imine.errors import ImineError
from imine.indicators.score import Scores
from tests.test_check import FINGERPRINTS, made_up_runs, write


def run(capsys, *arguments) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as caught:
        main([str(a) for a in arguments])
    captured = capsys.readouterr()
    return int(caught.value.code or 0), captured.out, captured.err


@pytest.fixture
def runs(tmp_path):
    return write(made_up_runs(), tmp_path / "runs.parquet")


@pytest.fixture
def held(runs, tmp_path):
    imine.fit(runs, name="held").write(tmp_path / "held.json")
    return tmp_path / "held.json"


def test_check_ends_with_0_when_all_agree(capsys, held, runs):
    code, out, err = run(capsys, "check", held, runs)
    assert (code, err) == (0, "")
    assert out.rstrip().endswith("All 3 coefficients agree.")
    assert "refitted, 30 runs (the same)" in out


def test_check_ends_with_1_and_the_table_when_one_moved(capsys, held, tmp_path):
    anew = write(made_up_runs(seed=5), tmp_path / "anew.parquet")
    code, out, _ = run(capsys, "check", held, anew)
    assert code == 1
    assert out.count("MOVED") == 3
    assert "3 of 3 coefficients do not agree." in out
    assert run(capsys, "check", held, anew, "--se", "4")[0] == 0
    assert run(capsys, "check", held, anew, "--rtol", "10")[0] == 0


def test_check_as_json(capsys, held, tmp_path):
    anew = write(made_up_runs(seed=5), tmp_path / "anew.parquet")
    code, out, _ = run(capsys, "check", held, anew, "--json")
    assert code == 1
    assert json.loads(out)["agrees"] is False


@pytest.mark.parametrize(
    ("spoil", "match"),
    [
        (lambda held, runs: runs.unlink(), "no such file"),
        (lambda held, runs: held.unlink(), "neither a file nor one of the rules"),
        (lambda held, runs: held.write_text("{"), "cannot be read as a rule"),
        (lambda held, runs: runs.write_text("no parquet"), "cannot be read as runs"),
        (lambda held, runs: write(made_up_runs().drop("mtld"), runs), "no column mtld"),
        (lambda held, runs: write(made_up_runs().drop("loss"), runs), "no column loss"),
        (lambda held, runs: write(made_up_runs(4), runs), "too few"),
        (
            lambda held, runs: write(made_up_runs(), runs, FINGERPRINTS | {"mtld": {"threshold": 1}}),
            "threshold is 1",
        ),
        (lambda held, runs: write(made_up_runs().with_columns(mtld=pl.lit(1.0)), runs), "constant"),
    ],
)
def test_check_ends_with_2_when_it_could_not_run(capsys, held, runs, spoil, match):
    spoil(held, runs)
    code, out, err = run(capsys, "check", held, runs)
    assert (code, out) == (2, "")
    assert err.startswith("imine: ")
    assert match in err


@pytest.mark.parametrize("option", [["--rtol", "-1"], ["--se", "inf"], ["--se", "x"], ["--surprise"]])
def test_check_ends_with_2_on_options_that_make_no_sense(capsys, held, runs, option):
    assert run(capsys, "check", held, runs, *option)[0] == 2


def test_check_ends_with_2_when_it_crashes(capsys, monkeypatch, held, runs):
    def crash(*_, **__):
        raise ZeroDivisionError("unforeseen")

    monkeypatch.setattr(imine.rules, "check_rule", crash)
    code, out, err = run(capsys, "check", held, runs)
    assert (code, out) == (2, "")
    assert "ZeroDivisionError: unforeseen" in err


def test_damaged_files_end_with_an_error_or_a_verdict(held, runs):
    whole = runs.read_bytes()
    rng = np.random.default_rng(0)
    ended = set()
    for _ in range(60):
        damaged = bytearray(whole)
        for place in rng.integers(0, len(damaged), 5):
            damaged[place] ^= 1 << int(rng.integers(8))
        runs.write_bytes(bytes(damaged))
        try:
            ended.add(imine.check_rule(held, runs).agrees)
        except ImineError:
            ended.add(None)
    assert None in ended


def test_the_exit_code_reaches_the_shell(held, tmp_path):
    anew = write(made_up_runs(seed=5), tmp_path / "anew.parquet")
    done = subprocess.run(
        [sys.executable, "-m", "imine", "check", held, anew], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "MOVED" in done.stdout


def scores_file(path, fingerprints=FINGERPRINTS):
    frame = made_up_runs(40, seed=3).select(pl.col("run_id").alias("id"), "mtld", "output_length")
    Scores(frame, fingerprints).write(path)
    return path


def test_diff_of_rules_and_of_what_they_choose(capsys, held, tmp_path):
    anew = tmp_path / "anew.json"
    imine.fit(write(made_up_runs(seed=5), tmp_path / "anew.parquet"), name="anew").write(anew)
    scores = scores_file(tmp_path / "scores.parquet")
    code, out, _ = run(capsys, "rules", "diff", held, anew, "--scores", scores, "--top", "10")
    assert code == 0
    assert "Chosen: 10 and 10 of 40 rows" in out
    assert "by chance 2.5" in out
    code, out, _ = run(capsys, "rules", "diff", held, anew, "--scores", scores, "--top", "10", "--json")
    assert json.loads(out)["sets"]["top"] == 10
    assert run(capsys, "rules", "diff", held, anew)[0] == 0


def test_diff_of_the_sets_of_a_pool(capsys, tmp_path):
    rules = []
    for name, seed in (("one", 0), ("two", 5)):
        runs = made_up_runs(seed=seed).rename({"mtld": "input_words", "output_length": "output_words"})
        imine.fit(runs, name=name).write(tmp_path / f"{name}.json")
        rules.append(tmp_path / f"{name}.json")
    pool = tmp_path / "pool.jsonl"
    rows = [{"instruction": "a " * (5 + i % 7), "output": "b " * (3 + i % 11)} for i in range(50)]
    pool.write_text("".join(json.dumps(row) + "\n" for row in rows))
    code, out, _ = run(capsys, "rules", "diff", *rules, "--pool", pool, "--top", "5")
    assert code == 0
    assert "Chosen: 5 and 5 of" in out


def test_diff_errors_end_with_2(capsys, held, tmp_path):
    scores = scores_file(tmp_path / "scores.parquet", FINGERPRINTS | {"mtld": {"threshold": 1}})
    for arguments, match in (
        (["--scores", scores], "--top says how many"),
        (["--top", "5"], "it goes with --scores or --pool"),
        (["--scores", scores, "--pool", scores, "--top", "5"], "not both"),
        (["--scores", scores, "--top", "5"], "threshold is 1"),
        (["--scores", tmp_path / "nope.parquet", "--top", "5"], "no side-car of scores"),
    ):
        code, _, err = run(capsys, "rules", "diff", held, held, *arguments)
        assert code == 2
        assert match in err
    assert run(capsys, "rules", "diff", held, "nope")[0] == 2
    arguments = ["--scores", scores, "--top", "5", "--allow-mismatch"]
    assert run(capsys, "rules", "diff", held, held, *arguments)[0] == 0


def test_card_to_the_terminal_and_to_a_file(capsys, held, tmp_path):
    code, out, _ = run(capsys, "rules", "card", held)
    assert code == 0
    assert out == imine.load_rule(held).card()
    code, out, _ = run(capsys, "rules", "card", held, "-o", tmp_path / "card.md")
    assert code == 0
    assert (tmp_path / "card.md").read_text() == imine.load_rule(held).card()
    before = held.read_text()
    code, _, err = run(capsys, "rules", "card", held, "-o", held)
    assert code == 2
    assert "is the rule itself" in err
    assert held.read_text() == before
    assert run(capsys, "rules", "card", "nope")[0] == 2
