"""Findings as Markdown."""

from __future__ import annotations

import math
from collections.abc import Iterator

from imine.rendering import format_p, percent
from imine.rules.text import markdown_table, or_dash
from imine.study.findings.compute import Findings
from imine.study.findings.numbers import Estimated, HeldOut
from imine.study.findings.pools import LeftOutPools, PoolsOrIndicators


def findings_markdown(found: Findings) -> str:
    """The numbers of all findings, a section each.

    Args:
        found: the findings.
    """
    sections = (
        _head,
        _coefficients,
        _selection,
        _held_out,
        _left_out,
        _pools,
        _signs,
        _spreads,
        _sets,
        _noise,
        _notes,
    )
    return "\n".join(line for section in sections for line in section(found)) + "\n"


def _head(found: Findings) -> Iterator[str]:
    rule, settings = found.before.rule, found.settings
    yield f"# Findings: {rule.name}"
    yield ""
    yield (
        f"{rule.n_runs} runs; log of {rule.target}; intervals at {percent(settings.level)}; seed {settings.seed}. "
        f"Standard deviation of the log loss over runs {found.before.data.y.std(ddof=1):.4g}."
    )
    yield ""


def _coefficients(found: Findings) -> Iterator[str]:
    fit = found.before.results
    yield "## Coefficients before selection"
    yield ""
    rows: list[tuple[str, ...]] = [
        (name, f"{value:.4g}", f"{error:.2g}", format_p(p), _ends(low, high), effect)
        for name, value, error, p, (low, high), effect in zip(
            fit.names,
            fit.params,
            fit.std_errors,
            fit.p,
            fit.conf_int(found.settings.level),
            ["–", *_effects(found)],
            strict=True,
        )
    ]
    columns = ["term", "coefficient", "std error", "p", "interval", "effect of 1 sd over runs"]
    if found.before.robust is not None:
        apart = found.before.robust
        columns += ["interval by subsets", "its p"]
        cells = zip(apart.conf_int(found.settings.level), apart.p, strict=True)
        rows = [
            (*row, _ends(low, high), format_p(p)) for row, ((low, high), p) in zip(rows, cells, strict=True)
        ]
    yield from markdown_table(columns, rows, left=("term",))
    yield ""
    if found.before.robust is not None:
        yield (
            "Runs of one subset are not independent of each other; the intervals by subsets take their errors to go "
            "together (cluster-robust), and PRESS R2 does not: see the subsets held out whole, below."
        )
        yield ""
    yield (
        f"R2 {fit.r2:.3f}, adjusted {fit.adjusted_r2:.3f}, PRESS R2 {fit.press_r2:.3f}, sigma {fit.sigma:.4g} "
        f"(df {fit.df_resid})."
    )
    yield ""


def _effects(found: Findings) -> list[str]:
    spread = found.before.data.X.std(axis=0, ddof=1)
    return [f"{b * s:+.4f}" for b, s in zip(found.before.results.params[1:], spread, strict=True)]


def _selection(found: Findings) -> Iterator[str]:
    yield "## Coefficients after selection"
    yield ""
    if found.after is None:
        yield f"No terms were chosen: {found.why_not}"
        yield ""
        return
    rule, fit = found.after.rule, found.after.results
    yield f"Chosen {rule.choice}; the usual intervals take no account of the choice, the others do as they say."
    yield ""
    others = {o.method: {e.name: e for e in o.estimates} for o in rule.other_intervals}
    rows = []
    for i, name in enumerate(fit.names):
        usual = fit.conf_int(found.settings.level)[i]
        cells = [name, f"{fit.params[i]:.4g}", format_p(float(fit.p[i])), _ends(*usual)]
        for known in others.values():
            term = known.get(name)
            cells.append("–" if term is None or term.ci is None else _open_ends(term.ci))
            cells.append("–" if term is None or term.p is None else format_p(term.p))
        rows.append(cells)
    heads = [head for method in others for head in (method, "its p")]
    yield from markdown_table(("term", "coefficient", "p", "usual interval", *heads), rows, left=("term",))
    yield ""
    for part in rule.other_intervals:
        yield f"- {part.method}: {part.about}"
    if rule.stability is not None:
        shares = sorted(rule.stability.terms, key=lambda t: -t.chosen)
        said = ", ".join(f"{t.name} {t.chosen:.0%} (same sign {or_dash(t.same_sign, '.0%')})" for t in shares)
        yield f"- chosen in {rule.stability.repeats:,} resamples: {said}"
    yield ""


def _held_out(found: Findings) -> Iterator[str]:
    yield "## Error on runs held out"
    yield ""
    yield from _judged(found.held_out)
    yield ""
    tests = [v for v in (found.after.rule.validation if found.after else ()) if v.permutation_p is not None]
    for test in tests:
        yield f"{test.scheme}: p {format_p(test.permutation_p or math.nan)}, choice included."
        yield ""


def _judged(parts: tuple[HeldOut, ...]) -> list[str]:
    rows = [
        (
            part.title,
            part.terms,
            f"{part.n}",
            _with(part.r2, ".3f"),
            "–" if part.spearman is None else _with(part.spearman, ".3f"),
            f"{part.rmse:.4g}",
            f"{part.coverage:.0%}",
        )
        for part in parts
    ]
    columns = ("held out", "terms", "runs", "R2", "rank correlation", "RMSE", "in prediction intervals")
    return markdown_table(columns, rows, left=("held out", "terms"))


def _left_out(found: Findings) -> Iterator[str]:
    if not found.left_out:
        return
    yield "## Leaving one pool out"
    yield ""
    yield (
        "For each pool in turn, fitted on the runs with at most a share of their rows from it, and held against the "
        "runs with more; all pools together. A run with much of two pools is predicted twice."
    )
    yield ""
    parts = (*found.left_out, *found.left_out_chosen)
    yield from _judged(tuple(part.together for part in parts if part.together is not None))
    yield ""
    for part in found.left_out:
        yield from _by_pool(part)


def _by_pool(part: LeftOutPools) -> Iterator[str]:
    yield f"By pool, more than {percent(part.share)}, all terms fixed:"
    yield ""
    rows = [
        (
            p.pool,
            f"{p.n_fitted}",
            f"{p.n_predicted}",
            f"{p.bias:+.4f}" if p.why is None else "–",
            f"{p.rmse:.4f}" if p.why is None else "–",
            f"{p.rmse_mean:.4f}" if p.why is None else "–",
            or_dash(p.spearman, ".2f"),
            p.why or "",
        )
        for p in part.pools
    ]
    columns = (
        "pool",
        "fitted",
        "predicted",
        "bias",
        "RMSE",
        "RMSE of the mean",
        "rank correlation",
        "why not",
    )
    yield from markdown_table(columns, rows, left=("pool", "why not"))
    yield ""


def _pools(found: Findings) -> Iterator[str]:
    if found.pools is None:
        return
    pools = found.pools
    yield "## Pools or indicators"
    yield ""
    yield from _judged(pools.held_out)
    yield ""
    yield (
        f"R2 in sample {pools.r2[0]:.3f}, {pools.r2[1]:.3f}, {pools.r2[2]:.3f}. All indicators beside the shares of "
        f"the pools: F {pools.f:.2f} on {pools.df[0]} and {pools.df[1]}, p {format_p(pools.p)}{_robust(pools)}."
    )
    yield ""


def _robust(pools: PoolsOrIndicators) -> str:
    test = pools.robust
    if test is None:
        return "; with errors that need not be alike not defined, since a run has leverage 1"
    alike = "by subsets" if test.kind == "cluster" else test.kind
    return (
        f"; with errors that need not be alike ({alike}) F {test.f:.2f} on {test.df[0]} and {test.df[1]}, "
        f"p {format_p(test.p)}"
    )


def _signs(found: Findings) -> Iterator[str]:
    yield "## Signs beside the published rules"
    yield ""
    rows = [
        (
            sign.name,
            {1: "+", -1: "-", 0: "–"}[sign.published],
            "–" if sign.alone is None else _with(sign.alone, ".3g"),
            sign.verdict(sign.alone),
            "–" if sign.together is None else _with(sign.together, ".3g"),
            sign.verdict(sign.together),
        )
        for sign in found.signs
    ]
    columns = ("indicator", "published", "alone", "so it", "beside the others", "so it ")
    yield from markdown_table(columns, rows, left=("indicator", "so it", "so it "))
    yield ""


def _spreads(found: Findings) -> Iterator[str]:
    if not found.spreads:
        return
    yield "## Spread of subset means and of examples"
    yield ""
    rows = [
        (s.name, _with(s.means, ".4g"), f"{s.examples:.4g}", f"{s.ratio:.3f}", f"{s.random:.4g}")
        for s in found.spreads
    ]
    columns = ("indicator", "sd of subset means", "sd of examples", "ratio", "sd of means of random draws")
    yield from markdown_table(columns, rows, left=("indicator",))
    yield ""


def _sets(found: Findings) -> Iterator[str]:
    for pair in found.sets:
        a, b = pair.names
        yield f"## Evaluation sets {a} and {b}"
        yield ""
        yield (
            f"Rank correlation of the runs' losses {_with(pair.rank, '.3f')}; R2 of the rule {pair.r2[0]:.3f} and "
            f"{pair.r2[1]:.3f}. All coefficients the same: F {pair.f:.2f} on {pair.df[0]} and {pair.df[1]}, "
            f"p {format_p(pair.p)}."
        )
        yield ""
        rows = [
            (t.name, _with(t.a, ".3g"), _with(t.b, ".3g"), _with(t.difference, ".3g"), format_p(t.p))
            for t in pair.terms
        ]
        yield from markdown_table(("term", a, b, "difference", "p"), rows, left=("term",))
        yield ""


def _noise(found: Findings) -> Iterator[str]:
    yield "## Noise of a run"
    yield ""
    if found.repeats is None:
        yield "No subset was trained on more than once: the noise is not known apart from the error of the rule."
    else:
        r = found.repeats
        p = "not defined" if r.lack_of_fit.p is None else f"p {format_p(r.lack_of_fit.p)}"
        reach = (
            f"so a perfect rule could reach an R2 of {_with(r.ceiling, '.3f')}"
            if r.ceiling.value > 0
            else "as much as all runs differ, so that not even a perfect rule could be seen to predict anything"
        )
        yield (
            f"{r.runs} runs on {r.subsets} repeated subsets: standard deviation of the log loss {_with(r.sd, '.3g')} "
            f"(df {r.df}), {reach}. Lack of fit: {p}."
        )
    yield ""
    if found.noise is None:
        return
    rows = [
        (n.pool, f"{n.runs}", f"{n.loss:.4f}", f"{n.mean:+.4f}", or_dash(n.sd, ".4f"))
        for n in found.noise.pools
    ]
    columns = ("most rows of", "runs", "mean loss", "truth less fit", "sd of that")
    yield from markdown_table(columns, rows, left=("most rows of",))
    yield ""
    if found.noise.p is not None:
        yield f"Equal spread over the pools with three runs or more (Brown-Forsythe): p {format_p(found.noise.p)}."
        yield ""


def _notes(found: Findings) -> Iterator[str]:
    for note in found.notes:
        yield f"Note: {note}"


def _with(number: Estimated, form: str) -> str:
    if math.isnan(number.low):
        return f"{number.value:{form}}"
    return f"{number.value:{form}} [{number.low:{form}}, {number.high:{form}}]"


def _ends(low: float, high: float) -> str:
    return f"[{low:.3g}, {high:.3g}]"


def _open_ends(ci: tuple[float | None, float | None]) -> str:
    low, high = ("-∞" if ci[0] is None else f"{ci[0]:.3g}"), ("∞" if ci[1] is None else f"{ci[1]:.3g}")
    return f"[{low}, {high}]"
