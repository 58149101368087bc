"""Register the polars expressions when polars is imported, before ``imine`` or after it.

Importing polars takes a fifth of a second, which ``imine --help`` and a program that meets no frame need not spend.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType


class _PolarsWatch(MetaPathFinder):
    """Finds nothing itself: it lets the others find polars, and adds a step to the end of its loading."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != "polars":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            _then_register(spec)
        return spec


def _then_register(spec: ModuleSpec) -> None:
    loader = spec.loader
    assert loader is not None
    load = loader.exec_module

    def load_and_register(module: ModuleType) -> None:
        # On the instance, so that the module keeps its own loader, which finds its data files.
        del loader.exec_module
        load(module)
        _register()

    loader.exec_module = load_and_register  # type: ignore[method-assign]


def _register() -> None:
    import imine.expressions  # noqa: F401  registers pl.Expr.imine


def register_with_polars() -> None:
    """Register ``pl.Expr.imine`` now where polars is loaded, and as soon as it is where it is not."""
    if "polars" in sys.modules:
        _register()
    elif not any(isinstance(finder, _PolarsWatch) for finder in sys.meta_path):
        sys.meta_path.insert(0, _PolarsWatch())
