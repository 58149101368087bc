"""The specs as text: a line each, one in full, and the page docs/indicators.md."""

from __future__ import annotations

from imine.columns import COLUMNS, DEFAULT_INDICATORS
from imine.columns.spec import ColumnSpec

_GROUPS = {
    "lexical": "Words and characters; no model. Each measure is also there for the prompt (`input_mtld`), for the "
    "response (`output_mtld`, the same as `mtld`) and for both (`both_mtld`); `input_lexical`, `output_lexical` and "
    "`both_lexical` are all measures of a side. `copied_share` compares the two sides.",
    "tokens": "Lengths in tokens of a named tokenizer.",
    "likelihood": "How likely a causal model finds the response, given its prompt and alone; docs/likelihood.md.",
    "neighbors": "Distances between sentence embeddings.",
    "reward": "What a model of human preferences says; docs/models.md has layouts, long texts and how to get one.",
    "unieval": "Yes-or-no questions to UniEval's dialogue evaluator; docs/models.md has its input and how to get it.",
}


def one_line(spec: ColumnSpec) -> str:
    """Name, group, unit and what it is, in columns.

    Examples:
        >>> one_line(COLUMNS["mtld"]).split()[:3]
        ['*', 'mtld', 'lexical']
    """
    default = "*" if spec.name in DEFAULT_INDICATORS else " "
    return f"{default} {spec.name:32} {spec.group:11} {spec.unit:21} {spec.doc}"


def facts(spec: ColumnSpec) -> list[tuple[str, str]]:
    """What there is to say of a column, in order: label and text.

    Examples:
        >>> dict(facts(COLUMNS["mtld"]))["null when"]
        'the response has fewer words than the minimum (10), or is null'
    """
    known = [
        ("group", spec.group),
        ("type", spec.dtype),
        ("unit", spec.unit),
        ("range", spec.range()),
        ("larger", spec.direction),
        ("definition", spec.definition),
        ("formula", spec.formula),
        ("reference", spec.reference),
        ("null when", spec.null_when),
        ("version", str(spec.version)),
    ]
    return [(label, text) for label, text in known if text]


def page() -> str:
    """The page docs/indicators.md.

    Examples:
        >>> page().splitlines()[0]
        '# Indicators'
    """
    lines = [
        "# Indicators",
        "",
        "Made by `python tools/generate_indicator_docs.py` from the specs in `imine/columns/`; `imine indicators`",
        "prints the same. In formulas n is the number of words, t of types, f the count of a type, c the length of a",
        "word. A star marks what is scored where nothing is asked for.",
    ]
    for group in dict.fromkeys(spec.group for spec in COLUMNS.values() if spec.group != "plugins"):
        lines += ["", f"## {group}", "", _GROUPS.get(group, ""), ""]
        lines += ["| column | what | unit | range | larger | null when |", "|---|---|---|---|---|---|"]
        members = [spec for spec in COLUMNS.values() if spec.group == group]
        lines += [_row(spec) for spec in members]
        lines += ["", *(line for spec in members for line in _definition(spec))]
    return "\n".join(lines).replace("\n\n\n", "\n\n").rstrip() + "\n"


def _row(spec: ColumnSpec) -> str:
    star = " *" if spec.name in DEFAULT_INDICATORS else ""
    cells = (f"`{spec.name}`{star}", spec.doc, spec.unit, spec.range(), spec.direction, spec.null_when)
    return f"| {' | '.join(cells)} |"


def _definition(spec: ColumnSpec) -> list[str]:
    formula = f" `{spec.formula}`." if spec.formula else ""
    reference = f" ({spec.reference})" if spec.reference else ""
    return [f"- `{spec.name}`: {spec.definition.rstrip('.')}{reference}.{formula}"]
