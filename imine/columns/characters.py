"""Measures of characters, sentences, lines and bytes, defined of "the text"."""

from __future__ import annotations

from imine.columns.spec import ColumnSpec

_GOPHER = "Rae et al. (2021), arXiv 2112.11446, table A1"
_EMPTY = "the text is empty or null"
_NO_WORDS = "the text has no words, or is null"
_SYLLABLES = "Syllables are counted by imine's rule for English."


def _share(name: str, what: str, definition: str) -> ColumnSpec:
    return ColumnSpec(
        name=name,
        group="lexical",
        doc=f"share of {what} in the characters of the text",
        unit="share",
        direction=f"more {what}",
        definition=definition,
        formula=f"{what} / characters",
        null_when=_EMPTY,
        high=1.0,
    )


def _duplicates(name: str, part: str, rule: str, *, of_characters: bool) -> ColumnSpec:
    if of_characters:
        doc = f"share of the characters of the text that stand in duplicate {part}s"
        formula = f"characters of duplicate {part}s / characters"
    else:
        doc = f"share of the {part}s of the text that are duplicates"
        formula = f"duplicate {part}s / {part}s"
    return ColumnSpec(
        name=name,
        group="lexical",
        doc=doc,
        unit="share",
        direction="more repetition",
        definition=f"{rule} A {part} is a duplicate if an equal one stands before it in the text.",
        formula=formula,
        reference=_GOPHER,
        null_when=_EMPTY,
        high=1.0,
    )


_LINES = "Lines are parted by runs of line breaks, and not stripped."
_PARAGRAPHS = (
    "Paragraphs are parted by runs of two line breaks or more, after the text is stripped of white space."
)

CHARACTERS = (
    ColumnSpec(
        name="characters",
        group="lexical",
        doc="characters of the text",
        unit="code points",
        direction="longer text",
        definition="Unicode code points, white space included, nothing normalised.",
        null_when="the text is null",
        dtype="Int64",
    ),
    _share("digit_share", "digits", "Decimal digits of any script (Unicode category Nd)."),
    _share(
        "upper_share",
        "capitals",
        "Capital and title-case letters (Lu, Lt), as a share of all characters, not of the letters: that one has no "
        "value for a text without letters.",
    ),
    _share(
        "punctuation_share",
        "punctuation marks",
        "Punctuation (P*); $ + < = > ^ ` | ~ are symbols, and are not.",
    ),
    _share("non_ascii_share", "non-ASCII characters", "Code points from U+0080 on."),
    _share("whitespace_share", "white space", "What Python's str.isspace calls white space."),
    ColumnSpec(
        name="longest_run",
        group="lexical",
        doc="longest run of one character in the text",
        unit="code points",
        direction="a longer run of one character",
        definition="Length of the longest run of one and the same code point; 0 for an empty text.",
        null_when="the text is null",
        dtype="Int64",
    ),
    ColumnSpec(
        name="sentences",
        group="lexical",
        doc="sentences of the text",
        unit="sentences",
        direction="more sentences",
        definition="Pieces with a letter or a number, parted after . ! ? … and their kin in other scripts where white "
        "space follows, at blank lines and before list items; initials, item numbers and stops before a lower-case "
        "letter part nothing, abbreviations such as Mr. do.",
        null_when="the text is null",
        dtype="Int64",
    ),
    ColumnSpec(
        name="mean_sentence_length",
        group="lexical",
        doc="mean length of the sentences of the text",
        unit="words a sentence",
        direction="longer sentences",
        definition="Words over sentences, each as imine counts them.",
        formula="words / sentences",
        null_when=_NO_WORDS,
        low=1.0,
    ),
    ColumnSpec(
        name="flesch_reading_ease",
        group="lexical",
        doc="Flesch reading ease of the text (English)",
        unit="points",
        direction="easier to read",
        definition=f"{_SYLLABLES} Means nothing for other languages.",
        formula="206.835 - 1.015 words/sentences - 84.6 syllables/words",
        reference="Flesch (1948), Journal of Applied Psychology 32, 221-233",
        null_when=_NO_WORDS,
        low=None,
        high=206.835 - 1.015 - 84.6,
    ),
    ColumnSpec(
        name="flesch_kincaid_grade",
        group="lexical",
        doc="Flesch-Kincaid grade of the text (English)",
        unit="years of school",
        direction="harder to read",
        definition=f"{_SYLLABLES} Means nothing for other languages.",
        formula="0.39 words/sentences + 11.8 syllables/words - 15.59",
        reference="Kincaid, Fishburne, Rogers and Chissom (1975), Naval Technical Training Command, report 8-75",
        null_when=_NO_WORDS,
        low=0.39 + 11.8 - 15.59,
    ),
    _duplicates("duplicate_line_share", "line", _LINES, of_characters=False),
    _duplicates("duplicate_line_character_share", "line", _LINES, of_characters=True),
    _duplicates("duplicate_paragraph_share", "paragraph", _PARAGRAPHS, of_characters=False),
    _duplicates("duplicate_paragraph_character_share", "paragraph", _PARAGRAPHS, of_characters=True),
    ColumnSpec(
        name="compression_ratio",
        group="lexical",
        doc="how far zlib compresses the text",
        unit="bytes a byte",
        direction="more repetition; longer text",
        definition="Bytes of the UTF-8 text over bytes of its zlib stream at level 6, header and checksum included; "
        "below 1 for short texts.",
        formula="bytes / compressed bytes",
        null_when=_EMPTY,
    ),
    ColumnSpec(
        name="stop_word_share",
        group="lexical",
        doc="share of English stop words in the words of the text",
        unit="share",
        direction="more function words",
        definition="Words that are in imine's list of 278 English words of the closed classes "
        "(imine.indicators.stop_words), as a share of all words.",
        formula="stop words / words",
        null_when=_NO_WORDS,
        high=1.0,
    ),
)
