"""What ``imine bench --compare`` calls slower."""

from __future__ import annotations

import pytest

from imine.bench import Change, Comparison, Spread, compare, comparison_text
from tests.bench_runs import THERE, against, figure, measured, narrow, run


def only(found: Comparison) -> Change:
    (change,) = found.changes
    return change


def ratios(before: Spread, after: Spread, tolerance: float = 0.1) -> Change:
    """Comparison of a benchmark whose ratio to its baseline changed, and whose seconds say the contrary."""
    old = run(measured("lexical/core", narrow(1.0), against(before)))
    new = run(measured("lexical/core", narrow(9.0 if after.median > before.median else 0.1), against(after)))
    return only(compare(old, new, tolerance))


@pytest.mark.parametrize(
    ("before", "after", "verdict"),
    [
        (narrow(1.2), narrow(1.0), "slower"),
        (narrow(1.0), narrow(1.2), "faster"),
        (narrow(1.0), narrow(1.0), "same"),
        # Apart, but by less than a tenth.
        (narrow(1.0, 0.01), narrow(0.95, 0.01), "same"),
        # A third slower, but the intervals overlap.
        (Spread(1.2, 0.8, 1.5, 9), Spread(0.8, 0.6, 0.9, 9), "same"),
        (Spread(0.8, 0.6, 0.9, 9), Spread(1.2, 0.8, 1.5, 9), "same"),
    ],
)
def test_the_ratio_to_the_baseline_decides(before: Spread, after: Spread, verdict: str) -> None:
    change = ratios(before, after)
    assert change.verdict == verdict
    assert change.quantity == "ratio to wc -w"


def test_loss_is_how_much_slower() -> None:
    assert ratios(narrow(1.2), narrow(1.0)).factor == pytest.approx(1.2)


def test_tolerance_bounds_what_counts() -> None:
    before, after = narrow(1.0, 0.01), narrow(0.8, 0.01)
    assert ratios(before, after, tolerance=0.24).verdict == "slower"
    assert ratios(before, after, tolerance=0.26).verdict == "same"
    with pytest.raises(ValueError, match="must not be negative"):
        compare(run(), run(), -0.1)


def test_ratios_are_compared_between_machines_and_times_are_not() -> None:
    old = run(
        measured("a/x", narrow(1.0), against(narrow(1.0))), measured("a/y", narrow(1.0)), figure(narrow(0.1))
    )
    new = run(
        measured("a/x", narrow(5.0), against(narrow(0.5))),
        measured("a/y", narrow(5.0)),
        figure(narrow(0.9)),
        machine=THERE,
    )
    found = compare(old, new)
    assert [(change.name, change.verdict) for change in found.changes] == [("a/x", "slower")]
    assert dict(found.not_compared) == {
        "a/y": "a time without a common baseline, on another machine",
        "start/import: import": "a time without a baseline, on another machine",
    }
    assert any("Another machine" in note and "Some CPU" in note for note in found.notes)


def test_memory_is_compared_between_machines() -> None:
    found = compare(run(figure(narrow(5.0), "MB")), run(figure(narrow(9.0), "MB"), machine=THERE))
    assert only(found).verdict == "slower"


def test_times_are_compared_on_the_same_machine() -> None:
    old = run(measured("a/y", narrow(1.0)), figure(narrow(0.1)))
    new = run(measured("a/y", narrow(1.5)), figure(narrow(0.05)))
    found = compare(old, new)
    assert {change.name: change.verdict for change in found.changes} == {
        "a/y": "slower",
        "start/import: import": "faster",
    }
    assert [change.name for change in found.slower] == ["a/y"]


def test_another_baseline_is_no_common_scale() -> None:
    old = run(measured("a/x", narrow(1.0), against(narrow(1.0), "wc -w")))
    new = run(measured("a/x", narrow(1.0), against(narrow(0.1), "split")))
    assert only(compare(old, new)).quantity == "wall time, s"
    assert only(compare(old, new)).verdict == "same"


def test_what_cannot_be_compared_says_why() -> None:
    old = run(
        measured("a/x", narrow(1.0)), measured("a/y", Spread(1.0, 1.0, 1.0, 1)), figure(narrow(1.0), "MB")
    )
    new = run(measured("a/x", narrow(9.0), rows=7), measured("a/y", narrow(9.0)), figure(narrow(9.0), "s"))
    found = compare(old, new)
    assert not found.changes
    assert dict(found.not_compared) == {
        "a/x": "other data: 1,000 rows of 5.0 MB before, 7 rows of 5.0 MB now",
        "a/y": "fewer than 3 rounds tell nothing of the noise",
        "start/import: import": "another kind of figure",
    }


def test_missing_and_new_benchmarks_are_named() -> None:
    old, new = run(measured("a/old", narrow(1.0))), run(measured("a/new", narrow(1.0)))
    found = compare(old, new)
    assert (found.missing, found.new, found.slower) == (("a/old",), ("a/new",), ())
    text = comparison_text(found, 0.1)
    assert "missing now: a/old" in text
    assert "new: a/new" in text


def test_what_was_not_chosen_is_not_missing() -> None:
    old, new = run(measured("a/old", narrow(1.0))), run(measured("a/new", narrow(1.0)), selected="new")
    assert compare(old, new).missing == ()


def test_notes_name_versions_and_load() -> None:
    old = run()
    new = run(versions=old.versions | {"numba": "0.70.0", "imine": "0.2.0"}, load=7.5, quick=True)
    text = "\n".join(compare(old, new).notes)
    assert "numba 0.68.1 before, 0.70.0 now" in text
    assert "imine" not in text
    assert "load 7.5" in text
    assert "One run was quick" in text


def test_the_text_puts_losses_first() -> None:
    old = run(*(measured(f"a/{name}", narrow(1.0)) for name in ("same", "worse", "better")))
    new = run(
        measured("a/same", narrow(1.0)), measured("a/worse", narrow(2.0)), measured("a/better", narrow(0.5))
    )
    lines = comparison_text(compare(old, new), 0.1).splitlines()
    assert [line.split()[0] for line in lines[2:5]] == ["a/worse", "a/better", "a/same"]
    assert lines[2].split()[-2:] == ["2.00", "slower"]
    assert lines[-1] == "1 of 3 became slower beyond the noise."


def test_nothing_slower_is_said() -> None:
    same = run(measured("a/x", narrow(1.0)))
    assert comparison_text(compare(same, same), 0.1).endswith("Nothing of 1 became slower beyond the noise.")
