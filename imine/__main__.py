"""Entry point of the command ``imine``."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence

from imine.errors import ImineError

# The exit code that typer makes of Ctrl-C.
_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command; errors that a user can mend end it with their message and exit code.

    Args:
        argv: arguments without the program's name; by default those of the process.
    """
    from imine._cli import app

    warnings.showwarning = _show_warning
    try:
        app(args=None if argv is None else list(argv), prog_name="imine")
    except ImineError as error:
        print(f"imine: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except OSError as error:
        print(f"imine: {error}", file=sys.stderr)
        sys.exit(2)
    except SystemExit as ended:
        if ended.code == _INTERRUPTED:
            print(
                "imine: interrupted; finished scores and runs are kept, the same command goes on",
                file=sys.stderr,
            )
        raise


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    print(f"imine: warning: {message}", file=sys.stderr)


if __name__ == "__main__":
    main()
