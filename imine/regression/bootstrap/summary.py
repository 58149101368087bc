"""A bootstrap of the choice of terms as text."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from imine.regression.bootstrap.result import BootstrapChoice

_MODELS_SHOWN = 5


def summarise(bootstrap: BootstrapChoice) -> str:
    """The text of :meth:`BootstrapChoice.summary`."""
    return "\n".join([*_coefficients(bootstrap), *_models(bootstrap), *_faults(bootstrap)])


def _coefficients(bootstrap: BootstrapChoice) -> list[str]:
    width = max(len(name) for name in (*bootstrap.names, "coefficient"))
    percent = f"{100 * bootstrap.level:g} %"
    heads = (
        f"{'estimate':>12}{'chosen':>9}{'same sign':>11}  {percent + ' percentile':<28}{percent + ' BCa':<28}"
    )
    lines = [
        f"{bootstrap.repeats} repeats of the choice on resampled {bootstrap.kind}, seed {bootstrap.seed}; "
        "a coefficient is 0 where its term is not chosen",
        f"{'coefficient':<{width}}{heads}".rstrip(),
    ]
    shares = [math.nan, *bootstrap.frequency]
    signs = [math.nan, *bootstrap.sign_stability]
    rows = zip(
        bootstrap.names,
        bootstrap.estimates,
        shares,
        signs,
        bootstrap.percentile(),
        bootstrap.bca(),
        strict=True,
    )
    for name, estimate, share, sign, percentile, bca in rows:
        ends = "".join(f"{f'[{low:.5g}, {high:.5g}]':<28}" for low, high in (percentile, bca))
        lines.append(f"{name:<{width}}{estimate:>12.5g}{_share(share):>9}{_share(sign):>11}  {ends}".rstrip())
    return lines


def _share(share: float) -> str:
    return "" if math.isnan(share) else f"{100 * share:.1f} %"


def _models(bootstrap: BootstrapChoice) -> list[str]:
    models, usable = bootstrap.models, bootstrap.repeats - bootstrap.failed
    lines = [f"{len(models)} different models; the commonest:"]
    for model in models[:_MODELS_SHOWN]:
        mark = " (chosen on the data)" if model.terms == bootstrap.choice.terms else ""
        lines.append(f"  {_share(model.count / usable):>7}  {', '.join(model.terms) or 'no terms'}{mark}")
    return lines


def _faults(bootstrap: BootstrapChoice) -> list[str]:
    lines = []
    if bootstrap.dependent.any():
        counts = [
            f"{name} in {count}"
            for name, count in zip(bootstrap.choice.names, bootstrap.dependent, strict=True)
            if count
        ]
        lines.append(f"determined by the candidates before it, or constant: {', '.join(counts)} repeats")
    if bootstrap.exact:
        lines.append(f"fitted without any residual: {bootstrap.exact} repeats")
    if bootstrap.failed:
        lines.append(f"no model could be chosen: {bootstrap.failed} repeats, which count nowhere above")
    return lines
