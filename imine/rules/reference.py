"""The neighbour reference embeddings that travel beside a rule."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import numpy as np

from imine.errors import RuleError
from imine.rules.files import replace_file, sha256_of
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
        RuleError: ``source`` is no such file.

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
    rows = _rows(source)
    target = rule_path.with_name(f"{rule_path.stem}.reference.npz")
    if target.resolve() != source.resolve():
        replace_file(target, lambda beside: shutil.copyfile(source, beside))
    try:
        reference = ReferenceFile(file=target.name, sha256=sha256_of(target), n=rows)
    except ValueError:
        raise RuleError(
            f"{target.name}: the name of a rule's file may hold letters, digits, '.', '_' and '-'"
        ) from None
    return rule.model_copy(update={"reference": reference})


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
