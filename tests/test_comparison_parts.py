"""Parts of a comparison: its file, selectors, budgets, draws, and the guard against what the rule has seen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from imine.errors import SelectionError, StudyConfigError
from imine.rules import Estimate, Rule, Term
from imine.rules.parts import Provenance
from imine.selection.comparison import SELECTORS, check_comparison, find_selector, load_comparison
from imine.selection.comparison.budget import Budget, fill
from imine.selection.comparison.draws import Choice, candidates_of, choose
from imine.selection.comparison.foretold import foretell
from imine.selection.comparison.guard import check_unseen

RAW: dict[str, Any] = {
    "name": "a",
    "out": "o",
    "rule": "r",
    "pools": [{"name": "p", "path": "p"}],
    "evaluation": [{"name": "e", "path": "e"}],
    "budget": {"sizes": [8]},
}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"selector": ["rule"]}, "selector: unknown key"),
        ({"selectors": ["rule", "length"]}, "random must be among them"),
        ({"selectors": ["random", "length", "length_high"]}, "the selector length_high stands twice"),
        ({"rule": ""}, "rule: missing, and the selector rule is asked for"),
        ({"budget": {"sizes": [8], "tokens": [9]}}, "budget: give sizes or tokens, one of the two"),
        ({"budget": {"unit": "rows", "tokens": [9]}}, "the unit is rows; give sizes"),
        ({"budget": {"sizes": [8, 8]}}, "every amount once"),
        ({"draw_from": 1.5}, "draw_from"),
        ({"evaluation": [{"name": "e", "path": "e", "information": True}]}, "one must be there to judge by"),
        ({"pools": [{"name": "p", "path": "p"}] * 2}, "pools: the name p stands twice"),
    ],
)
def test_a_wrong_file_is_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(StudyConfigError, match=said):
        check_comparison(RAW | change)


def test_aliases_are_written_out() -> None:
    config = check_comparison(RAW | {"selectors": ["random", "length", "perplexity", "ifd", "knn", "reward"]})
    assert config.selectors == ("random", "length_high", "perplexity_low", "ifd", "knn_high", "reward_high")


def test_an_order_by_a_column_that_has_a_name_goes_by_it() -> None:
    # The runs of reward:high and reward_high would have the same names in the ledger.
    assert find_selector("reward:high") is SELECTORS["reward_high"]
    assert find_selector("log_perplexity:middle") is SELECTORS["perplexity_middle"]
    # Without the limit of 1 it is another order.
    assert find_selector("ifd:high").name == "ifd:high"
    with pytest.raises(StudyConfigError, match="the selector reward_high stands twice"):
        check_comparison(RAW | {"selectors": ["random", "reward", "reward:high"]})


def test_a_deepspeed_json_is_read_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "own.json").write_text('{"gradient_clipping": 1.0}')
    files = "\n".join(f'[[{part}]]\nname = "{part}"\npath = "p"' for part in ("pools", "evaluation"))
    (tmp_path / "c.toml").write_text(
        f'name = "a"\nrule = "r"\n{files}\n[budget]\nsizes = [8]\n[finetune]\ndeepspeed = "own.json"\n'
    )
    comparison = load_comparison(tmp_path / "c.toml")
    assert comparison.config.finetune.deepspeed == {"gradient_clipping": 1.0}
    assert "finetune.deepspeed (content)" in comparison.recipe()
    (tmp_path / "own.json").unlink()
    with pytest.raises(
        StudyConfigError, match=r"c.toml: finetune.deepspeed: .*own.json: not a readable JSON"
    ):
        load_comparison(tmp_path / "c.toml")


def test_selectors_leave_out_what_has_no_score() -> None:
    scores = pl.DataFrame({"id": list("abcdef"), "score": [1.0, 3.0, None, float("nan"), 3.0, 2.0]})
    assert SELECTORS["length_high"].order(scores) == ["b", "e", "f", "a"]
    assert SELECTORS["rule"].order(scores) == ["a", "f", "b", "e"]
    # Ranks: a 1, f 2, b 3, e 4; the middle is between f and b.
    assert SELECTORS["perplexity_middle"].order(scores) == ["b", "f", "a", "e"]
    assert SELECTORS["ifd"].order(scores.with_columns(pl.col("score") / 3)) == ["f", "a"]
    assert find_selector("mtld:low").order(scores) == ["a", "f", "b", "e"]


def test_an_order_does_not_depend_on_the_order_of_the_rows() -> None:
    scores = pl.DataFrame({"id": list("abcdef"), "score": [1.0, 3.0, 2.0, 2.0, 3.0, 2.0]})
    for selector in SELECTORS.values():
        assert selector.order(scores) == selector.order(scores[::-1])


def test_an_unknown_selector_is_named() -> None:
    with pytest.raises(SelectionError, match=r"no selector 'nothing:high'; there are rule, random"):
        find_selector("nothing:high")


def test_a_budget_is_filled_to_the_nearest_row() -> None:
    costs = {"a": 10, "b": 10, "c": 10}

    def chosen(total: float) -> int:
        return len(fill("abc", costs, Budget("p", 1, total, "rows", "x"), "who"))

    assert [chosen(total) for total in (1, 14, 15, 16, 25, 30)] == [1, 1, 1, 2, 2, 3]
    with pytest.raises(SelectionError, match="who: 3 rows with a score have 30 rows together, fewer than"):
        chosen(31)


def test_parts_are_disjoint_and_shares_of_one_size() -> None:
    ids = [f"{i:02}" for i in range(23)]
    parts = candidates_of(ids, "parts", 5, 1, "p")
    assert sorted(id for part in parts for id in part) == ids
    assert sorted(map(len, parts)) == [4, 4, 5, 5, 5]
    shares = candidates_of(ids, 0.5, 5, 1, "p")
    assert [len(share) for share in shares] == [12] * 5
    assert len({tuple(share) for share in shares}) == 5
    # More seeds do not change the first ones.
    assert candidates_of(ids, 0.5, 7, 1, "p")[:5] == shares


def test_all_selectors_choose_from_the_same_part() -> None:
    ids = [f"{i:02}" for i in range(20)]
    costs, scores = dict.fromkeys(ids, 1), pl.DataFrame({"id": ids, "score": range(20)})
    parts = candidates_of(ids, 0.5, 3, 1, "p")
    budgets = [Budget("p", n, n, "rows", "x") for n in (3, 6)]
    mined = choose(SELECTORS["rule"], scores, parts, costs, budgets, seed=1)
    drawn = choose(SELECTORS["random"], None, parts, costs, budgets, seed=1)
    for choice in (*mined, *drawn):
        assert set(choice.ids) <= set(parts[choice.replicate])
        assert len(choice.ids) == choice.size
    assert mined[0].ids == tuple(parts[0][:3])
    assert len({choice.seed for choice in (*mined, *drawn)}) == 12
    # The smaller draw is the beginning of the larger one.
    assert drawn[1].ids[:3] == drawn[0].ids != drawn[2].ids


A, B, C = "a" * 16, "b" * 16, "c" * 16


def fitted(target: str = "loss", **data: str) -> Rule:
    hashes = {key.replace("__", "."): value for key, value in data.items()}
    return Rule(
        name="r",
        target=target,
        intercept=Estimate(coefficient=0.0),
        terms=(Term(name="mtld", coefficient=1.0),),
        provenance=Provenance(data=hashes),
    )


def test_a_set_that_the_rule_was_fitted_on_is_refused_or_marked() -> None:
    rule = fitted(evaluation__one=A, evaluation__two=B)
    with pytest.raises(
        SelectionError, match=r"fitted to the loss on mine \(there called two\): what it chooses"
    ):
        check_unseen(rule, {"evaluation.mine": B}, [], False)
    seen = check_unseen(rule, {"evaluation.mine": B}, ["mine"], False)
    assert seen.sets == ("mine",)
    assert "for information only" in seen.notes[0]


def test_a_set_that_the_study_measured_for_another_target_is_told() -> None:
    rule = fitted("loss_one", evaluation__one=A, evaluation__two=B)
    seen = check_unseen(rule, {"evaluation.two": B}, [], False)
    assert seen.sets == ()
    assert "also measured two, whose loss the rule was not fitted to" in seen.notes[0]
    with pytest.raises(SelectionError, match="fitted to the loss on one"):
        check_unseen(rule, {"evaluation.one": A}, [], False)


def test_a_pool_of_the_study_is_refused_or_marked() -> None:
    rule = fitted(pools__p=A * 4)
    with pytest.raises(SelectionError, match="runs drawn from p: its choice there is no proof"):
        check_unseen(rule, {"pools.p": A}, [], False)
    seen = check_unseen(rule, {"pools.p": A}, [], True)
    assert seen.pools == ("p",)
    assert seen.notes[0].startswith("NOT HELD OUT: rule r was fitted on runs drawn from p")


def test_the_same_name_with_other_content_is_told() -> None:
    seen = check_unseen(fitted(pools__p=A, evaluation__e=B), {"pools.p": C, "evaluation.x": C}, [], False)
    assert (seen.pools, seen.sets) == ((), ())
    assert seen.notes == (
        "The study of rule r had a file pools.p with other content; whether rows are the same was not checked.",
    )


ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("name", ["dolly_cpu", "gpu"])
def test_the_prepared_comparisons_are_right(name: str) -> None:
    comparison = load_comparison(ROOT / "comparisons" / f"{name}.toml")
    config = comparison.config
    assert config.seeds == 5
    assert {"rule", "random", "length_high"} <= set(config.selectors)
    judged = [part.name for part in config.evaluation if not part.information]
    assert judged == ["mtbench"]
    assert config.budget.unit == "response_tokens"
    assert (config.finetune.max_tokens, config.finetune.template) == (160, "chatml")


def test_foretold_differences_have_the_interval_of_the_coefficients() -> None:
    from scipy.stats import t as student

    V = np.array([[4.0, 0.3, 0.1], [0.3, 0.04, -0.01], [0.1, -0.01, 0.09]])
    terms = (Term(name="mtld", coefficient=-0.1), Term(name="knn_6", coefficient=0.5))
    covariance = tuple(tuple(row) for row in V.tolist())
    rule = Rule(
        name="r",
        intercept=Estimate(coefficient=1),
        terms=terms,
        covariance=covariance,
        df_resid=20,
        sigma=0.1,
    )
    rows = pl.DataFrame(
        {"pool": "p", "id": list("abcd"), "mtld": [3.0, None, 1.0, 5.0], "knn_6": [1.0, 2.0, 0.0, 0.5]}
    )
    made = [
        Choice("p", 2, name, seed, 0, ids)
        for name, seed, ids in (
            ("rule", 0, ("a", "b")),
            ("rule", 1, ("a", "d")),
            ("random", 0, ("c",)),
            ("random", 1, ("c", "d")),
            ("length_high", 0, ("b",)),
            ("length_high", 1, ("a",)),
        )
    ]
    rule_part, random_part, long_part = foretell(rule, rows, made, 0.9)
    # Nulls have no part in a set's mean; sets count alike, whatever their size.
    assert rule_part.means == {"mtld": 3.5, "knn_6": 1.125}
    assert random_part.means == {"mtld": 2.0, "knn_6": 0.125}
    away = np.array([1.5, 1.0])
    assert rule_part.difference == pytest.approx(away @ [-0.1, 0.5])
    half = student.ppf(0.95, 20) * np.sqrt(away @ V[1:, 1:] @ away)
    assert (rule_part.low, rule_part.high) == pytest.approx(
        (rule_part.difference - half, rule_part.difference + half)
    )
    assert random_part.difference is None
    # A seed whose rows have no mtld at all: nothing is foretold, and no number stands for it.
    assert long_part.means["mtld"] is None
    assert (long_part.difference, long_part.low, long_part.high) == (None, None, None)
