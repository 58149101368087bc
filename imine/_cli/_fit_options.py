"""The options of ``imine fit`` that choose terms and judge the fit, and the settings made of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from imine.errors import RegressionError

if TYPE_CHECKING:
    from imine.regression import ChoiceSettings, FitSettings

Choose = Annotated[
    Literal["forward", "backward", "both", "best", "paper"] | None,
    typer.Option("--choose", help="Choose terms by the losses. Default: fit all."),
]
Criterion = Annotated[
    Literal["p", "aic", "aicc", "bic", "adjusted_r2", "cv"] | None,
    typer.Option("--criterion", help="What --choose goes by. Default: aic; p for paper."),
]
ForceIn = Annotated[
    str | None, typer.Option("--force-in", help="Terms that must be in, joined by commas.", metavar="TERMS")
]
ForceOut = Annotated[
    str | None, typer.Option("--force-out", help="Candidates that must stay out.", metavar="TERMS")
]
MaxTerms = Annotated[int | None, typer.Option("--max-terms", min=1, help="Most terms to choose.")]
Bootstrap = Annotated[
    int,
    typer.Option(
        "--bootstrap", min=0, help="Resamples of the runs, the terms chosen anew in each, e.g. 2000."
    ),
]
Validate = Annotated[
    list[str] | None,
    typer.Option(
        "--validate",
        help="Hold runs out: kfold (10 parts, 5 times), kfold:K, kfold:KxTIMES, leave-one-out, source (pool by pool), "
        "column:NAME, or none. Repeatable. Default: kfold with --choose.",
        metavar="SCHEME",
    ),
]
Permutations = Annotated[
    int, typer.Option("--permutations", min=0, help="Shuffles of the losses to test everything by, e.g. 999.")
]
Covariance = Annotated[
    Literal["classical", "HC0", "HC1", "HC2", "HC3"],
    typer.Option("--covariance", help="Robust intervals beside the classical ones of the table."),
]
Cluster = Annotated[
    str | None,
    typer.Option(
        "--cluster", help="Intervals robust against errors that go together in this column.", metavar="COLUMN"
    ),
]
Weights = Annotated[
    str | None,
    typer.Option(
        "--weights", help="Column of weights: inverse variances of the runs' errors.", metavar="COLUMN"
    ),
]


def names_of(text: str | None) -> tuple[str, ...]:
    """Names that were joined by commas."""
    return tuple(name.strip() for name in (text or "").split(",") if name.strip())


def choice_settings(
    choose: str | None,
    criterion: str | None,
    force_in: str | None,
    force_out: str | None,
    max_terms: int | None,
) -> ChoiceSettings | None:
    """How terms are chosen, as the options say.

    Raises:
        RegressionError: an option that needs ``--choose``, or options that do not go together.
    """
    from imine.regression import ChoiceSettings

    given = {
        "--criterion": criterion,
        "--force-in": force_in,
        "--force-out": force_out,
        "--max-terms": max_terms,
    }
    alone = [option for option, value in given.items() if value is not None]
    if choose is None and alone:
        raise RegressionError(
            f"{', '.join(alone)} says how terms are chosen: give --choose too, e.g. --choose forward"
        )
    if choose is None:
        return None
    settings: dict[str, Any] = {
        "method": choose,
        "criterion": criterion,
        "forced_in": names_of(force_in),
        "forced_out": names_of(force_out),
        "max_terms": max_terms,
    }
    try:
        return ChoiceSettings(**settings)
    except ValueError as error:
        raise RegressionError(str(error)) from None


def fit_settings(
    validate: list[str] | None, covariance: str, cluster: str | None, **others: Any
) -> FitSettings:
    """The settings of a fit.

    Args:
        validate, covariance, cluster: options.
        others: further settings by their name.

    Raises:
        RegressionError: settings that are not allowed or do not go together.
    """
    from imine.regression import FitSettings

    if cluster is not None and covariance != "classical":
        raise RegressionError("--cluster is a covariance of its own: give it or --covariance, not both")
    schemes = None if validate is None else tuple(asked for asked in validate if asked != "none")
    kind: Any = covariance if cluster is None else "cluster"
    try:
        return FitSettings(validate=schemes, covariance=kind, groups=cluster, **others)
    except ValueError as error:
        raise RegressionError(str(error)) from None
