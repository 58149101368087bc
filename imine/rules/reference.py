"""The neighbour reference embeddings that travel beside a rule."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from imine.errors import RuleError
from imine.files import replace_file, sha256_of
from imine.indicators.neighbors import ReferenceSet
from imine.rules.rule import ReferenceFile, Rule


def attach_reference(rule: Rule, source: str | Path, rule_path: str | Path) -> Rule:
    """Copy a reference beside the place of a rule's file and record it in the rule.

    Args:
        rule: the rule, not yet written.
        source: ``.npz`` file whose first two-dimensional array holds one embedding a row.
        rule_path: where the rule will be written; the copy is called ``<stem>.reference.npz``.

    Returns:
        The rule with ``reference`` set.

    Raises:
        RuleError: ``source`` is no such file, or not the set that the rule's neighbours were counted in.

    Examples:
        >>> import tempfile
        >>> from imine.rules import load_rule
        >>> rule = load_rule("instructmining-v1")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.savez(f"{folder}/reference.npz", embeddings=np.eye(3))
        ...     attached = attach_reference(rule, f"{folder}/reference.npz", f"{folder}/mine.json")
        >>> attached.reference.file, attached.reference.n
        ('mine.reference.npz', 3)
    """
    source, rule_path = Path(source), Path(rule_path)
    rows = check_reference(rule.fingerprints, source)
    target = rule_path.with_name(f"{rule_path.stem}.reference.npz")
    try:
        reference = ReferenceFile(file=target.name, sha256=sha256_of(source), n=rows)
    except ValueError:
        raise RuleError(
            f"{target.name}: the name of a rule's file may hold letters, digits, '.', '_' and '-'"
        ) from None
    if target.resolve() != source.resolve():
        replace_file(target, lambda beside: shutil.copyfile(source, beside))
    attached = rule.model_copy(update={"reference": reference})
    attached._reference_source = target.resolve()
    return attached


def remember_reference(rule: Rule, source: Path | None) -> Rule:
    """Let a rule know the reference set beside its runs, which :meth:`Rule.write` copies beside the rule.

    Args:
        rule: the rule, just fitted.
        source: where the runs' reference set should lie; ``None`` when that is not known.

    Returns:
        The rule; the same where no term needs a reference set, one with a note where the set is missing.

    Raises:
        RuleError: ``source`` is not the set that the rule's neighbours were counted in.

    Examples:
        >>> from imine.rules import load_rule
        >>> rule = load_rule("instructmining-v1")
        >>> remember_reference(rule, None) is rule
        True
        >>> counted = {"knn_6": {"reference": {"kind": "set", "name": "made up", "sha256": "00"}}}
        >>> remember_reference(rule.model_copy(update={"fingerprints": counted}), None).notes[-1][:53]
        'The reference set of knn_6 is not at hand: the runs w'
    """
    expected = _expected(rule.fingerprints)
    if not expected:
        return rule
    if source is None or not source.is_file():
        why = (
            "the runs were given without their file"
            if source is None
            else f"no {source.name} lies beside the runs"
        )
        note = (
            f"The reference set of {', '.join(expected)} is not at hand: {why}. Without it no data can be "
            "scored as the rule expects."
        )
        return rule.model_copy(update={"notes": (*rule.notes, note)})
    check_reference(rule.fingerprints, source)
    remembering = rule.model_copy()
    remembering._reference_source = source.resolve()
    return remembering


def check_reference(fingerprints: Mapping[str, Mapping[str, Any]], source: Path) -> int:
    """Number of embeddings in a file of a reference set, once it is known to be the one of the fingerprints.

    Args:
        fingerprints: by indicator, as a rule holds them; without neighbours any file will do.
        source: the ``.npz`` file.

    Raises:
        RuleError: no such file, or another set.
    """
    rows, expected = _rows(source), _expected(fingerprints)
    if expected:
        found = ReferenceSet.load(source).sha256
        wrong = [f"{name} expects {sha256}" for name, sha256 in expected.items() if sha256 != found]
        if wrong:
            raise RuleError(
                f"{source}: not the reference set that the neighbours were counted in: the hash of its content is "
                f"{found}, {', '.join(wrong)}. Put the file there that the runs were made with."
            )
    return rows


def _expected(fingerprints: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Hash of the reference set, by each indicator that has one."""
    references = {name: fingerprint.get("reference") for name, fingerprint in fingerprints.items()}
    return {
        name: reference.get("sha256")
        for name, reference in references.items()
        if isinstance(reference, Mapping) and reference.get("kind") == "set"
    }


def _rows(source: Path) -> int:
    try:
        with np.load(source, allow_pickle=False) as arrays:
            shapes = [arrays[name].shape for name in arrays.files]
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise RuleError(f"{source}: not a file of reference embeddings: {error}") from None
    rows = [shape[0] for shape in shapes if len(shape) == 2]
    if not rows:
        raise RuleError(f"{source}: holds no two-dimensional array of embeddings; it has shapes {shapes}")
    return int(rows[0])
