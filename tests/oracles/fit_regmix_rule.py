"""Fit the rule of RegMix that the tests hold, and write tests/data/regmix_rule.json.

    python tests/oracles/fit_regmix_rule.py FOLDER

FOLDER holds RegMix's own tables (Liu and others, RegMix, arXiv 2407.01492; sail/regmix, MIT): train_mixture_1m.csv and
train_pile_loss_1m.csv, 512 runs of a 1M-parameter model, and test_*, 256 further ones. The rule predicts the
logarithm of the loss on Pile-CC from the shares of the seventeen sources in the training data.

The shares add up to 1 but for their rounding to three decimals (0.996 to 1.003), so seventeen of them and an
intercept would be determined by that rounding alone. One share is left out, that of Pile-CC: the intercept is then the
log loss after training on Pile-CC alone, and a coefficient what the move of all weight from there to a source does
to it. Whichever is left out, the predictions are the same but for the rounding; this one gives the smallest variance
inflation.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import polars as pl

import imine
from imine.files import replace_file
from imine.rules import ChoiceRecord, Rule, Validation

TARGET = "loss_pile_cc"
LEFT_OUT = "pile_cc"
RULE = Path(__file__).resolve().parents[1] / "data" / "regmix_rule.json"
NOTE = (
    "The shares of the seventeen sources add up to 1, so that of Pile-CC is left out: the intercept is the log loss "
    "after training on Pile-CC alone, a coefficient the change when all weight moves from there to a source."
)


def read_runs(folder: Path, part: str) -> pl.DataFrame:
    """The runs of one part (``train`` or ``test``): ``run_id``, a column a source, ``loss_pile_cc``."""
    prefix = "train_the_pile_"
    shares = pl.read_csv(folder / f"{part}_mixture_1m.csv")
    losses = pl.read_csv(folder / f"{part}_pile_loss_1m.csv")
    joined = shares.join(losses, on="index", how="inner", validate="1:1", maintain_order="left")
    return joined.select(
        pl.format(f"{part}-{{}}", "index").alias("run_id"),
        *(
            pl.col(name).alias(name.removeprefix(prefix))
            for name in shares.columns
            if name.startswith(prefix)
        ),
        pl.col("metric/the_pile_pile_cc_val_loss").alias(TARGET),
    )


def sources(runs: pl.DataFrame) -> list[str]:
    """Every source but the one that is left out."""
    return [name for name in runs.columns if name not in ("run_id", TARGET, LEFT_OUT)]


def validate(rule: Rule, runs: pl.DataFrame) -> Validation:
    """The rule on runs that it was not fitted on."""
    from scipy.stats import kendalltau, spearmanr

    predicted = rule.predict(runs, level=0.95)
    y, found = np.log(runs[TARGET].to_numpy()), predicted["predicted_log_loss"].to_numpy()
    inside = (predicted["obs_low"].to_numpy() <= y) & (y <= predicted["obs_high"].to_numpy())
    errors = y - found
    return Validation(
        scheme=f"{runs.height} further runs of RegMix",
        n_runs=runs.height,
        r2=float(1 - np.sum(errors**2) / np.sum((y - y.mean()) ** 2)),
        rmse=float(np.sqrt(np.mean(errors**2))),
        spearman=float(spearmanr(found, y).statistic),
        kendall=float(kendalltau(found, y).statistic),
        calibration_slope=float(np.polyfit(found, y, 1)[0]),
        coverage=float(inside.mean()),
        coverage_level=0.95,
    )


def fitted(folder: Path) -> Rule:
    """The rule, fitted anew."""
    runs = read_runs(folder, "train")
    rule = imine.fit(runs, terms=sources(runs), target=TARGET, name="regmix-pile-cc")
    changes = {
        "title": "RegMix: loss on Pile-CC from the mixture of the training data",
        "provenance": rule.provenance.model_copy(
            update={"source": "RegMix, arXiv 2407.01492 (sail/regmix, MIT)"}
        ),
        "choice": ChoiceRecord(method="named", saw_losses=False),
        "validation": (validate(rule, read_runs(folder, "test")),),
        "notes": (NOTE, *rule.notes),
    }
    return rule.model_copy(update=changes)


def main() -> None:
    """Fit and write the rule."""
    rule = fitted(Path(sys.argv[1]))
    text = rule.to_json() + "\n"
    replace_file(RULE, lambda beside: beside.write_text(text, encoding="utf-8"))
    print(rule.table())
    print(rule.validation[0])


if __name__ == "__main__":
    main()
