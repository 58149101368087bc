"""Indicators of one's own: declared, scored, in rules, and told of when they go wrong."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

import imine
from imine._cli import app
from imine.columns import COLUMNS, find_column
from imine.columns.catalogue import page
from imine.errors import FingerprintMismatchError, PluginError, PluginWarning, UnknownIndicatorError
from imine.indicators import plugins
from imine.indicators.plugins import PLUGINS, source_sha256
from imine.indicators.score import planned_fingerprints
from imine.indicators.settings import ScoreSettings

ROOT = Path(__file__).resolve().parents[1]
POOL = pl.DataFrame({"instruction": ["Why?", "Say. Now?", "Go"], "output": ["So.", "What? Me?", ""]})


@pytest.fixture(autouse=True)
def no_traces(own_cache: Path) -> Iterator[None]:
    loaded, before = set(plugins._loaded), set(PLUGINS)
    yield
    plugins._loaded.clear()
    plugins._loaded.update(loaded)
    for name in set(PLUGINS) - before:
        imine.indicators.plugins.remove_indicator(name)
    plugins._entry_points.cache_clear()


def declare(function: Any, **facts: Any) -> Any:
    return imine.indicator(**({"name": "own", "unit": "marks"} | facts))(function)


def values(made: Any, **facts: Any) -> pl.DataFrame:
    declare(lambda records: made, **facts)
    return imine.score(POOL, ["own"]).frame


def test_records_or_a_text_column_are_given() -> None:
    declare(lambda records: [records.columns, records.height] and [1, 2, 3])
    declare(lambda texts: texts.str.count_matches(r"\?"), name="asked", takes="instruction", dtype="Int64")
    frame = imine.score(POOL, ["own", "asked"]).frame
    assert frame["own"].to_list() == [1.0, 2.0, 3.0]
    assert frame["asked"].to_list() == [1, 1, 0]
    assert frame["asked"].dtype == pl.Int64
    assert imine.score(POOL, "plugins").indicators == ["own", "asked"]


@pytest.mark.parametrize(
    "made",
    [
        pl.Series([1.5, None, 2.0]),
        np.array([1.5, np.nan, 2.0]),
        [1.5, None, np.float32(2)],
        (1.5, np.nan, True),
    ],
)
def test_series_arrays_and_lists_are_values(made: Any) -> None:
    frame = values(made)
    assert frame["own"][0] == 1.5
    assert frame["own"].is_null().to_list() == [False, True, False]
    assert frame["own__why"].str.starts_with("the indicator gave n").to_list() == [None, True, None]


def test_a_row_that_fails_has_the_reason_that_the_function_gives() -> None:
    frame = values([1, imine.Missing("no verb in it"), float("inf")])
    assert frame["own__why"].to_list() == [None, "no verb in it", "the indicator gave inf"]


@pytest.mark.parametrize(
    ("made", "facts", "message"),
    [
        ([1, 2], {}, "indicator 'own' gave 2 values for 3 rows"),
        ("text", {}, "indicator 'own' gave str, not a series"),
        (5, {}, "indicator 'own' gave int, not a series"),
        ([1, "two", 3], {}, "indicator 'own' gave 'two', which is no number"),
        ([1, 2.5, 3], {"dtype": "Int64"}, r"indicator 'own' gave 2\.5, and its type is Int64"),
        ([1, -2, 3], {"low": 0.0}, "indicator 'own' gave -2, outside its range 0 to infinity"),
    ],
)
def test_what_is_no_number_a_row_is_told_with_the_name(
    made: Any, facts: dict[str, Any], message: str
) -> None:
    with pytest.raises(PluginError, match=message):
        values(made, **facts)


def test_an_exception_is_told_with_the_name_and_kept() -> None:
    @imine.indicator(name="own", unit="1")
    def own(records: pl.DataFrame) -> pl.Series:
        return records["nowhere"]

    with pytest.raises(PluginError, match=r"indicator 'own' \(.*own\) failed: ColumnNotFoundError") as raised:
        imine.score(POOL, ["own"])
    assert isinstance(raised.value.__cause__, pl.exceptions.ColumnNotFoundError)


@pytest.mark.parametrize("name", ["my own", "1st", "own__why", "_own", "id", "größe"])
def test_names_are_checked(name: str) -> None:
    with pytest.raises(PluginError, match="a name has a letter"):
        declare(len, name=name)


@pytest.mark.parametrize("name", ["mtld", "knn_12", "input_mtld"])
def test_names_of_imine_are_taken(name: str) -> None:
    with pytest.raises(PluginError, match=f"indicator '{name}': the name belongs to imine itself"):
        declare(len, name=name)


def test_two_functions_cannot_share_a_name_but_one_can_be_declared_again() -> None:
    def first(records: pl.DataFrame) -> list[int]:
        return [1] * records.height

    declare(first)
    declare(first, version=2)
    assert planned_fingerprints(["own"], ScoreSettings())["own"]["version"] == 2
    with pytest.raises(PluginError, match=r"the name belongs to the plug-in .*first"):
        declare(len)


def test_the_spec_is_found_and_not_on_the_page_of_imines_own() -> None:
    def own(records: pl.DataFrame) -> list[int]:
        """Marks a teacher would give."""
        return [1] * records.height

    declare(own, high=6)
    spec = find_column("own")
    assert spec is COLUMNS["own"]
    assert (spec.doc, spec.unit, spec.group, spec.range()) == (
        "Marks a teacher would give",
        "marks",
        "plugins",
        "-infinity to 6",
    )
    assert "`own`" not in page()
    listed = CliRunner().invoke(app, ["indicators", "plugins"])
    assert "Marks a teacher would give" in listed.output


def test_the_hash_sees_code_and_no_comments() -> None:
    def a(x: int) -> int:
        return x + 1

    def b(x: int) -> int:
        """Text."""
        # a reason
        return x + 1

    def c(x: int) -> int:
        return x + 2

    assert source_sha256(a) == source_sha256(b) != source_sha256(c)
    assert source_sha256(eval("lambda x: x")) is None, "no source to be read"


def test_kept_values_are_computed_once_and_anew_when_something_changes() -> None:
    seen: list[int] = []

    def own(texts: pl.Series) -> pl.Series:
        seen.append(texts.len())
        return texts.str.len_bytes()

    declare(own, takes="output", keep=True, parameters={"unit": "utf-8"})
    first = imine.score(POOL, ["own"]).frame
    more = pl.concat([POOL, pl.DataFrame({"instruction": ["New"], "output": ["longer"]})])
    second = imine.score(more, ["own"]).frame
    assert seen == [3, 1]
    assert second["own"].to_list() == [*first["own"].to_list(), 6]
    declare(own, takes="output", keep=True, parameters={"unit": "bytes"})
    imine.score(POOL, ["own"])
    assert seen == [3, 1, 3]


def _lengths(texts: pl.Series, times: Any = 1) -> list[int]:
    """Length of the response."""
    return [len(text) * len(range(times)) for text in texts]


class _Lengths:
    def __init__(self, times: int) -> None:
        self.times = times

    def __call__(self, texts: pl.Series) -> list[int]:
        return _lengths(texts, self.times)

    def method(self, texts: pl.Series) -> list[int]:
        return _lengths(texts, self.times)


def _around(times: int) -> Any:
    def lengths(texts: pl.Series) -> list[int]:
        return _lengths(texts, times)

    return lengths


@pytest.mark.parametrize(
    "make",
    [lambda times: partial(_lengths, times=times), lambda times: partial(partial(_lengths), times=times)],
)
def test_partial_functions_do_not_share_what_is_kept(make: Any) -> None:
    for times in (1, 100):
        declare(make(times), takes="output", keep=True)
        assert imine.score(POOL, ["own"]).frame["own"].to_list() == [3 * times, 9 * times, 0]
    made = planned_fingerprints(["own"], ScoreSettings())["own"]["plugin"]
    assert made["arguments"] == {"args": [], "keywords": {"times": 100}}
    assert made["sha256"] == source_sha256(_lengths)
    assert made["name"].endswith("._lengths")
    assert COLUMNS["own"].doc == "Length of the response"


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (_Lengths, "its source cannot be read"),
        (lambda times: eval("lambda texts: [0] * len(texts)"), "its source cannot be read"),
        (lambda times: _Lengths(times).method, "it is a method"),
        (_around, "it takes times from the function around it"),
        (lambda times: partial(_lengths, times=np.int64(times)), "values that JSON cannot hold"),
    ],
)
def test_values_are_not_kept_of_a_function_that_cannot_be_told_from_another(make: Any, why: str) -> None:
    with pytest.raises(PluginError, match=rf"indicator 'own': keep=True .*since .*{why}.*parameters="):
        declare(make(1), takes="output", keep=True)
    assert "own" not in PLUGINS
    declare(make(1), takes="output")
    declare(make(1), takes="output", keep=True, parameters={"times": 1})
    first = imine.score(POOL, ["own"]).frame["own"].to_list()
    declare(make(2), takes="output", keep=True, parameters={"times": 2})
    assert imine.score(POOL, ["own"]).frame["own"].to_list() == [2 * value for value in first]


PLUGIN = """
import imine

@imine.indicator(name="{name}", unit="words", takes="output")
def {name}(texts):
    "Spaces of the response."
    return texts.str.count_matches(" ")
"""


def test_files_and_modules_of_the_variable_are_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "by_file.py").write_text(PLUGIN.format(name="by_file"))
    (tmp_path / "by_module.py").write_text(PLUGIN.format(name="by_module"))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv(plugins.VARIABLE, f"{tmp_path / 'by_file.py'}:by_module")
    assert imine.score(POOL, ["by_file", "by_module"]).frame["by_file"].to_list() == [0, 1, 0]


def test_entry_points_are_loaded_and_a_broken_one_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "own_indicators-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: own-indicators\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[imine.indicators]\nspaces = by_point\nbroken = not_there\n")
    (tmp_path / "by_point.py").write_text(PLUGIN.format(name="spaces"))
    monkeypatch.syspath_prepend(tmp_path)
    plugins._entry_points.cache_clear()
    assert {p.name for p in importlib.metadata.entry_points(group="imine.indicators")} == {"spaces", "broken"}
    with pytest.warns(
        PluginWarning, match=r"the plug-in broken = not_there could not be loaded: ModuleNotFoundError"
    ):
        frame = imine.score(POOL, ["spaces"]).frame
    assert frame["spaces"].to_list() == [0, 1, 0]
    with pytest.raises(UnknownIndicatorError, match="did you mean spaces"):
        imine.score(POOL, ["spacse"])


def test_rules_are_fitted_and_used_with_it() -> None:
    def own(records: pl.DataFrame) -> pl.Series:
        return records["output"].str.len_bytes()

    declare(own)
    rng = np.random.default_rng(0)
    means = rng.uniform(2, 9, size=12)
    runs = pl.DataFrame({"own": means, "loss": np.exp(1 + 0.03 * means + rng.normal(0, 0.01, 12))})
    made = planned_fingerprints(["own"], ScoreSettings())
    rule = imine.fit(runs, name="by-own", metadata={"fingerprints": made})
    assert list(rule.indicators) == ["own"]
    assert rule.terms[0].coefficient == pytest.approx(0.03, abs=0.01)
    pool = POOL.with_columns(id=pl.col("instruction"), input=pl.lit("")).filter(pl.col("output") != "")
    chosen = imine.select(pool, rule, top=1)
    assert chosen.kept is not None
    assert chosen.kept["output"].to_list() == ["So."], "the shorter one has the lower predicted loss"
    declare(own, version=2)
    with pytest.raises(FingerprintMismatchError, match="own: version is 2, the rule expects 1"):
        imine.select(pool, rule, top=1)


def test_the_example_of_the_page_runs_as_it_stands() -> None:
    text = (ROOT / "docs" / "plugins.md").read_text()
    example = re.findall(r"```python\n(.*?)```", text, flags=re.S)[0]
    assert sum(1 for line in example.splitlines() if line.strip()) <= 10
    names: dict[str, Any] = {}
    exec(example, names)
    shown = re.findall(r"```text\n(.*?)```", text, flags=re.S)[0]
    assert names["scores"].frame["question_marks"].to_list() == [1.0, None]
    assert str(names["scores"].frame["question_marks__why"][1]) in shown
