"""Reference values of tests/test_regression_after_tails.py, in 60 digits with mpmath 1.3.

python tests/oracles/truncated_tails.py > tests/oracles/truncated_tails.json
"""

import json

import mpmath as mp

mp.mp.dps = 60


def survival(t, df):
    t = mp.mpf(t)
    if df is None:
        return mp.ncdf(-t) if t < 20 else mp.erfc(t / mp.sqrt(2)) / 2
    half = mp.betainc(mp.mpf(df) / 2, mp.mpf(1) / 2, 0, df / (df + t * t), regularized=True) / 2
    return half if t >= 0 else 1 - half


def mass(low, high, df):
    low, high = mp.mpf(low), mp.mpf(high)
    if low + high < 0:
        low, high = -high, -low
    return survival(low, df) - survival(high, df)


POINTS = [-5.0, -0.1, 0.0, 0.3, 2.0, 10.9, 30.0, 100.0, 1e4, 1e20]
INTERVALS = [
    (-1.96, 1.96), (50.0, 60.0), (9.0, 9.0 + 2.0**-40), (-40.0, -39.5), (-(2.0**-30), 2.0**-30),
    (-0.25, 0.5), (30.0, 30.5), (-2.0, 50.0), (8.0, 8.875), (-60.0, 1.0), (1e6, 1e6 + 1.0),
]  # fmt: skip
# Intervals without an upper end are tails.
tails = [(t, None) for t in POINTS]
rows = []
for df in (None, 1.0, 7.5, 119.0):
    for low, high in tails + INTERVALS:
        if df is None and max(low, high or low) > 100:
            continue
        value = survival(low, df) if high is None else mass(low, high, df)
        rows.append({"df": df, "low": low, "high": high, "log": mp.nstr(mp.log(value), 20)})
print(json.dumps(rows, indent=0))
