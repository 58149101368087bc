"""The polars expressions: equal to the scores, in every engine of polars."""

from __future__ import annotations

import subprocess
import sys

import polars as pl
import pytest

import imine
from imine.columns.lexical import MEASURES
from imine.indicators.lexical import LexicalParameters, measure_text
from imine.sample import load_sample

TEXTS = load_sample()["output"]
PLAIN = [name for name in MEASURES if name != "copied_share"]


def test_every_measure_is_an_expression() -> None:
    frame = TEXTS.to_frame("output")
    found = frame.select(getattr(pl.col("output").imine, name)().alias(name) for name in PLAIN)
    assert found.equals(measure_text(TEXTS, PLAIN).select(PLAIN))


@pytest.mark.parametrize("engine", ["in-memory", "streaming"])
def test_lazy_frames_in_both_engines(engine: str) -> None:
    frame = pl.concat([TEXTS.to_frame("output")] * 40).lazy().with_row_index("row")
    lazy = frame.filter(pl.col("row") % 3 == 0).select(
        pl.col("output").imine.words().alias("words"),
        pl.col("output").imine.mtld(threshold=0.6, min_words=5).alias("mtld"),
    )
    whole = measure_text(
        pl.concat([TEXTS] * 40), ["words", "mtld"], LexicalParameters(threshold=0.6, min_words=5)
    )
    expected = whole.select("words", "mtld").gather_every(3)
    assert lazy.collect(engine=engine).equals(expected)
    assert lazy.collect_schema() == {"words": pl.Int64, "mtld": pl.Float64}


def test_expressions_in_a_group_are_of_its_rows() -> None:
    frame = pl.DataFrame({"group": ["a", "b", "a"], "output": ["one two", "one", None]})
    found = frame.group_by("group", maintain_order=True).agg(pl.col("output").imine.words())
    assert found["output"].to_list() == [[2, None], [1]]


def test_copied_share_of_two_columns() -> None:
    sample = load_sample()
    found = sample.lazy().select(pl.col("output").imine.copied_share(pl.col("instruction"))).collect()
    assert found.to_series().equals(
        measure_text(sample["output"], ["copied_share"], prompt=sample["instruction"])["copied_share"].alias(
            "output"
        )
    )


def test_copied_share_takes_literals_and_streams() -> None:
    frame = pl.DataFrame({"output": ["a b", "c"] * 60_000})
    literal = frame.select(pl.col("output").imine.copied_share(pl.lit("a")))["output"]
    assert literal.head(2).to_list() == [0.5, 0.0]
    lazy = frame.lazy().select(pl.col("output").imine.copied_share("output")).slice(3, 2)
    assert lazy.collect(engine="streaming")["output"].to_list() == [1.0, 1.0]
    assert "SLICE" not in lazy.explain().split("SELECT")[0], "the slice is taken before the words are read"


def test_copied_share_of_several_columns() -> None:
    frame = pl.DataFrame({"o": ["a b", "c"] * 9000, "p": ["a", None] * 9000, "q": ["a", "c d"] * 9000})
    both = pl.col("o", "p").imine
    expected = {"o": [0.5, 1.0], "p": [1.0, None]}
    assert frame.select(both.copied_share("q")).tail(2).to_dict(as_series=False) == expected
    lazy = frame.lazy().select(both.copied_share("q").name.suffix("_share")).slice(8998, 2)
    assert lazy.collect(engine="streaming").rows() == [(0.5, 1.0), (1.0, None)]
    assert lazy.collect_schema() == {"o_share": pl.Float64, "p_share": pl.Float64}
    literal = frame.select(pl.all().imine.copied_share(pl.lit("a")))
    assert literal.head(2).rows() == [(0.5, 1.0, 1.0), (0.0, None, 0.0)]
    grouped = frame.head(4).group_by(pl.lit(1)).agg(both.copied_share("q"))
    assert grouped.row(0)[1:] == ([0.5, 1.0] * 2, [1.0, None] * 2)


def test_wrong_parameters_are_named() -> None:
    with pytest.raises(TypeError, match=r"mtld\(\) takes threshold, min_words, not window"):
        pl.col("output").imine.mtld(window=3)
    with pytest.raises(TypeError, match=r"words\(\) takes no parameters, not window"):
        pl.col("output").imine.words(window=3)
    with pytest.raises(ValueError, match="window must be at least 1, and is 0"):
        pl.col("output").imine.mattr(window=0)


def test_a_column_that_is_no_text_is_refused() -> None:
    with pytest.raises((TypeError, pl.exceptions.ComputeError), match="must be String, and is Int64"):
        pl.DataFrame({"output": [1]}).select(pl.col("output").imine.words())


def test_importing_registers_them_without_numba() -> None:
    code = (
        "import sys, imine, polars as pl; pl.col('x').imine.hdd(draws=30)\n"
        "print(sorted({'numba', 'torch', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert imine.expressions.ImineExpressions.hdd.__doc__


@pytest.mark.parametrize(
    "imports",
    ["import imine, polars as pl", "import polars as pl, imine", "import polars as pl; import imine.files"],
)
def test_registered_in_any_order_of_imports(imports: str) -> None:
    code = f"{imports}; print(pl.select(pl.lit('a b').imine.words()).item(), pl.__spec__.loader.name)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout == "2 polars\n", done.stderr


def test_importing_imine_leaves_polars_alone() -> None:
    code = "import sys, imine; print([name for name in ('polars', 'numba', 'numpy') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout == "[]\n", done.stderr
