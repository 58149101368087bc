"""The card of a rule: one Markdown page made of what the rule's document holds, and of nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from imine.columns import find_column
from imine.rendering import format_p, percent
from imine.rules.beside import interval_text
from imine.rules.table import rule_table, verdict
from imine.rules.text import markdown_table, or_dash

if TYPE_CHECKING:
    from imine.rules.choice import OtherIntervals, Stability, Validation
    from imine.rules.rule import Rule

UNKNOWN = "not recorded"
"""What the card says where the rule's document holds nothing."""

# By method, and whether the losses had a say.
_METHODS = {
    (
        "named",
        None,
    ): "They were named by whoever fitted the rule; whether after a look at fits is not recorded.",
    ("named", False): "They were named before any fit was made.",
    ("named", True): "They were named after a look at fits.",
    ("all", None): "All indicators in the runs were taken.",
    ("all", False): "All indicators in the runs were taken, without a look at the losses.",
}


def rule_card(rule: Rule) -> str:
    """The card of a rule in Markdown; see :meth:`imine.rules.Rule.card`.

    Args:
        rule: any rule; what it does not hold is said to be missing.

    Returns:
        Markdown, ended by a line break. The same rule gives the same text.

    Examples:
        >>> from imine.rules import load_rule
        >>> card = rule_card(load_rule("instructmining-v1"))
        >>> "This rule holds no held-out error" in card
        True
    """
    blocks = [
        *_head(rule),
        "## Coefficients",
        rule_table(rule).to_markdown(),
        *_reading(rule),
        "## How the terms were chosen",
        *_choice(rule),
        "## How well it predicts",
        *_error(rule),
        "## Where it holds",
        *_limits(rule),
        "## How the indicators were made",
        *_fingerprints(rule),
        "## Where it comes from",
        _provenance(rule),
        *_notes(rule),
        "## How to use it",
        *_usage(rule),
    ]
    return "\n\n".join(blocks) + "\n"


def _head(rule: Rule) -> Iterator[str]:
    yield f"# Rule {rule.name}"
    for text in (rule.title, rule.description):
        if text:
            yield text
    yield (
        f"It predicts the natural logarithm of a loss (`{rule.target}`) of a base model after training on a set of "
        "data, from the means of indicators over that set (InstructMining, arXiv 2307.06290). Lower is better."
    )
    yield f"```\n{rule.formula}\n```"
    yield "Coefficients in the formula have six digits; the rule's file has all of them."


def _reading(rule: Rule) -> Iterator[str]:
    yield (
        "A coefficient is the change of the log loss when the set's mean of the indicator rises by one unit, "
        "the others held. A dash stands for what is not recorded."
    )
    specs = [(name, find_column(name)) for name in rule.indicators]
    described = [f"- `{name}`: {spec.doc}" for name, spec in specs if spec is not None]
    if described:
        yield "\n".join(described)
    if rule.choice is not None and rule.choice.saw_losses:
        tried = f" among {len(rule.terms_tried)} candidates" if rule.choice.method != "named" else ""
        yield (
            f"**These p-values are too small and these intervals too narrow**: they take no account of the choice of "
            f"the terms by the losses{tried}."
        )
    for intervals in rule.other_intervals:
        yield from _other_intervals(intervals)


def _other_intervals(intervals: OtherIntervals) -> Iterator[str]:
    yield f"Intervals by another method: {intervals.method}. {intervals.about}".rstrip()
    rows = [
        (
            estimate.name,
            or_dash(estimate.std_error, ".2g"),
            "–" if estimate.p is None else format_p(estimate.p),
            interval_text(estimate.ci),
        )
        for estimate in intervals.estimates
    ]
    columns = ("term", "std error", "p", f"{100 * intervals.level:g} % interval")
    yield "\n".join(markdown_table(columns, rows, left=["term"]))
    for estimate in intervals.estimates:
        if estimate.why:
            what = "No interval of" if estimate.ci is None else "An end of"
            rest = "" if estimate.ci is None else " is not bounded"
            yield f"{what} {estimate.name}{rest}: {estimate.why}"


def _choice(rule: Rule) -> Iterator[str]:
    tried = ", ".join(f"`{name}`" for name in rule.terms_tried) or UNKNOWN
    yield f"Terms tried: {tried}."
    choice = rule.choice
    if choice is None:
        yield f"How the terms were chosen is {UNKNOWN}."
    else:
        plain = _METHODS.get((choice.method, None), f"Chosen by a search: {choice}.")
        yield _METHODS.get((choice.method, choice.saw_losses), plain)
        facts = [f"{key} {value}" for key, value in choice.settings.items()]
        if choice.forced:
            facts.append(f"terms that had to be in: {', '.join(choice.forced)}")
        if facts:
            yield f"Settings: {'; '.join(facts)}."
    if choice is not None and choice.steps:
        rows = [
            (str(i), step.action, step.term or "–", or_dash(step.value, ".6g"))
            for i, step in enumerate(choice.steps)
        ]
        columns = ("step", "action", "term", choice.criterion or "criterion")
        yield "\n".join(markdown_table(columns, rows, left=["action", "term"]))
    if choice is not None and choice.stopped:
        yield f"It stopped there: {choice.stopped}"
    if rule.stability is not None:
        yield from _stability(rule.stability)


def _stability(stability: Stability) -> Iterator[str]:
    seed = UNKNOWN if stability.seed is None else str(stability.seed)
    yield (
        f"The whole procedure repeated {stability.repeats:,} times on resampled runs ({stability.method}, "
        f"seed {seed}; {stability.failed} gave no model): how often each candidate was chosen, and how often its "
        "coefficient then had its commoner sign."
    )
    rows = [(term.name, f"{term.chosen:.1%}", or_dash(term.same_sign, ".1%")) for term in stability.terms]
    yield "\n".join(markdown_table(("term", "chosen", "same sign"), rows, left=["term"]))


def _error(rule: Rule) -> Iterator[str]:
    yield " ".join(verdict(rule))
    held_out = rule.held_out
    if held_out is not None:
        rank = "" if held_out.spearman is None else f", rank correlation {held_out.spearman:.2f}"
        yield (
            f"{_capital(held_out.method)}, {held_out.n_runs} runs: PRESS R2 {held_out.press_r2:.3f}, root mean "
            f"squared error of the log loss {held_out.press_rmse:.4g}{rank}."
        )
    for validation in rule.validation:
        yield _validation(validation)
    if rule.fit is not None and rule.fit.r2 is not None:
        yield f"In sample, which flatters every rule: R2 {rule.fit.r2:.3f}."


def _validation(validation: Validation) -> str:
    numbers = [
        ("R2", validation.r2, ".3f"),
        ("root mean squared error of the log loss", validation.rmse, ".4g"),
        ("bias", validation.bias, "+.2g"),
        ("Spearman", validation.spearman, ".2f"),
        ("Kendall", validation.kendall, ".2f"),
        ("calibration slope", validation.calibration_slope, ".2f"),
        ("calibration intercept", validation.calibration_intercept, "+.2g"),
        ("mean width of the prediction intervals", validation.interval_width, ".3g"),
        ("permutation p", validation.permutation_p, ".2g"),
    ]
    said = [f"{name} {value:{form}}" for name, value, form in numbers if value is not None]
    if validation.coverage is not None and validation.coverage_level is not None:
        said.append(
            f"{validation.coverage:.1%} of the runs inside their {percent(validation.coverage_level)} "
            "prediction intervals"
        )
    anew = {
        True: "; the terms were chosen anew without the held-out runs",
        False: "; the terms were those chosen with all runs",
        None: "",
    }[validation.chose_anew]
    return f"{_capital(validation.scheme)}, {validation.n_runs} runs: {', '.join(said) or UNKNOWN}{anew}."


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _limits(rule: Rule) -> Iterator[str]:
    size = UNKNOWN
    if rule.set_size is not None:
        fewest, most = rule.set_size
        size = f"{fewest:,}" if fewest == most else f"{fewest:,} to {most:,}"
    yield (
        f"Examples in the sets that were fitted: {size}. The table gives the range of the set means; outside it "
        "the rule is a guess."
    )
    if not rule.ranges:
        yield f"The fitted ranges are {UNKNOWN}."
    ratios = [f"{name} {r.spread_ratio:.1f}" for name, r in rule.ranges.items() if r.spread_ratio is not None]
    spread = (
        f" (single examples spread wider than set means, by a factor of: {', '.join(ratios)})"
        if ratios
        else ""
    )
    yield (
        "Applied to single examples it ranks them; the level predicted for one example is an extrapolation"
        f"{spread}. It says nothing of base models, recipes and evaluations that are not among its runs."
    )


def _fingerprints(rule: Rule) -> Iterator[str]:
    rows = [
        (name, "; ".join(f"{key} {value}" for key, value in _flat(fingerprint)))
        for name, fingerprint in rule.fingerprints.items()
    ]
    if rows:
        columns = ("indicator", "made with")
        yield "\n".join(markdown_table(columns, rows, left=columns))
    absent = [f"`{name}`" for name in rule.indicators if name not in rule.fingerprints]
    if absent:
        yield (
            f"How these were made is {UNKNOWN}, so scores cannot be checked against the rule: {', '.join(absent)}."
        )
    if rule.reference is not None:
        yield (
            f"Neighbours are counted in the {rule.reference.n:,} embeddings of `{rule.reference.file}`, which must "
            f"lie beside the rule (SHA-256 `{rule.reference.sha256}`)."
        )


def _flat(fingerprint: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in fingerprint.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", value


def _provenance(rule: Rule) -> str:
    origin = rule.provenance
    facts: list[tuple[str, str | None]] = [
        ("made", origin.created),
        ("source", origin.source),
        ("study", origin.study),
        ("runs", None if rule.n_runs is None else f"{rule.n_runs:,}"),
        ("runs, SHA-256 of their content", origin.runs_sha256),
        *((f"{name}, SHA-256", digest) for name, digest in origin.data.items()),
        *((f"version of {name}", version) for name, version in origin.versions.items()),
        ("this rule, SHA-256 of its content", rule.sha256),
    ]
    rows = [(name, UNKNOWN if value is None else value) for name, value in facts]
    return "\n".join(markdown_table(("what", "value"), rows, left=["what", "value"]))


def _notes(rule: Rule) -> Iterator[str]:
    if rule.notes:
        yield "## Notes"
        yield "\n".join(f"- {' '.join(note.split())}" for note in rule.notes)


def _usage(rule: Rule) -> Iterator[str]:
    from imine.rules.load import is_shipped

    file = rule.path.name if rule.path else "rule.json"
    beside = f" with `{rule.reference.file}` beside it" if rule.reference else ""
    if is_shipped(rule):
        file = rule.name
        yield f"The rule comes with imine and is loaded by its name, `{file}`."
    else:
        yield f"The rule is the file `{file}`{beside}."
    yield (
        f"```console\n$ imine select pool.jsonl --rule {file} --top 1000 -o mined.jsonl\n"
        f"$ imine check {file} runs.parquet\n```"
    )
    yield (
        "```python\nimport imine\n\n"
        f'rule = imine.load_rule("{file}")\n'
        "predicted = rule.predict(scores)  # a frame with a column an indicator\n```"
    )
