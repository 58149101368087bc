"""Writes the problems that the regression is compared on: ols_problems/*.csv (python tests/oracles/ols_problems.py).

Columns: y, the terms x1 to xk, and where the problem has them a weight w, a group g and a label of repeats s.
Values are rounded to a few digits, so that every program reads the same float64.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent / "ols_problems"


def indicators(rng: np.random.Generator, n: int, k: int) -> np.ndarray:
    """Correlated columns with means away from zero and unlike spreads, as subset means of indicators are."""
    common = rng.normal(size=(n, 2))
    mixed = common @ rng.normal(size=(2, k)) + rng.normal(size=(n, k))
    return np.round(mixed * 10.0 ** rng.integers(-1, 2, size=k) + rng.integers(1, 60, size=k), 4)


def write(name: str, y: np.ndarray, X: np.ndarray, **more: np.ndarray) -> None:
    header = ["y", *(f"x{i + 1}" for i in range(X.shape[1])), *more]
    columns = [np.round(y, 4), *X.T, *more.values()]
    lines = [",".join(header), *(",".join(f"{v:.10g}" for v in row) for row in zip(*columns, strict=True))]
    (HERE / f"{name}.csv").write_text("\n".join(lines) + "\n")


def main() -> None:
    HERE.mkdir(exist_ok=True)
    rng = np.random.default_rng(20230706)
    X = indicators(rng, 70, 9)
    slopes = np.array([1, 0, 0, -0.5, 0, 0.02, 0, 0, 0.3]) / X.std(axis=0)
    write("indicators", 3 + X @ slopes + rng.normal(size=70), X)
    X = indicators(rng, 15, 2)
    write("small", 1 + X @ [0.2, -0.1] + rng.normal(size=15), X)
    X = indicators(rng, 40, 3)
    y = X @ [0.1, 0.4, -0.2] + rng.normal(size=40) * np.exp(0.6 * (X[:, 0] - X[:, 0].mean()) / X[:, 0].std())
    write("spread", y, X, g=rng.integers(0, 6, size=40))
    X = indicators(rng, 40, 3)
    w = np.round(rng.gamma(2.0, 1.0, size=40) + 0.05, 3)
    write(
        "weighted",
        2 + X @ [0.5, 0.0, 0.1] + rng.normal(size=40) / np.sqrt(w),
        X,
        w=w,
        g=rng.integers(0, 7, size=40),
    )
    X = indicators(rng, 25, 2)
    write("origin", X @ [0.3, 0.7] + rng.normal(size=25), X)
    write(
        "origin_weighted",
        X @ [0.3, 0.7] + rng.normal(size=25),
        X,
        w=np.round(rng.gamma(3.0, 1.0, size=25) + 0.1, 3),
    )
    X = np.repeat(indicators(rng, 9, 2), 3, axis=0)
    bend = (X[:, 0] - X[:, 0].mean()) ** 2 / X[:, 0].var()
    write("repeated", X @ [0.2, 0.1] + bend + rng.normal(size=27), X, s=np.repeat(np.arange(9), 3))


if __name__ == "__main__":
    main()
