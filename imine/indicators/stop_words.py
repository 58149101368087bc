"""The English stop words of ``stop_word_share``: a list of imine's own, of the closed classes of words."""

from __future__ import annotations

# Raised when the list changes.
STOP_WORDS_VERSION = 1

_ARTICLES_AND_DETERMINERS = """
    a an the this that these those each every either neither some any no all both such same own other another
    several few many much more most less least enough half
"""
_PRONOUNS = """
    i me my mine myself we us our ours ourselves you your yours yourself yourselves he him his himself she her hers
    herself it its itself they them their theirs themselves one ones who whom whose which what whoever whatever
    whichever someone somebody something anyone anybody anything everyone everybody everything nobody nothing none
"""
_PREPOSITIONS = """
    about above across after against along among amongst around as at before behind below beneath beside besides
    between beyond by despite down during except for from in inside into like near of off on onto out outside over
    per since through throughout till to toward towards under until up upon via with within without
"""
_CONJUNCTIONS = """
    and but or nor so yet if unless because although though while whereas whether than once lest
"""
_VERBS = """
    am is are was were be been being have has had having do does did doing done can could may might must shall
    should will would ought cannot let
"""
_ADVERBS = """
    not never only very too also just then there here now when where why how ever again further still even rather
    quite almost already always often perhaps however therefore thus hence
"""
_SHORT_FORMS = """
    i'm i've i'd i'll we're we've we'd we'll you're you've you'd you'll he's he'd he'll she's she'd she'll it's
    it'd it'll they're they've they'd they'll that's that'll that'd there's there'd there'll here's who's who'd
    who'll what's what're what'll where's when's why's how's let's isn't aren't wasn't weren't hasn't haven't hadn't
    don't doesn't didn't can't couldn't mustn't mightn't shan't shouldn't won't wouldn't needn't ain't
"""

# In the folded form of imine's words: lower case, a straight apostrophe.
STOP_WORDS = frozenset(
    " ".join(
        (
            _ARTICLES_AND_DETERMINERS,
            _PRONOUNS,
            _PREPOSITIONS,
            _CONJUNCTIONS,
            _VERBS,
            _ADVERBS,
            _SHORT_FORMS,
        )
    ).split()
)
