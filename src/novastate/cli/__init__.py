"""The ``novastate`` command: a small cloud kept in an SQLite file, and the estimator on recordings.

Exit status: 0 done, 1 the operation failed (refused by a state, rolled back, nothing there), 2 wrong use (a word that is unknown,
a number that cannot be). Either way one clear line on standard error, and nothing half-changed; without a word, the help.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, NoReturn

from novastate.errors import InvalidField, NovastateError, UnknownName, near

__all__ = ["main"]


class _Parser(ArgumentParser):
    """argparse, with one line for wrong use, and the near matches of a wrong word."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("allow_abbrev", False)
        super().__init__(**kwargs)

    def error(self, message: str) -> NoReturn:
        hint = f"try '{self.prog} --help'"
        wrong, known = message.rpartition(": ")[2].partition(" ")[0], self._options()
        if "invalid choice: " in message:
            wrong = message.partition("invalid choice: ")[2].partition(" (")[0].strip("'\"")
            known = self._choices(message)
            message = (
                f"no command {wrong!r}" if message.startswith("argument COMMAND") else message.partition(" (choose")[0]
            )
        close = () if message.startswith("the following arguments are required") else near(wrong, known)
        hint = f"did you mean {' or '.join(close)}?" if close else hint
        # What a URI holds besides a host may be secret; a password may have blanks.
        message = re.sub(r"\S*://.*[@?].*", "…", message, flags=re.DOTALL)
        print(f"novastate: {message}; {hint}", file=sys.stderr)
        raise SystemExit(2)

    def _choices(self, message: str) -> list[str]:
        """The words that the argument of *message* may take."""
        named = message.removeprefix("argument ").partition(":")[0]
        return [
            str(word)
            for action in self._actions
            if action.choices and named in {action.metavar, action.dest, *action.option_strings}
            for word in action.choices
        ]

    def _options(self) -> list[str]:
        """Every option of this parser and of its commands."""
        inner = [
            parser for action in self._actions if isinstance(action.choices, dict) for parser in action.choices.values()
        ]
        return [word for parser in (self, *inner) for action in parser._actions for word in action.option_strings]  # noqa: SLF001


#: The module of each command. Only that one is imported: a start is the sum of its imports.
_MODULES: Mapping[str, tuple[str, ...]] = {
    "servers": ("hosts", "servers", "show", "boot"),
    "power": ("start", "stop", "pause", "unpause", "suspend", "resume", "reboot", "delete"),
    "migrate": ("live-migration", "migrations", "abort", "force-complete", "recover"),
    "machine": ("machine",),
    "adopt": ("adopt",),
    "forecast": ("forecast", "evaluate"),
    "replay": ("replay",),
    "doctor": ("doctor",),
    "demo": ("demo",),
}


def _parser(words: Sequence[str]) -> ArgumentParser:
    """The parser of the command that *words* begin with; of all commands, if that is none."""
    from novastate import __version__  # noqa: PLC0415  (the command's start is the sum of its imports)

    parser = _Parser(prog="novastate", description="A small cloud in a file, and forecasts of live migrations.")
    parser.add_argument("--version", action="version", version=f"novastate {__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    wanted = [module for module, commands in _MODULES.items() if words and words[0] in commands]
    for module in wanted or _MODULES:
        import_module(f"novastate.cli.{module}").register(subparsers)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    words = sys.argv[1:] if argv is None else list(argv)
    try:
        if not words:
            _parser(words).print_help(sys.stderr)
            return 2
        args = _parser(words).parse_args(words)
        status: int = args.run(args)
        if sys.stdout is not None:
            sys.stdout.flush()
    except NovastateError as error:
        print(f"novastate: {error}", file=sys.stderr)
        return 2 if isinstance(error, InvalidField | UnknownName) else 1
    except BrokenPipeError:
        # Whoever read our output has seen enough (`| head`): end as SIGPIPE would have ended us, without a word.
        _give_up_output()
        return 128 + signal.SIGPIPE
    except OSError as error:
        print(f"novastate: {error.strerror or error}", file=sys.stderr)
        _give_up_output()
        return 1
    except ImportError as error:
        print(f"novastate: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("novastate: interrupted; 'novastate recover --now' tidies up", file=sys.stderr)
        return 128 + signal.SIGINT
    return status


def _give_up_output() -> None:
    """What is still to be written goes nowhere, so that the interpreter's end does not stumble over it again."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
