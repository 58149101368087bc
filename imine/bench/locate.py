"""Where the benchmarks are: in the source tree, else the copy that the wheel brings."""

from __future__ import annotations

from pathlib import Path

import imine
from imine.errors import BenchError

_PACKAGE = Path(imine.__file__).resolve().parent


def source_tree(package: Path = _PACKAGE) -> Path | None:
    """The checkout that a package is imported from; ``None`` for an installed wheel.

    Args:
        package: the folder of imine.

    Examples:
        >>> tree = source_tree()
        >>> tree is None or (tree / "pyproject.toml").is_file()
        True
    """
    root = package.parent
    is_tree = (root / "pyproject.toml").is_file() and (root / "benchmarks" / "conftest.py").is_file()
    return root if is_tree else None


def suite_folder(package: Path = _PACKAGE) -> Path:
    """The folder with the benchmarks.

    In a source tree, and so in an editable install, it is ``benchmarks/``; a wheel holds a copy of these files in
    ``imine/bench/suite``, made when the wheel is built.

    Args:
        package: the folder of imine.

    Raises:
        BenchError: there is neither.

    Examples:
        >>> (suite_folder() / "bench_lexical.py").is_file()
        True
    """
    tree = source_tree(package)
    folder = package / "bench" / "suite" if tree is None else tree / "benchmarks"
    if not (folder / "conftest.py").is_file():
        raise BenchError(
            f"no benchmarks: neither {package.parent / 'benchmarks'} nor {package / 'bench' / 'suite'} holds "
            "any; install imine from a wheel or a checkout, or name a folder with --benchmarks"
        )
    return folder


def default_data(package: Path = _PACKAGE) -> Path | None:
    """The folder of real pools beside the checkout, where there is one.

    Args:
        package: the folder of imine.
    """
    tree = source_tree(package)
    if tree is None:
        return None
    folder = tree.parent / "shared" / "data"
    return folder if any(folder.glob("*.parquet")) else None


def default_results(package: Path = _PACKAGE) -> Path:
    """Where results are stored: ``benchmarks/results`` of a checkout, else ``imine-bench`` in the working folder.

    Args:
        package: the folder of imine.

    Examples:
        >>> default_results().name in ("results", "imine-bench")
        True
    """
    tree = source_tree(package)
    return Path("imine-bench") if tree is None else tree / "benchmarks" / "results"
