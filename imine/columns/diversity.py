"""Measures of words and vocabulary, defined of "the text"."""

from __future__ import annotations

from functools import partial

from imine.columns.spec import ColumnSpec

_lexical = partial(ColumnSpec, group="lexical")
_NULL = "the text is null"
_varied = partial(_lexical, direction="more varied vocabulary")
_MTLD = "McCarthy and Jarvis (2010), Behavior Research Methods 42, 381-392"
_LEXDIV = "package lexical-diversity 0.1.1"
_SHORT = "the text has fewer words than the minimum (10), or is null"
_NO_FACTOR = f"{_SHORT}; or no factor ends in it"
_TWEEDIE = "Tweedie and Baayen (1998), Computers and the Humanities 32, 323-352"

WORDS = (
    _lexical(
        name="words",
        doc="words of the text",
        unit="words",
        direction="longer text",
        definition="Words as imine splits them (docs/lexical.md): runs of letters, marks and numbers with inner "
        "apostrophes and hyphens; Han, kana and Thai characters one by one.",
        null_when=_NULL,
        dtype="Int64",
    ),
    _lexical(
        name="types",
        doc="different words of the text",
        unit="words",
        direction="larger vocabulary, mostly longer text",
        definition="Different words after folding of case (docs/lexical.md).",
        null_when=_NULL,
        dtype="Int64",
    ),
    _lexical(
        name="mean_word_length",
        doc="mean length of the words of the text",
        unit="characters",
        direction="longer words",
        definition="Mean number of code points of a word.",
        null_when="the text has no words, or is null",
        formula="sum(c) / n",
        low=1.0,
    ),
    _lexical(
        name="sd_word_length",
        doc="standard deviation of the length of the words of the text",
        unit="characters",
        direction="more mixed lengths of words",
        definition="Standard deviation of the number of code points of a word, the words being all there are (divided "
        "by n).",
        null_when="the text has no words, or is null",
        formula="sqrt(sum(c^2) / n - (sum(c) / n)^2)",
    ),
)

RATIOS = (
    _varied(
        name="ttr",
        doc="type-token ratio of the text",
        unit="1",
        definition="Types over words. It falls with length.",
        null_when="the text has no words, or is null",
        formula="t / n",
        high=1.0,
    ),
    _varied(
        name="root_ttr",
        doc="root type-token ratio of the text",
        unit="1",
        definition="Types over the square root of words (Guiraud's R).",
        null_when="the text has no words, or is null",
        formula="t / sqrt(n)",
        reference="Guiraud (1954)",
    ),
    _varied(
        name="corrected_ttr",
        doc="corrected type-token ratio of the text",
        unit="1",
        definition="Types over the square root of twice the words.",
        null_when="the text has no words, or is null",
        formula="t / sqrt(2 n)",
        reference="Carroll (1964)",
    ),
    _varied(
        name="herdan_c",
        doc="Herdan's C of the text",
        unit="1",
        definition="Logarithm of types over logarithm of words.",
        null_when="the text has fewer than 2 words, or is null",
        formula="log t / log n",
        reference="Herdan (1960)",
        high=1.0,
    ),
    _lexical(
        name="maas",
        doc="Maas' a squared of the text",
        unit="1",
        direction="less varied vocabulary",
        definition="Difference of the logarithms of words and types over the squared logarithm of words.",
        null_when="the text has fewer than 2 words, or is null",
        formula="(log n - log t) / (log n)^2",
        reference="Maas (1972)",
    ),
    _lexical(
        name="yule_k",
        doc="Yule's K of the text",
        unit="1",
        direction="more repeated words",
        definition="10,000 times the chance that two words drawn with replacement are one type, less 1/n.",
        null_when="the text has no words, or is null",
        formula="10^4 (sum(f^2) / n^2 - 1 / n)",
        reference=f"Yule (1944); {_TWEEDIE}",
        high=10000.0,
    ),
    _lexical(
        name="simpson_d",
        doc="Simpson's D of the text",
        unit="1",
        direction="more repeated words",
        definition="Chance that two different words of the text are of one type.",
        null_when="the text has fewer than 2 words, or is null",
        formula="sum(f (f - 1)) / (n (n - 1))",
        reference=f"Simpson (1949); {_TWEEDIE}",
        high=1.0,
    ),
    _varied(
        name="word_entropy",
        doc="entropy of the words of the text",
        unit="bits",
        definition="Shannon entropy of the shares of the types.",
        null_when="the text has no words, or is null",
        formula="-sum(f/n log2(f/n))",
        reference="Shannon (1948)",
    ),
)

CURVES = (
    _varied(
        name="mtld",
        doc="measure of textual lexical diversity of the text",
        unit="words a factor",
        definition="Mean length of the runs of words that keep the type-token ratio above 0.72, mean of the forward "
        "and the backward pass, the last run counted in part, a text in which no word recurs counted as one run; "
        "equal to lexicalrichness 0.5.1 on the same words.",
        null_when=_SHORT,
        reference=_MTLD,
    ),
    _varied(
        name="mtld_lexical_diversity",
        doc="MTLD of the text as the package lexical-diversity has it",
        unit="words a factor",
        definition="As mtld, but a run ends only below 0.72 and has at least 10 words, and the last run always counts "
        "in part.",
        null_when=f"{_SHORT}; or no word recurs in it",
        reference=f"{_MTLD}; {_LEXDIV}, mtld",
    ),
    _varied(
        name="mtld_ma_bid",
        doc="moving-average MTLD of the text, mean of both directions",
        unit="words a factor",
        definition="Mean length of the runs that begin at each word in turn and end where the type-token ratio first "
        "falls below 0.72, at 10 words or more; starts from which it does not are left out; mean of the forward and "
        "the backward pass.",
        null_when=_NO_FACTOR,
        reference=f"{_MTLD}; {_LEXDIV}, mtld_ma_bid",
    ),
    _varied(
        name="mtld_ma_wrap",
        doc="moving-average MTLD of the text, wrapped round its end",
        unit="words a factor",
        definition="Mean length of the runs that begin at each word in turn, in the text followed by itself, and end "
        "where the type-token ratio first falls below 0.72, at 10 words or more.",
        null_when=_NO_FACTOR,
        reference=f"{_MTLD}; {_LEXDIV}, mtld_ma_wrap",
    ),
    _varied(
        name="hdd",
        doc="HD-D of the text: mean type-token ratio of 42 words drawn from it",
        unit="1",
        definition="Sum over the types of the chance that 42 words drawn without replacement hold the type, over 42.",
        null_when="the text has fewer than 42 words, or is null",
        formula="sum(1 - C(n - f, 42) / C(n, 42)) / 42",
        reference="McCarthy and Jarvis (2007), Language Testing 24, 459-488",
        high=1.0,
    ),
    _varied(
        name="mattr",
        doc="moving-average type-token ratio of the text",
        unit="1",
        definition="Mean type-token ratio of all windows of 50 words.",
        null_when="the text has fewer than 50 words, or is null",
        reference="Covington and McFall (2010), Journal of Quantitative Linguistics 17, 94-100",
        high=1.0,
    ),
)

DIVERSITY = (*WORDS, *RATIOS, *CURVES)
