"""What is wrong with a configuration, said so that a technician can put it right without reading code."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Literal

from msgspec import Struct

PROBLEMS_MAX = 10_000  # a broken 200,000-row tag list must not fill memory with sentences
SHOWN_MAX = 80  # characters of a value that a message repeats
NEAREST_COMPARED_MAX = 5_000  # difflib is quadratic; beyond this many names no suggestion is tried

Severity = Literal["error", "warning"]


class Problem(Struct, frozen=True, kw_only=True):
    """One finding.

    Args:
        file: path inside the site's folder.
        message: the finding as a sentence, without file and line.
        remedy: what to do, one sentence.
        key: path of the key, e.g. `device.unit_id`; empty for a finding about a whole file.
        found: what stands there.
        allowed: what may stand there.
        nearest: the right name most like the one found, if there is one.
        line: 1-based, 0 if unknown.
        column: in characters, 1-based, 0 if unknown.
        severity: with an `error` nothing starts.
    """

    file: str
    message: str
    remedy: str
    key: str = ""
    found: str = ""
    allowed: str = ""
    nearest: str = ""
    line: int = 0
    column: int = 0
    severity: Severity = "error"

    @property
    def place(self) -> str:
        """Return `file:line:column`, as far as it is known."""
        column = f":{self.column}" if self.column else ""
        return f"{self.file}:{self.line}{column}" if self.line else self.file


class Findings:
    """Collects problems, up to `PROBLEMS_MAX`; how many more there were is a problem of its own."""

    def __init__(self) -> None:
        self._problems: list[Problem] = []
        self._seen: set[tuple[str, str, str, int]] = set()
        self._left_out = 0

    def add(self, problem: Problem) -> None:
        """Keep a problem, once."""
        identity = (problem.file, problem.key, problem.message, problem.line)
        if identity in self._seen:
            return
        if len(self._problems) == PROBLEMS_MAX:
            self._left_out += 1
            return
        self._seen.add(identity)
        self._problems.append(problem)

    def all(self) -> tuple[Problem, ...]:
        """Return the problems by file and line."""
        listed = sorted(self._problems, key=lambda problem: (problem.file, problem.line))
        if self._left_out:
            listed.append(
                Problem(
                    file=listed[-1].file,
                    message=f"{self._left_out} more problems are not listed",
                    remedy="Put these right and check again.",
                )
            )
        return tuple(listed)


def has_errors(problems: Iterable[Problem]) -> bool:
    """Say whether any problem keeps the site from starting."""
    return any(problem.severity == "error" for problem in problems)


def shown(value: object) -> str:
    """Return a value as a message repeats it: TOML spelling, cut to a readable length."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return "an array"
    text = repr(str(value)) if isinstance(value, str) else str(value)
    return text if len(text) <= SHOWN_MAX else text[: SHOWN_MAX - 3] + "..."


def listed(names: Iterable[str], *, most: int = 12) -> str:
    """Return names as a sentence lists them, the first `most` of them."""
    ordered = list(names)
    rest = len(ordered) - most
    return ", ".join(ordered[:most]) + (f" and {rest} more" if rest > 0 else "") if ordered else "none"


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the known name most like `name`, or an empty text."""
    candidates = list(known)
    if len(candidates) > NEAREST_COMPARED_MAX:
        return ""
    folded = {candidate.lower(): candidate for candidate in candidates}
    near = difflib.get_close_matches(name.lower(), folded, n=1, cutoff=0.6)
    return folded[near[0]] if near else ""


def describe(problem: Problem) -> str:
    """Return a problem as printed: `file:line: message`, then the remedy on a line of its own."""
    mark = "warning: " if problem.severity == "warning" else ""
    return f"{problem.place}: {mark}{problem.message}\n  remedy: {problem.remedy}"
