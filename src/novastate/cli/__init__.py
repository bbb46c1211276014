"""The ``novastate`` command: a small cloud kept in an SQLite file, and the estimator on recordings.

Exit status: 0 done, 1 the operation failed (refused by a state, rolled back, nothing there), 2 wrong use (a word that is unknown,
a number that cannot be). Either way one clear line on standard error, and nothing half-changed.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import NoReturn

from novastate.errors import InvalidField, NovastateError, UnknownName, near

__all__ = ["main"]


class _Parser(ArgumentParser):
    """argparse, with one line for wrong use and the near matches of a wrong command."""

    def error(self, message: str) -> NoReturn:
        hint = f"try '{self.prog} --help'"
        if "invalid choice" in message and self.words:
            wrong = message.partition("invalid choice: ")[2].partition(" (")[0].strip("'\"")
            close = near(wrong, self.words)
            message = f"no command {wrong!r}"
            hint = f"did you mean {' or '.join(close)}?" if close else hint
        print(f"novastate: {message}; {hint}", file=sys.stderr)
        raise SystemExit(2)

    @property
    def words(self) -> list[str]:
        return [
            word for action in self._actions if action.choices and not action.option_strings for word in action.choices
        ]


#: The module of each command. Only that one is imported: a start is the sum of its imports.
_MODULES: Mapping[str, tuple[str, ...]] = {
    "servers": ("hosts", "servers", "show", "boot"),
    "migrate": ("live-migration", "migrations", "abort", "force-complete", "recover"),
    "machine": ("machine",),
    "forecast": ("forecast", "evaluate"),
    "doctor": ("doctor",),
    "demo": ("demo",),
}


def _parser(words: Sequence[str]) -> ArgumentParser:
    """The parser of the command that *words* begin with; of all commands, if that is none."""
    from novastate import __version__  # noqa: PLC0415  (the command's start is the sum of its imports)

    parser = _Parser(
        prog="novastate", description="A small cloud in a file, and forecasts of live migrations.", allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"novastate {__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    wanted = [module for module, commands in _MODULES.items() if words and words[0] in commands]
    for module in wanted or _MODULES:
        import_module(f"novastate.cli.{module}").register(subparsers)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    words = sys.argv[1:] if argv is None else list(argv)
    args = _parser(words).parse_args(words)
    try:
        status: int = args.run(args)
        sys.stdout.flush()
    except NovastateError as error:
        print(f"novastate: {error}", file=sys.stderr)
        return 2 if isinstance(error, InvalidField | UnknownName) else 1
    except BrokenPipeError:
        # Whoever read our output has seen enough (`| head`).
        sys.stderr.close()
        return 0
    except KeyboardInterrupt:
        print("novastate: interrupted; 'novastate recover' tidies up", file=sys.stderr)
        return 130
    return status
