"""What tells the function of a plug-in from another: its source, and what its source does not show."""

from __future__ import annotations

import ast
import functools
import hashlib
import inspect
import json
import textwrap
from collections.abc import Callable
from typing import Any

Function = Callable[..., Any]


def bare_function(function: Function) -> Function:
    """The function itself, for one whose first arguments ``functools.partial`` has filled in."""
    # A partial of a partial is one of the function already.
    return function.func if isinstance(function, functools.partial) else function


def source_sha256(function: Function) -> str | None:
    """Hash of a function's source, its name, comments, layout, decorators and docstring apart.

    Args:
        function: a function, or ``functools.partial`` of one, whose arguments do not count here.

    Returns:
        16 hexadecimal digits; ``None`` where the source cannot be read (a console, an object that is called).
    """
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(bare_function(function)))).body[0]
    except (OSError, TypeError, SyntaxError, IndexError):
        return None
    if isinstance(tree, (ast.FunctionDef, ast.AsyncFunctionDef)):
        tree.name, tree.decorator_list = "indicator", []
        if ast.get_docstring(tree) is not None:
            tree.body = tree.body[1:] or [ast.Pass()]
    return hashlib.sha256(ast.unparse(tree).encode()).hexdigest()[:16]


def partial_arguments(function: Function) -> dict[str, Any] | None:
    """What ``functools.partial`` fills in, as JSON has it.

    Returns:
        ``args`` and ``keywords``, empty for a function that is no partial one; ``None`` where JSON has no such values.

    Examples:
        >>> partial_arguments(functools.partial(round, 2.5, ndigits=1)), partial_arguments(round)
        ({'args': [2.5], 'keywords': {'ndigits': 1}}, {})
    """
    if not isinstance(function, functools.partial):
        return {}
    try:
        text = json.dumps({"args": function.args, "keywords": function.keywords}, allow_nan=False)
    except (TypeError, ValueError):
        return None
    made: dict[str, Any] = json.loads(text)
    return made


def unseen(function: Function) -> str | None:
    """Why source and arguments do not tell a function from another, for people; ``None`` where they do."""
    bare = bare_function(function)
    if source_sha256(function) is None:
        return "its source cannot be read"
    if inspect.ismethod(bare):
        return "it is a method, whose object is not in its source"
    if getattr(bare, "__closure__", None):
        names = ", ".join(bare.__code__.co_freevars)
        return f"it takes {names} from the function around it, whose values are not in its source"
    if partial_arguments(function) is None:
        return "functools.partial gives it values that JSON cannot hold"
    return None
