"""Paths and final models of R's step(), stored in tests/oracles with the scripts that made them."""

import gzip
import importlib.util
import math
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from imine.regression.choosing import ChoiceSettings, Trace, choose_terms
from imine.regression.choosing.choice import search
from imine.regression.choosing.problem import make_problem

ORACLES = Path(__file__).resolve().parent / "oracles"
WAYS: dict[str, dict[str, Any]] = {
    "forward": {"method": "forward"},
    "backward": {"method": "backward"},
    "both_null": {"method": "both", "start": "null"},
    "both_full": {"method": "both", "start": "full"},
}


def _load(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, ORACLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


stored_problems = _load("stepwise_problems")


class Stored(NamedTuple):
    problem: str
    criterion: str
    terms: frozenset[str]
    changes: tuple[str, ...]
    aic: tuple[float, ...]


@pytest.fixture(scope="module")
def given() -> dict[str, Any]:
    made = [*stored_problems.problems(), *stored_problems.tied(), stored_problems.regmix()]
    return {each.name: each for each in made}


@pytest.fixture(scope="module")
def lines() -> list[str]:
    with gzip.open(ORACLES / "stepwise_paths.txt.gz", "rt", encoding="utf-8") as file:
        return file.read().splitlines()


def _paths(lines: list[str], way: str) -> list[Stored]:
    out = []
    for line in lines:
        if line.startswith("#"):
            continue
        problem, criterion, direction, terms, changes, aic = line.split(";")
        if direction == way:
            numbers = tuple(float(value) for value in aic.split(","))
            names, moves = (tuple(part for part in text.split(",") if part) for text in (terms, changes))
            out.append(Stored(problem, criterion, frozenset(names), moves, numbers))
    return out


def test_the_stored_paths_are_of_these_problems(given: dict[str, Any], lines: list[str]) -> None:
    assert len(given) == 200 + 2 + 1
    assert lines[1] == f"# digest {stored_problems.digest(list(given.values()))}"


@pytest.mark.parametrize("way", WAYS)
def test_path_final_model_and_aic_equal_those_of_step(
    given: dict[str, Any], lines: list[str], way: str
) -> None:
    paths = [path for path in _paths(lines, way) if not path.problem.startswith("tied")]
    assert len(paths) == 2 * 201
    differ = []
    for path in paths:
        problem = given[path.problem]
        settings = ChoiceSettings(criterion=path.criterion, **WAYS[way])  # type: ignore[arg-type]
        columns, trace = search(make_problem(problem.X, problem.y, problem.names), settings)
        terms = {problem.names[column] for column in columns}
        if _changes(trace) != path.changes or terms != path.terms:
            differ.append(f"{path.problem} {path.criterion}: {trace.path} instead of {path.changes}")
            continue
        n = len(problem.y)
        offset = n * (math.log(2 * math.pi) + 1) + (2 if path.criterion == "aic" else math.log(n))
        ours = [row.value for step in trace.steps for row in step.candidates if row.action == "stay"]
        # The terms that are taken out at the start for dependence leave the criterion as it was.
        theirs = np.array(path.aic[len(path.aic) - len(ours) :]) + offset
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-8)
    assert not differ, "\n".join(differ)


def _changes(trace: Trace) -> tuple[str, ...]:
    return tuple(change.replace(" ", "") for change in trace.path)


def test_an_exact_tie_goes_to_the_first_candidate_in_any_order_of_the_rows(
    given: dict[str, Any], lines: list[str]
) -> None:
    """x3 = x1 + 2 x2: with x3 in the model, x1 and x2 explain the same; R's choice turns with the rows."""
    stored = {(path.problem, path.criterion): path for path in _paths(lines, "forward")}
    assert stored["tied", "aic"].changes == ("+x4", "+x3", "+x2")
    assert stored["tied_reversed", "aic"].changes == ("+x4", "+x3", "+x1")
    for name in ("tied", "tied_reversed"):
        choice = choose_terms(given[name].X, given[name].y, given[name].names)
        assert _changes(choice.trace) == ("+x4", "+x3", "+x1")
        first, second = (row for row in choice.trace.steps[2].candidates if row.term in ("x1", "x2"))
        assert first.value == pytest.approx(second.value, rel=1e-12)
        skipped = {row.term: row.skipped for row in choice.trace.steps[3].candidates if row.skipped}
        assert skipped == {"x2": "x2 is determined by x1, x3"}


def test_the_criterion_in_the_trace_is_that_of_the_fit(given: dict[str, Any]) -> None:
    for number in range(0, 200, 10):
        problem = given[f"p{number:03d}"]
        for criterion in ("aic", "bic"):
            settings = ChoiceSettings("both", criterion)  # type: ignore[arg-type]
            choice = choose_terms(problem.X, problem.y, problem.names, settings)
            last = choice.trace.steps[-1].candidates[0].value
            assert last == pytest.approx(getattr(choice.results, criterion), rel=1e-10)
