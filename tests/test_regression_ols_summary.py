from __future__ import annotations

import math
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from imine.regression import OlsResults, fit_ols
from imine.regression.summary import Table, render

NASTY = ["<b>bold</b> & more", "pipe|and*star_"]


def fitted(**options: object) -> OlsResults:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(20, 2))
    return fit_ols(X, X @ [1.0, -2.0] + rng.normal(size=20), NASTY, **options)


class Reader(HTMLParser):
    """Tags and texts of a fragment; every tag that is opened must be closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.rows: list[list[str]] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag != "br":
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data


def html_rows(fragment: str) -> list[list[str]]:
    reader = Reader()
    reader.feed(fragment)
    reader.close()
    assert reader.open == []
    return reader.rows


def markdown_rows(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    cells = [re.split(r"(?<!\\)\|", line)[1:-1] for line in lines]
    return [[re.sub(r"\\(.)", r"\1", cell).strip() for cell in row] for row in cells]


def test_all_formats_hold_the_same_cells():
    results = fitted()
    markdown, html = results.summary("markdown"), results.summary("html")
    rows = html_rows(html)
    assert markdown_rows(markdown) == rows
    assert [row[0] for row in rows] == ["parameter", "intercept", *NASTY]
    text = results.summary()
    for row in rows:
        assert re.search(r"  ?".join(r"\s*" + re.escape(cell) for cell in row), text)
    assert "<b>" not in html
    assert rows[2][1] == f"{results.params[1]:.5g}"


def test_what_the_fit_as_a_whole_says():
    results = fitted()
    whole = results.summary("text").split("\n\n")[1]
    assert f"R2 {results.r2:.4f}" in whole
    assert f"AICc {results.aicc:.2f}" in whole
    assert whole.count("\n") == 1


def test_level_and_notes():
    results = fitted()
    text = results.summary(level=0.9, notes=["Chosen by <looking>."])
    low, high = results.conf_int(0.9)[1]
    assert "90 % interval" in text
    assert f"[{low:.5g}, {high:.5g}]" in text
    assert text.endswith("Chosen by <looking>.")
    assert "<p>Chosen by &lt;looking&gt;.</p>" in results.summary("html", notes=["Chosen by <looking>."])


def test_kinds_are_said():
    assert "robust" not in fitted().summary()
    assert "Standard errors HC3, robust" in fitted(covariance="HC3").summary()
    grouped = fitted(covariance="cluster", groups=list("abcde") * 4).summary()
    assert "by 5 groups, with 4 degrees of freedom" in grouped
    assert "Weighted: sigma is that of a run of weight 1" in fitted(weights=np.arange(1, 21)).summary()


def test_what_is_not_defined_is_said():
    alone = fit_ols([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0], [3.0, 1.0], [5.0, 0.0]], [1, 2, 2, 9, 5], ["a", "b"])
    assert math.isnan(alone.press_r2)
    assert "PRESS R2 not defined" in alone.summary()


def test_unknown_format():
    with pytest.raises(ValueError, match="format must be one of text, markdown, html; got 'latex'"):
        fitted().summary("latex")
    with pytest.raises(ValueError, match="level must lie between 0 and 1"):
        fitted().summary(level=95)


def test_titles_and_alignment():
    table = Table("A <title>", ("term", "n"), (("x", "10"), ("yy", "2")), ragged=False)
    assert render([table], "text") == "A <title>\nterm   n\nx     10\nyy     2"
    assert render([table], "markdown").splitlines()[0] == r"**A \<title\>**"
    assert "<caption>A &lt;title&gt;</caption>" in render([table], "html")
