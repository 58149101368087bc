"""Whether a rule was fitted on what it is tried on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from imine.errors import SelectionError
from imine.rules import Rule

_PARTS = ("pools", "evaluation")


@dataclass(frozen=True, slots=True)
class Seen:
    """What of a comparison the rule has seen.

    Attributes:
        pools: pools that its runs were drawn from.
        sets: evaluation sets whose loss it was fitted to.
        notes: for the reader.
    """

    pools: tuple[str, ...]
    sets: tuple[str, ...]
    notes: tuple[str, ...]


def fitted_sets(rule: Rule) -> list[str]:
    """Evaluation sets of its study that a rule was fitted to, by their names there.

    The target ``loss`` is that of all sets together, ``loss_<name>`` of one; of any other it cannot be told, and all
    are named.

    Examples:
        >>> from imine.rules import load_rule
        >>> fitted_sets(load_rule("instructmining-v1"))
        []
    """
    names = [key.partition(".")[2] for key in rule.provenance.data if key.startswith("evaluation.")]
    one = rule.target.removeprefix("loss_")
    return [one] if one in names else names


def check_unseen(
    rule: Rule, content: Mapping[str, str], information: Iterable[str], allow_fitted_pool: bool
) -> Seen:
    """Refuse to try a rule on what it was fitted on; compared by the content of the files.

    Args:
        rule: the rule.
        content: hash of every file of the comparison, by ``pools.<name>`` and ``evaluation.<name>``.
        information: sets that are shown without being judged by.
        allow_fitted_pool: mark such a pool instead of refusing it.

    Raises:
        SelectionError: a pool or a set that the rule was fitted on, with what to do.
    """
    made = rule.provenance.data
    if not made:
        note = f"Rule {rule.name} does not record what it was fitted on: whether it has seen this data cannot be told."
        return Seen((), (), (note,))
    found = {part: _same(part, made, content) for part in _PARTS}
    fitted = set(fitted_sets(rule))
    sets = {mine: theirs for mine, theirs in found["evaluation"].items() if theirs in fitted}
    if judged := sorted(set(sets) - set(information)):
        raise SelectionError(
            f"rule {rule.name} was fitted to the loss on {_named(judged, sets)}: what it chooses cannot be judged by "
            "it. Give other evaluation sets, fit the rule to another one (imine fit --target loss_NAME), or mark the "
            "set with information = true, and it is shown beside the others"
        )
    pools = found["pools"]
    if pools and not allow_fitted_pool:
        raise SelectionError(
            f"rule {rule.name} was fitted on runs drawn from {_named(sorted(pools), pools)}: its choice there is no "
            "proof. Fit a rule to a study without this pool, give other pools, or go on with a mark on all results "
            "(allow_fitted_pool = true, --allow-fitted-pool)"
        )
    return Seen(tuple(sorted(pools)), tuple(sorted(sets)), tuple(_notes(rule, content, pools, sets, found)))


def _same(part: str, made: Mapping[str, str], content: Mapping[str, str]) -> dict[str, str]:
    """Names here and in the rule's study of files with the same content; the shorter hash decides."""
    same = {}
    for mine, hash in content.items():
        for theirs, other in made.items():
            short = min(len(hash), len(other))
            if (
                mine.startswith(f"{part}.")
                and theirs.startswith(f"{part}.")
                and hash[:short] == other[:short]
            ):
                same[mine.partition(".")[2]] = theirs.partition(".")[2]
    return same


def _named(names: list[str], theirs: Mapping[str, str]) -> str:
    return ", ".join(n if theirs[n] == n else f"{n} (there called {theirs[n]})" for n in names)


def _notes(
    rule: Rule,
    content: Mapping[str, str],
    pools: Mapping[str, str],
    sets: Mapping[str, str],
    found: Mapping[str, Mapping[str, str]],
) -> list[str]:
    notes = []
    if pools:
        notes.append(
            f"NOT HELD OUT: rule {rule.name} was fitted on runs drawn from {_named(sorted(pools), pools)}."
        )
    if sets:
        notes.append(
            f"Rule {rule.name} was fitted to the loss on {_named(sorted(sets), sets)}: for information only."
        )
    if measured := sorted(set(found["evaluation"]) - set(sets)):
        notes.append(
            f"The study of rule {rule.name} also measured {_named(measured, found['evaluation'])}, whose loss the rule "
            f"was not fitted to (its target is {rule.target})."
        )
    for key in sorted(set(content) & set(rule.provenance.data)):
        part, _, name = key.partition(".")
        if part in _PARTS and name not in found[part]:
            notes.append(
                f"The study of rule {rule.name} had a file {key} with other content; whether rows are the same was "
                "not checked."
            )
    return notes
