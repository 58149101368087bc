"""Every exception and warning of imine, flat.

A command that ends with an :class:`ImineError` prints its message and exits with ``exit_code``.
"""

from __future__ import annotations


class ImineError(Exception):
    """Base of all errors that a user can mend; the message says what to do."""

    exit_code = 2


class FormatError(ImineError):
    """The format of a file could not be told, or an override does not fit it."""


class NoRecordsError(FormatError):
    """The files that were read hold no row, good or bad."""


class BadRowError(ImineError):
    """A row could not be read; the message names file, line and reason."""


class MissingExtraError(ImineError):
    """An optional dependency is not installed; the message has the install line."""


class ModelNotFoundError(ImineError):
    """A model is not at hand; the message says how to get it."""


class ModelError(ImineError):
    """A model cannot be used for what it was asked for; the message says why."""


class UnknownIndicatorError(ImineError):
    """An indicator name that is not in the registry."""


class SettingsError(ImineError, ValueError):
    """A setting of the scoring is not allowed; the message names it and what is."""


class WorkerError(ImineError):
    """A process that scores on a device failed; what was done is kept."""


class PluginError(ImineError):
    """An indicator of one's own is declared wrongly or failed; the message names it."""


class IndicatorUnavailableError(ImineError):
    """A rule needs indicators that cannot be computed here."""


class FingerprintMismatchError(ImineError):
    """Scores were made in another way than the rule expects."""


class StudyConfigError(ImineError):
    """A study file is wrong; the message names the key and what is allowed."""


class StudyChangedError(ImineError):
    """A study file differs from the one that its ledger was started with."""


class StudyError(ImineError):
    """A study cannot start or go on; the message says why."""


class RepeatedFailureError(StudyError):
    """Run after run of a sweep failed, so that it was given up."""


class RuleError(ImineError):
    """A rule file or rule name cannot be used."""


class RegressionError(ImineError):
    """A regression cannot be computed from this data."""


class SelectionError(ImineError):
    """A selection was asked for that cannot be made."""


class SearchError(ImineError):
    """A search for a subset size cannot be made; the message says why."""


class JudgingError(ImineError):
    """Answers cannot be made, matched or judged; the message says why."""


class BenchError(ImineError):
    """Benchmarks cannot be run, or a stored run cannot be read; the message says why."""


class FingerprintMismatchWarning(UserWarning):
    """A mismatch that was allowed; it is stored in the output."""


class CacheWarning(UserWarning):
    """A part of the cache cannot be used; what it held is computed again."""


class PluginWarning(UserWarning):
    """A plug-in could not be loaded; its indicators are not there."""
