"""Signs of the coefficients beside those of the published rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from imine.regression.ols import fit_ols
from imine.regression.results import OlsResults
from imine.regression.run_data import RunData
from imine.study.findings.numbers import Estimated

_PUBLISHED = ("instructmining-v1", "instructmining-v2")


@dataclass(frozen=True, slots=True)
class Sign:
    """The sign of one indicator's coefficient.

    Attributes:
        name: the indicator.
        published: 1 or -1, in the published rules; 0 where it is in none of them.
        alone: coefficient in a regression on it alone; ``None`` where the runs do not have it.
        together: coefficient beside all other indicators; ``None`` likewise.
    """

    name: str
    published: int
    alone: Estimated | None
    together: Estimated | None

    def verdict(self, ours: Estimated | None) -> str:
        """How a coefficient agrees with the published sign."""
        if ours is None:
            return "not in these runs"
        if not self.published:
            return "no published sign"
        if not ours.sign:
            return "cannot be told from 0"
        return "agrees" if ours.sign == self.published else "disagrees"


def published_signs() -> dict[str, int]:
    """Signs in the rules that the InstructMining paper published.

    Examples:
        >>> signs = published_signs()
        >>> signs["reward"], signs["output_length"], signs["understandability"]
        (-1, 1, 1)
    """
    from imine.rules import load_rule

    terms = [term for name in _PUBLISHED for term in load_rule(name).terms]
    return {term.name: 1 if term.coefficient > 0 else -1 for term in terms}


def compare_signs(data: RunData, together: OlsResults, level: float) -> tuple[Sign, ...]:
    """Coefficients alone and together beside the published signs; indicators that were not had come last.

    Args:
        data: the runs with all indicators.
        together: the fit of all of them.
        level: confidence level.
    """
    published = published_signs()
    both = dict(zip(together.names, _estimates(together, level), strict=True))
    found = [
        Sign(name, published.get(name, 0), _alone(data, i, level), both[name])
        for i, name in enumerate(data.names)
    ]
    absent = [name for name in published if name not in data.names]
    return (*found, *(Sign(name, published[name], None, None) for name in absent))


def _alone(data: RunData, column: int, level: float) -> Estimated:
    fit = fit_ols(data.X[:, [column]], data.y, [data.names[column]])
    return _estimates(fit, level)[1]


def _estimates(fit: OlsResults, level: float) -> Sequence[Estimated]:
    rows = zip(fit.params.tolist(), fit.conf_int(level).tolist(), strict=True)
    return [Estimated(value, low, high) for value, (low, high) in rows]
