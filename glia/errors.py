"""The one shape of every message to a user: what happened, what was given, what was expected, what to try."""

from collections.abc import Iterable
from difflib import get_close_matches

MOST_CHARS = 400  # of each part of a message


class GliaError(ValueError):
    """A fault in what the user gave: one clear line, exit code 2.

    Example: ``GliaError("no column 'suvived' in titanic.csv", expected="a column", hint="did you mean 'survived'?")``
    """

    exit_code = 2

    def __init__(self, what: str, *, got: object = None, expected: object = None, hint: str | None = None):
        self.what, self.got, self.expected, self.hint = what, got, expected, hint
        parts = [_bounded(what)]
        if got is not None:
            parts.append(f"got {_bounded(got)}")
        if expected is not None:
            parts.append(f"expected {_bounded(expected)}")
        line = "; ".join(parts)
        super().__init__(printable(f"{line}. Try: {hint}" if hint else line))


class DiskError(GliaError):
    """The disk refused: full, read-only, over quota. Exit code 74 (EX_IOERR)."""

    exit_code = 74


class DamagedError(GliaError):
    """A file on disk is not what was written there."""


def _bounded(part: object) -> str:
    """What people can read of a name or a cell that may be of any length: its beginning and its end."""
    text = str(part)
    return text if len(text) <= MOST_CHARS else f"{text[: MOST_CHARS - 100]} ... {text[-95:]}"


def printable(text: str) -> str:
    """One line without control signs, whatever names and cells it quotes."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def nearest(name: str, choices: Iterable[str]) -> str | None:
    """The choice that is spelled most like `name`, or None when nothing is close."""
    by_lower = {choice.lower(): choice for choice in choices}
    close = get_close_matches(name.lower(), list(by_lower), n=1, cutoff=0.6)
    return by_lower[close[0]] if close else None


def unknown(kind: str, name: str, choices: Iterable[str]) -> GliaError:
    """The error for a name that is not among `choices`, with the nearest one offered."""
    choices = list(choices)
    close = nearest(name, choices)
    shown = ", ".join(choices[:12]) + (f", ... ({len(choices)} in all)" if len(choices) > 12 else "")
    return GliaError(f"unknown {kind} {name!r}", expected=f"one of {shown}", hint=f"{close!r}" if close else None)
