"""The report of a study: what it shows, that it is whole, and what goes into the plots."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from imine._cli import app
from imine.errors import StudyError
from imine.regression import fit_ols, prepare_runs
from imine.report import study_report
from imine.report.study import univariate_fits
from imine.report.svg import Curve, Point, nice_ticks, scatter

SHIPPED = Path(__file__).resolve().parents[1] / "imine" / "rules" / "smollm2_135m" / "runs.parquet"


class Tags(HTMLParser):
    """Every tag with what it fetches, and whether all are closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.open: list[str] = []
        self.count: dict[str, int] = {}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.count[tag] = self.count.get(tag, 0) + 1
        self.fetched += [v or "" for k, v in attrs if k in ("src", "href", "xlink:href")]
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.count[tag] = self.count.get(tag, 0) + 1

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def page() -> str:
    return study_report(SHIPPED)


def test_a_report_needs_nothing_else(page: str) -> None:
    tags = Tags(page)
    assert not tags.fetched
    assert not tags.open
    assert "script" not in tags.count
    assert "http" not in page
    assert "url(" not in page
    assert len(page) < 250_000


def test_it_shows_every_run_in_every_plot(page: str) -> None:
    runs = pl.read_parquet(SHIPPED)
    plots = re.findall(r"<svg.*?</svg>", page, flags=re.S)
    assert len(plots) == 5 + 4
    # One plot is of the repeated subsets alone.
    repeated = int(runs["subset"].is_duplicated().sum())
    assert sorted(plot.count("<circle") for plot in plots) == [repeated, *[runs.height] * 8]
    for plot in plots:
        ElementTree.fromstring(plot)
    for word in (
        "mtld",
        "log_perplexity",
        "Residuals",
        "Loss by pool",
        "selfinstruct_gpt4 and mtbench",
        "wikihow",
    ):
        assert word in page


def test_the_numbers_are_those_of_the_regressions(page: str) -> None:
    data = prepare_runs(SHIPPED)
    fit = fit_ols(data.X[:, [0]], data.y, [data.names[0]])
    assert f"slope {fit.params[1]:.4g}" in page
    assert f"PRESS R2 {fit_ols(data.X, data.y, data.names).press_r2:.3f}" in page


def made_up() -> pl.DataFrame:
    rng = np.random.default_rng(0)
    n = 24
    mtld, knn = rng.normal(60, 5, n), rng.normal(1, 0.1, n)
    return pl.DataFrame(
        {
            "run_id": np.arange(n),
            "mtld": mtld,
            "knn_6": knn,
            "design_indicator": ["mtld"] * 14 + ["knn_6"] * 10,
            "loss": np.exp(0.01 * mtld + rng.normal(0, 0.01, n)),
        }
    )


def test_a_univariate_design_fits_each_indicator_on_its_own_runs() -> None:
    frame = made_up()
    mtld, knn = univariate_fits(prepare_runs(frame))
    assert (mtld.name, mtld.fit.n_runs) == ("mtld", 14)
    assert (knn.name, knn.fit.n_runs) == ("knn_6", 10)
    own = frame.head(14)
    slope = np.polyfit(own["mtld"], np.log(own["loss"]), 1)[0]
    assert mtld.fit.params[1] == pytest.approx(slope)
    everywhere = univariate_fits(prepare_runs(frame.drop("design_indicator")))
    assert [a.fit.n_runs for a in everywhere] == [24, 24]


def test_repeats_have_a_plot_of_their_own() -> None:
    frame = made_up().drop("design_indicator")
    assert "Repeats" not in study_report(frame)
    again = pl.concat([frame, frame.head(5).with_columns(pl.col("run_id") + 100, pl.col("loss") * 1.01)])
    page = study_report(again)
    plot = page[page.index("Repeats with other seeds") :]
    assert plot[: plot.index("</svg>")].count("<circle") == 10
    assert f"{0.00995033 / np.sqrt(2):.4g} (df 5)" in plot


def test_names_from_the_runs_cannot_break_the_page() -> None:
    frame = made_up().rename({"loss": "<b>loss"})
    page = study_report(frame, target="<b>loss", title="<i>a")
    assert "<b>" not in page
    assert "<i>" not in page
    Tags(page)


def test_too_few_runs_for_all_indicators_are_said() -> None:
    frame = made_up().drop("design_indicator").head(3)
    assert "Not fitted: " in study_report(frame)


def test_points_lie_where_they_belong() -> None:
    points = [Point(0, 0, "low"), Point(10, 5, "high & right")]
    curve = Curve([0, 10], [0, 5], [-1, 4], [1, 6])
    root = ElementTree.fromstring(scatter(points, "x", "y", curve=curve, zero=True))
    low, high = root.findall("circle")
    assert float(low.get("cx", "")) < float(high.get("cx", ""))
    assert float(low.get("cy", "")) > float(high.get("cy", ""))
    line = [pair.split(",") for pair in root.find("polyline").get("points").split()]  # type: ignore[union-attr]
    assert line == [[c.get("cx"), c.get("cy")] for c in (low, high)]
    width, height = map(float, root.get("viewBox", "").split()[2:])
    for circle in (low, high):
        assert 0 < float(circle.get("cx", "")) < width
        assert 0 < float(circle.get("cy", "")) < height
    assert high.find("title").text == "high & right"  # type: ignore[union-attr]


def test_points_that_cannot_be_drawn() -> None:
    for points in ([], [Point(0, float("nan"), "")]):
        with pytest.raises(ValueError, match="at least one, and finite"):
            scatter(points, "x", "y")
    assert scatter([Point(2, 3, "alone")], "x", "y").count("<circle") == 1


@pytest.mark.parametrize(
    ("low", "high"), [(0.0, 1.0), (-3e-5, 2e-5), (1e6, 1.1e6), (0.1, 0.100001), (-7.0, 13.0)]
)
def test_ticks_are_few_even_and_inside(low: float, high: float) -> None:
    ticks = nice_ticks(low, high)
    steps = np.diff(ticks)
    assert 2 <= len(ticks) <= 8
    assert np.allclose(steps, steps[0], rtol=1e-6)
    assert low - 1e-9 * abs(high - low) <= ticks[0]
    assert ticks[-1] <= high + 1e-9 * abs(high - low)


def test_the_command_takes_a_table_or_a_study(tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    assert CliRunner().invoke(app, ["study", "report", str(SHIPPED), "-o", str(out)]).exit_code == 0
    assert out.read_text().startswith("<!DOCTYPE html>")
    study = tmp_path / "s.toml"
    study.write_text(
        'name = "s"\npools = [{ name = "p", path = "p" }]\nevaluation = [{ name = "e", path = "e" }]\n'
        "design = { subsets = 2, examples = 3 }\n"
    )
    failed = CliRunner().invoke(app, ["study", "report", str(study), "-o", str(out)])
    assert isinstance(failed.exception, StudyError)
    assert "imine study run" in str(failed.exception)
    (tmp_path / "s-out").mkdir()
    (tmp_path / "s-out" / "runs.parquet").write_bytes(SHIPPED.read_bytes())
    assert CliRunner().invoke(app, ["study", "report", str(study), "-o", str(out)]).exit_code == 0
