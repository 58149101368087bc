"""The 200 generated regression problems on which the paths of R's step() are stored.

Run as a script to write each problem as a CSV file for stepwise_oracle.R::

    python tests/oracles/stepwise_problems.py FOLDER
    Rscript tests/oracles/stepwise_oracle.R FOLDER | gzip -9n > tests/oracles/stepwise_paths.txt.gz

The numbers come from random.Random(seed).random(), which Python promises to keep the same, and are rounded to
three decimals, so that the files and the tests hold the same values.
"""

from __future__ import annotations

import gzip
import hashlib
import math
import random
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

COUNT = 200
# With a dependent column, two candidates of this problem tie exactly on the forward path, and R takes one or the
# other as the order of the rows goes. It stands apart, in both orders, as ``tied`` and ``tied_reversed``.
TIED = 97
REGMIX = Path(__file__).with_name("stepwise_regmix.csv.gz")


@dataclass(frozen=True)
class Given:
    """One problem: its name, candidates, response, and names of the candidates."""

    name: str
    X: npt.NDArray[np.float64]
    y: npt.NDArray[np.float64]
    names: tuple[str, ...]


def problems() -> list[Given]:
    """The generated problems: 12 to 200 runs, 2 to 15 candidates, of several kinds."""
    return [_generate(number, number != TIED) for number in range(COUNT)]


def tied() -> list[Given]:
    """The problem with an exact tie, and the same with its rows in reverse."""
    given = _generate(TIED, True)
    turned = Given("tied_reversed", given.X[::-1].copy(), given.y[::-1].copy(), given.names)
    return [Given("tied", given.X, given.y, given.names), turned]


def regmix() -> Given:
    """RegMix (arXiv 2407.01492, MIT licence): 17 mixture weights of 512 runs and the log of the Pile-CC loss."""
    with gzip.open(REGMIX, "rt", encoding="utf-8") as file:
        names = file.readline().strip().split(",")
        rows = np.loadtxt(file, delimiter=",")
    return Given("regmix", rows[:, :-1], np.log(rows[:, -1]), tuple(names[:-1]))


def digest(given: list[Given]) -> str:
    """SHA-256 of the CSV texts of problems: the stored paths belong to these numbers alone."""
    return hashlib.sha256("".join(as_csv(each) for each in given).encode()).hexdigest()


def as_csv(given: Given) -> str:
    """A problem as CSV, the response first; repr keeps every bit."""
    lines = [",".join(("y", *given.names))]
    rows = zip(given.y.tolist(), given.X.tolist(), strict=True)
    lines += [",".join(repr(value) for value in (y, *x)) for y, x in rows]
    return "\n".join(lines) + "\n"


def _generate(number: int, dependent: bool) -> Given:
    draw = random.Random(20_230_706 + number)
    n, k = 12 + int(189 * draw.random() ** 2), 2 + int(14 * draw.random())
    k = min(k, n - 4)
    columns = _columns(draw, n, k, number, dependent)
    slopes = [4.0 * (draw.random() - 0.5) if draw.random() < 0.4 else 0.0 for _ in range(k)]
    noise = (0.3, 1.0, 3.0)[number % 3]
    y = [
        round(sum(b * column[i] / _size(column) for b, column in zip(slopes, columns, strict=True)), 3)
        + round(noise * _normal(draw), 3)
        for i in range(n)
    ]
    X = np.array(columns, dtype=np.float64).T
    names = tuple(f"x{j}" for j in range(1, k + 1))
    return Given(f"p{number:03d}", X, np.array([round(v, 3) for v in y]), names)


def _columns(draw: random.Random, n: int, k: int, number: int, dependent: bool) -> list[list[float]]:
    """Columns that share a factor, more or less; every tenth problem has a column made of others."""
    share = (0.0, 0.5, 0.9, 0.99)[number % 4]
    factor = [_normal(draw) for _ in range(n)]
    columns = []
    for j in range(k):
        own = [share * factor[i] + math.sqrt(1 - share**2) * _normal(draw) for i in range(n)]
        # Units of a reward, of a length in tokens, and of a share.
        unit, offset = ((1.0, 0.0), (100.0, 400.0), (1.0, 5.0))[(number + j) % 3]
        columns.append([round(unit * value + offset, 3) for value in own])
    if dependent and number % 10 == 7 and k > 3:
        columns[k - 2] = [round(a + 2 * b, 3) for a, b in zip(columns[0], columns[1], strict=True)]
    if dependent and number % 20 == 9 and k > 2:
        columns[k - 1] = list(columns[0])
    return columns


def _size(column: list[float]) -> float:
    return 100.0 if max(abs(value) for value in column) > 50 else 1.0


def _normal(draw: random.Random) -> float:
    """Nearly normal, without functions whose last digit differs between machines."""
    return sum(draw.random() for _ in range(12)) - 6.0


def main(folder: str) -> None:
    """Write all problems as CSV files."""
    given = [*problems(), *tied(), regmix()]
    Path(folder).mkdir(parents=True, exist_ok=True)
    for each in given:
        (Path(folder) / f"{each.name}.csv").write_text(as_csv(each), encoding="utf-8")
    (Path(folder) / "digest.txt").write_text(digest(given) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
