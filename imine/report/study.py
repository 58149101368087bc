"""The report of a study: its runs in plots, with the fits behind them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from imine.errors import MissingExtraError, RegressionError
from imine.regression.candidates import candidates_of
from imine.regression.ols import fit_ols
from imine.regression.results import OlsResults
from imine.regression.run_data import RunData, load_runs, prepare
from imine.rendering import format_p, percent
from imine.report.svg import COLOURS, Curve, Point, scatter
from imine.study.findings.evaluations import evaluation_sets
from imine.study.findings.noise import repeat_labels
from imine.study.findings.pools import Shares, pool_shares

_OF_INDICATOR = "design_indicator"


@dataclass(frozen=True, slots=True, eq=False)
class Plot:
    """One plot of a report.

    Attributes:
        title: heading.
        svg: the plot.
        text: what stands under it.
    """

    title: str
    svg: str
    text: str


@dataclass(frozen=True, slots=True, eq=False)
class Alone:
    """The regression on one indicator alone.

    Attributes:
        name: the indicator.
        data: the runs that it is fitted on: in a univariate design those from bands of this indicator.
        fit: the regression.
    """

    name: str
    data: RunData
    fit: OlsResults


def study_report(
    runs: pl.DataFrame | str | Path,
    *,
    terms: Sequence[str] | None = None,
    target: str = "loss",
    level: float = 0.95,
    title: str | None = None,
) -> str:
    """A report of a study's runs as one HTML page that needs nothing else.

    It shows the loss against every indicator with the regression on it alone, and its band; the residuals of the
    regression on all; the loss by the pool that a run has most rows of; repeats; and two evaluation sets against
    each other. In a univariate design each indicator's regression is on the runs from its own bands.

    Args:
        runs: a ``runs.parquet``, or its frame.
        terms: indicators; by default every one in the runs, as :func:`imine.fit` takes them.
        target: column of positive losses.
        level: confidence level.
        title: of the page; by default the study's name.

    Raises:
        RegressionError: the runs cannot be fitted; the message says why.
        MissingExtraError: jinja2 is not installed.
    """
    frame, facts = load_runs(runs)
    names = candidates_of(frame, terms, [target]).terms
    data = prepare(frame, names, target, drop_incomplete=True)
    shares = pool_shares(data.frame)
    colours = _colours(data, shares)
    alone = univariate_fits(data)
    together = _together(data)
    about = facts.get("study", {})
    return _template().render(
        title=title or about.get("name") or "Study",
        head=_head(data, about, target),
        notes=data.notes,
        legend=_legend(shares),
        alone_table=_alone_table(alone, level),
        alone=[_indicator_plot(a, colours, target, level) for a in alone],
        together=together.summary("html", level=level) if isinstance(together, OlsResults) else None,
        why_not=together if isinstance(together, str) else None,
        others=[
            *([_residual_plot(data, together, colours)] if isinstance(together, OlsResults) else []),
            *([_pool_plot(data, shares, target)] if shares else []),
            *_repeat_plots(data, target),
            *_set_plots(data, colours),
        ],
        level=percent(level),
    )


def univariate_fits(data: RunData) -> list[Alone]:
    """One regression an indicator, each on the runs that are from its bands where the design says so.

    An indicator that is the same in all its runs, or has fewer than three of them, is left out.

    Args:
        data: the runs with the indicators.
    """
    found = []
    for i, name in enumerate(data.names):
        rows = np.arange(len(data.y))
        if _OF_INDICATOR in data.frame.columns:
            rows = np.flatnonzero((data.frame[_OF_INDICATOR] == name).to_numpy())
        x, y = data.X[rows, i], data.y[rows]
        if len(rows) < 3 or np.ptp(x) == 0:
            continue
        part = RunData(data.frame[rows.tolist()], (name,), x[:, None], y)
        found.append(Alone(name, part, fit_ols(part.X, y, [name])))
    return found


def _together(data: RunData) -> OlsResults | str:
    try:
        return fit_ols(data.X, data.y, data.names)
    except RegressionError as error:
        return str(error)


def _template() -> Any:
    try:
        from jinja2 import Environment, StrictUndefined
    except ModuleNotFoundError:
        raise MissingExtraError(
            'jinja2 is not installed; reports need the extra: pip install "imine[report]"'
        ) from None
    text = resources.files("imine.report").joinpath("study.html.j2").read_text(encoding="utf-8")
    return Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True).from_string(text)


def _head(data: RunData, about: Mapping[str, Any], target: str) -> list[tuple[str, str]]:
    losses = np.exp(data.y)
    rows = [
        ("runs", f"{len(losses)}"),
        (target, f"{losses.min():.4f} to {losses.max():.4f}, mean {losses.mean():.4f}"),
    ]
    base = f"baseline_{target}"
    if base in data.frame.columns:
        before = float(data.frame[base][0])
        rows.append(("base model", f"{before:.4f}; lower in {int((losses < before).sum())} runs"))
    if model := about.get("model"):
        rows.append(("finetuned", str(model)))
    lists = [key for key in ("pools", "evaluation_sets", "devices") if about.get(key)]
    return [*rows, *((key.replace("_", " "), ", ".join(about[key])) for key in lists)]


def _colours(data: RunData, shares: Shares | None) -> dict[str, str]:
    """Colour of every run: that of the pool it has most rows of."""
    if shares is None:
        return {}
    own = {pool: COLOURS[i % len(COLOURS)] for i, pool in enumerate(shares.pools)}
    return dict(zip(data.labels, (own[pool] for pool in shares.dominant), strict=True))


def _legend(shares: Shares | None) -> list[tuple[str, str]]:
    return [(pool, COLOURS[i % len(COLOURS)]) for i, pool in enumerate(shares.pools)] if shares else []


def _alone_table(alone: Sequence[Alone], level: float) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for a in alone:
        low, high = a.fit.conf_int(level)[1]
        rows.append(
            (
                a.name,
                f"{a.fit.n_runs}",
                f"{a.fit.params[1]:.4g}",
                f"[{low:.3g}, {high:.3g}]",
                format_p(float(a.fit.p[1])),
                f"{a.fit.r2:.3f}",
                f"{a.fit.press_r2:.3f}",
            )
        )
    return rows


def _indicator_plot(a: Alone, colours: Mapping[str, str], target: str, level: float) -> Plot:
    x = a.data.X[:, 0]
    line = np.linspace(x.min(), x.max(), 40)
    band = a.fit.predict(line[:, None], level=level)
    curve = Curve(line.tolist(), band.mean.tolist(), band.low.tolist(), band.high.tolist())
    points = [
        Point(
            float(v), float(y), f"run {run}: {a.name} {v:.4g}, {target} {math.exp(y):.4f}", _of(colours, run)
        )
        for v, y, run in zip(x, a.data.y, a.data.labels, strict=True)
    ]
    low, high = a.fit.conf_int(level)[1]
    text = (
        f"slope {a.fit.params[1]:.4g} [{low:.3g}, {high:.3g}], p {format_p(float(a.fit.p[1]))}, R2 {a.fit.r2:.3f}, "
        f"{a.fit.n_runs} runs"
    )
    return Plot(a.name, scatter(points, f"mean {a.name}", f"log {target}", curve=curve), text)


def _residual_plot(data: RunData, fit: OlsResults, colours: Mapping[str, str]) -> Plot:
    points = [
        Point(float(f), float(r), f"run {run}: residual {r:+.4f}", _of(colours, run))
        for f, r, run in zip(fit.fitted, fit.residuals, data.labels, strict=True)
    ]
    svg = scatter(points, "fitted log loss", "residual", zero=True)
    text = (
        f"regression on all indicators: sigma {fit.sigma:.4g}, R2 {fit.r2:.3f}, PRESS R2 {fit.press_r2:.3f}"
    )
    return Plot("Residuals", svg, text)


def _pool_plot(data: RunData, shares: Shares, target: str) -> Plot:
    present = [pool for pool in shares.pools if pool in shares.dominant]
    rows = zip(shares.dominant, data.y, data.labels, shares.values.max(axis=1), strict=True)
    points = [
        Point(
            present.index(pool),
            math.exp(y),
            f"run {run}: {target} {math.exp(y):.4f}, {share:.0%} {pool}",
            COLOURS[shares.pools.index(pool) % len(COLOURS)],
        )
        for pool, y, run, share in rows
    ]
    svg = scatter(points, "pool of most rows", target, categories=present)
    return Plot("Loss by pool", svg, "each run stands with the pool that it has most rows of")


def _repeat_plots(data: RunData, target: str) -> list[Plot]:
    labels = repeat_labels(data.frame, data.names)
    groups: dict[Any, list[int]] = {}
    for row, label in enumerate(labels):
        groups.setdefault(label, []).append(row)
    repeated = sorted(
        (rows for rows in groups.values() if len(rows) > 1), key=lambda r: float(data.y[r].mean())
    )
    if not repeated:
        return []
    points = [
        Point(i, math.exp(data.y[row]), f"run {data.labels[row]}: {target} {math.exp(data.y[row]):.4f}")
        for i, rows in enumerate(repeated)
        for row in rows
    ]
    df = sum(len(rows) - 1 for rows in repeated)
    squares = sum(float(((data.y[rows] - data.y[rows].mean()) ** 2).sum()) for rows in repeated)
    text = f"standard deviation of the log loss within a subset {math.sqrt(squares / df):.4g} (df {df})"
    svg = scatter(points, "repeated subset, by mean loss", target)
    return [Plot("Repeats with other seeds", svg, text)]


def _set_plots(data: RunData, colours: Mapping[str, str]) -> list[Plot]:
    from scipy.stats import spearmanr

    names = [name for name in evaluation_sets(data.frame) if not data.frame[f"loss_{name}"].null_count()]
    plots = []
    for a, b in pairwise(names):
        x, y = (data.frame[f"loss_{name}"].to_numpy() for name in (a, b))
        points = [
            Point(float(p), float(q), f"run {run}: {a} {p:.4f}, {b} {q:.4f}", _of(colours, run))
            for p, q, run in zip(x, y, data.labels, strict=True)
        ]
        text = f"rank correlation {float(spearmanr(x, y).statistic):.3f}"
        plots.append(Plot(f"{a} and {b}", scatter(points, f"loss on {a}", f"loss on {b}"), text))
    return plots


def _of(colours: Mapping[str, str], run: str) -> str:
    return colours.get(run, COLOURS[0])
