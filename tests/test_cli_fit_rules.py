import json

import numpy as np
import polars as pl
import pytest

import imine
from imine.__main__ import main
from imine.indicators.neighbors import ReferenceSet


@pytest.fixture
def runs(tmp_path):
    rng = np.random.default_rng(2)
    frame = pl.DataFrame({"run_id": [f"r{i}" for i in range(20)], "mtld": rng.normal(60, 4, 20)})
    frame = frame.with_columns(
        knn_6=pl.Series(rng.normal(0.6, 0.05, 20)),
        loss=(0.9 - 0.01 * pl.col("mtld") + pl.Series(rng.normal(0, 0.01, 20))).exp(),
    )
    path = tmp_path / "study" / "runs.parquet"
    path.parent.mkdir()
    reference = ReferenceSet.make("tiny", ["a", "b", "c"], np.eye(3, dtype=np.float32), "00")
    reference.save(path.parent / "reference.npz")
    about = {"kind": "set", "name": "tiny", "n": 3, "sha256": reference.sha256}
    facts = {"study": {"name": "tiny"}, "fingerprints": {"mtld": {}, "knn_6": {"reference": about}}}
    frame.write_parquet(path, metadata={"imine": json.dumps(facts)})
    return path


def run(capsys, *arguments) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as caught:
        main([str(a) for a in arguments])
    captured = capsys.readouterr()
    return int(caught.value.code or 0), captured.out, captured.err


def test_fit_writes_the_rule_it_shows(capsys, runs, tmp_path):
    code, out, _ = run(capsys, "fit", runs, "-o", tmp_path / "out" / "mine.json")
    assert code == 0
    rule = imine.load_rule(tmp_path / "out" / "mine.json")
    assert (rule.name, rule.indicators) == ("tiny", ("mtld", "knn_6"))
    assert rule.table() in out
    assert "This rule predicts out of sample" in out
    assert rule.reference.file == "mine.reference.npz"
    assert rule.reference_path().read_bytes() == (runs.parent / "reference.npz").read_bytes()
    assert "mine.reference.npz beside it" in out


def test_fit_options(capsys, runs, tmp_path):
    arguments = ["--terms", "mtld", "--name", "other", "--level", "0.9"]
    code, out, _ = run(capsys, "fit", runs, "-o", tmp_path / "r.json", *arguments)
    rule = imine.load_rule(tmp_path / "r.json")
    assert (code, rule.name, rule.indicators, rule.level) == (0, "other", ("mtld",), 0.9)
    assert "90 % interval" in out
    assert rule.reference is None, "no term needs it"
    assert not (tmp_path / "r.reference.npz").exists()


def test_fit_without_the_reference_set_says_so(capsys, runs, tmp_path):
    (runs.parent / "reference.npz").unlink()
    code, out, _ = run(capsys, "fit", runs, "-o", tmp_path / "r.json")
    assert code == 0
    assert "Note: The reference set of knn_6 is not at hand: no reference.npz lies beside the runs" in out


def test_fit_that_cannot_be_made_writes_nothing(capsys, runs, tmp_path):
    code, _, err = run(capsys, "fit", runs, "-o", tmp_path / "r.json", "--terms", "mtld,zeal")
    assert code == 2
    assert "no column zeal" in err
    assert not (tmp_path / "r.json").exists()


def test_rules_lists_the_rules(capsys):
    code, out, _ = run(capsys, "rules")
    assert code == 0
    lines = out.splitlines()
    assert lines[1].startswith("instructmining-v1")
    assert "reward, output_length, knn_6" in lines[1]
    assert "arXiv 2307.06290" in lines[1]


def test_rules_show(capsys):
    code, out, _ = run(capsys, "rules", "show", "instructmining-v2")
    assert code == 0
    assert "understandability" in out
    assert "holds no held-out error" in out
    code, out, _ = run(capsys, "rules", "show", "instructmining-v2", "--json")
    assert json.loads(out)["schema"] == "imine.rule/2"
    code, _, err = run(capsys, "rules", "show", "nope")
    assert code == 2
    assert "no rule 'nope'" in err


@pytest.mark.parametrize("command", [("fit",), ("rules",), ("rules", "show")])
def test_help_ends_with_an_example(capsys, command):
    code, out, _ = run(capsys, *command, "--help")
    assert code == 0
    assert f"Example: imine {command[0]}" in out
