"""From pytest-benchmark's JSON to figures with intervals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from imine.bench.names import display_name
from imine.bench.results import Baseline, Figure, Measured
from imine.bench.spread import Spread, Target, quotient, spread
from imine.errors import BenchError


def read_measured(content: Mapping[str, Any]) -> tuple[tuple[Measured, ...], tuple[Figure, ...]]:
    """Benchmarks and figures of a run.

    A benchmark's ``extra_info`` may hold ``rows``, ``bytes``, ``target``, ``peer``, ``cpu_seconds`` (one number a
    round), ``figures``, and a baseline: either its name with ``baseline_seconds`` (one number a round, measured in
    turn), or the function name of another benchmark of the same file.

    Args:
        content: what pytest-benchmark writes with ``--benchmark-json``.

    Raises:
        BenchError: a baseline is named that is not there.

    Examples:
        >>> one = {"fullname": "bench_a.py::bench_sum", "stats": {"data": [0.2, 0.1]}, "extra_info": {"rows": 5}}
        >>> read_measured({"benchmarks": [one]})[0][0].name
        'a/sum'
    """
    seconds = {
        name: spread(one["stats"]["data"]) for name, one in _named(content) if _is_timed(one["extra_info"])
    }
    measured: list[Measured] = []
    figures: list[Figure] = []
    for name, one in _named(content):
        if name in seconds:
            measured.append(_measured(name, one["stats"]["data"], one["extra_info"], seconds))
        figures += _figures(name, one["extra_info"])
    return tuple(measured), tuple(figures)


def _is_timed(extra: Mapping[str, Any]) -> bool:
    """Whether the time is a result too: not where a benchmark only finds figures."""
    return "baseline" in extra or not extra.get("figures")


def _named(content: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for one in content["benchmarks"]:
        yield display_name(one["fullname"]), one


def _measured(
    name: str, data: Sequence[float], extra: Mapping[str, Any], seconds: Mapping[str, Spread]
) -> Measured:
    return Measured(
        name,
        seconds[name],
        spread(extra["cpu_seconds"]) if extra.get("cpu_seconds") else None,
        extra.get("rows"),
        extra.get("bytes"),
        _baseline(name, data, extra, seconds),
        _target(extra),
        extra.get("peer"),
    )


def _target(holder: Mapping[str, Any]) -> Target | None:
    return Target.parse(holder["target"]) if holder.get("target") else None


def _baseline(
    name: str, data: Sequence[float], extra: Mapping[str, Any], seconds: Mapping[str, Spread]
) -> Baseline | None:
    other = extra.get("baseline")
    if other is None:
        return None
    if "baseline_seconds" not in extra:
        beside = f"{name.partition('/')[0]}/{other.removeprefix('bench_')}"
        if beside not in seconds:
            raise BenchError(f"{name}: its baseline {other} did not run; choose both with -k, or neither")
        return Baseline(other, quotient(seconds[beside], seconds[name]), None, seconds[beside], False)
    theirs = extra["baseline_seconds"]
    return Baseline(
        other,
        spread(_ratios(theirs, data)),
        _cpu_ratio(extra.get("baseline_cpu_seconds"), extra.get("cpu_seconds")),
        spread(theirs),
        True,
    )


def _cpu_ratio(theirs: Sequence[float] | None, mine: Sequence[float] | None) -> Spread | None:
    # Work shorter than a tick of the system's clock has no CPU time.
    if not theirs or not mine or min(mine) <= 0 or min(theirs) <= 0:
        return None
    return spread(_ratios(theirs, mine))


def _ratios(theirs: Sequence[float], mine: Sequence[float]) -> list[float]:
    return [other / own for other, own in zip(theirs, mine, strict=True)]


def _figures(name: str, extra: Mapping[str, Any]) -> Iterator[Figure]:
    for one in extra.get("figures") or ():
        yield Figure(
            name,
            one["what"],
            one["unit"],
            spread(one["values"]),
            _target(one),
            extra.get("rows"),
            extra.get("bytes"),
        )
