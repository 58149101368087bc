"""Prompts that are nearly those of an evaluation set."""

from __future__ import annotations

import re
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imine.study.config import Study, check_config
from imine.study.designs.guard import OVERLAP, near_prompts
from imine.study.pools import load_data

DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data"
ASKED = "Plan a three course dinner for four guests who eat no meat"


def frame(*rows: tuple[str, str, str]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=["instruction", "input", "output"], orient="row")


def near(candidate: str, asked: str = ASKED, output: str = "x") -> bool:
    return bool(near_prompts(frame((candidate, "", output)), frame((asked, "", "y")))[0])


def test_what_is_near() -> None:
    assert near("plan a three-course dinner, for four guests; who eat no meat!")
    assert near(ASKED.replace("four", "six"))  # one inner word of twelve
    assert near(f"Hello! {ASKED}, please.")
    assert not near("Plan a birthday party for four children who love cake and balloons")
    assert near("Sing.", "sing!")
    assert not near("Sing loudly.", "sing!")
    assert not near("", "sing!")


def test_a_long_run_of_words_anywhere_is_near() -> None:
    asked = " ".join(f"w{i}" for i in range(40))
    quoted = " ".join(f"w{i}" for i in range(20, 33))
    assert near("What is this?", asked, output=f"It says {quoted} and more")
    assert not near("What is this?", asked, output=" ".join(quoted.split()[:12]))
    # A run does not go on from one candidate to the next.
    halves = quoted.split()
    rows = frame((" ".join(halves[:7]), "", ""), (" ".join(halves[7:]), "", ""))
    assert not near_prompts(rows, frame((asked, "", "y"))).any()


def naive(candidate: tuple[str, str, str], prompts: list[str]) -> bool:
    def words(text: str) -> list[str]:
        return re.findall(r"[^\W_]+", text.lower())

    def runs(own: list[str], n: int) -> set[tuple[str, ...]]:
        return {tuple(own[i : i + n]) for i in range(len(own) - n + 1)}

    def shingles(own: list[str]) -> set[tuple[str, ...]]:
        return runs(own, min(3, len(own))) if own else set()

    prompt, whole = words("\n".join(candidate[:2])), words("\n".join(candidate))
    for asked in map(words, prompts):
        a, b = shingles(prompt), shingles(asked)
        if a & b and len(a & b) / len(a | b) >= OVERLAP - 1e-12:
            return True
        if runs(whole, 13) & runs(asked, 13):
            return True
    return False


TEXTS = st.lists(st.sampled_from(["fox", "Dog", "task", "the", "of", "the,"]), max_size=30).map(" ".join)


@settings(max_examples=100, deadline=None)
@given(
    rows=st.lists(st.tuples(TEXTS, TEXTS, TEXTS), min_size=1, max_size=6),
    asked=st.lists(TEXTS, min_size=1, max_size=3),
)
def test_the_same_as_a_plain_loop(rows: list[tuple[str, str, str]], asked: list[str]) -> None:
    evaluation = frame(*((text, "", "y") for text in asked))
    assert near_prompts(frame(*rows), evaluation).to_list() == [naive(row, asked) for row in rows]


def study(folder: Path, guard: str) -> Study:
    rows = [(f"Say {i} to them", "", "ok") for i in range(8)] + [(ASKED.replace("four", "six"), "", "Soup")]
    frame(*rows).write_parquet(folder / "a.parquet")
    frame((ASKED, "", "Salad")).write_parquet(folder / "e.parquet")
    raw = {
        "name": "s",
        "out": "out",
        "pools": [{"name": "a", "path": "a.parquet"}],
        "evaluation": [{"name": "e", "path": "e.parquet"}],
        "design": {"subsets": 2, "examples": 2, "guard": guard},
    }
    return Study(check_config(raw), folder / "study.toml")


def test_the_study_leaves_near_prompts_out_where_asked(tmp_path: Path) -> None:
    class Notes:
        lines: list[str] = []  # noqa: RUF012

        def note(self, text: str) -> None:
            self.lines.append(text)

    notes = Notes()
    assert load_data(study(tmp_path, "exact")).candidates.height == 9
    kept = load_data(study(tmp_path, "near"), progress=notes)  # type: ignore[arg-type]
    assert kept.candidates.height == 8
    assert "8 candidates of 9 rows; 1 with nearly a prompt of an evaluation set left out" in "".join(
        notes.lines
    )


@pytest.mark.skipif(not DATA.is_dir(), reason=f"the shared data are not at {DATA}")
def test_near_prompts_of_real_pools() -> None:
    columns = ["instruction", "input", "output"]
    sets = [
        pl.read_parquet(DATA / f"eval_{name}.parquet", columns=columns)
        for name in ("selfinstruct", "mtbench")
    ]
    counts = {
        name: int(
            near_prompts(pl.read_parquet(DATA / f"{name}.parquet", columns=columns), pl.concat(sets)).sum()
        )
        for name in ("weak_models", "chatterbot", "oasst")
    }
    assert counts == {"weak_models": 6, "chatterbot": 0, "oasst": 0}
