"""Browsed variables as a tag list. Pure."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence

from gatewayd.device.opcua.browse import Node

NAME_MAX = 64
_HEADER = ("name", "node_id", "type", "description", "scan_class")


def tag_list(nodes: Sequence[Node], scan_class: str = "") -> tuple[str, int, int]:
    """Return a tag list (CSV) of the variables that can be tags, how many those are, and how many were left out.

    Args:
        nodes: as browsed.
        scan_class: of every tag; empty for the device's `default`.

    Every tag is read-only: who may write what is decided in the tag list and the policies, not by what a server allows.
    Left out are arrays, texts and structures, and what the session's user may not read.
    """
    variables = [node for node in nodes if node.is_variable]
    usable = [node for node in variables if node.tag_type and "r" in node.access]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns = len(_HEADER) if scan_class else len(_HEADER) - 1
    writer.writerow(_HEADER[:columns])
    for node, name in zip(usable, _names(usable), strict=True):
        path = " / ".join(_line(part) for part in node.path)
        writer.writerow((name, node.node_id, node.tag_type, path, scan_class)[:columns])
    return text.getvalue(), len(usable), len(variables) - len(usable)


def _names(nodes: Sequence[Node]) -> Iterator[str]:
    """Return a name for each: its own; with its parent's if that is taken; else numbered."""
    taken: set[str] = set()
    for node in nodes:
        name = next(name for name in _choices(node) if name not in taken)
        taken.add(name)
        yield name


def _choices(node: Node) -> Iterator[str]:
    yield _clean(node.path[-1:])
    yield _clean(node.path[-2:])
    yield _clean(node.path)
    number = 2
    while True:
        suffix = f"_{number}"
        yield _clean(node.path[-2:])[: NAME_MAX - len(suffix)] + suffix
        number += 1


def _clean(parts: Sequence[str]) -> str:
    name = re.sub(r"[^A-Za-z0-9_-]+", "_", "_".join(parts)).strip("_")
    name = name[-NAME_MAX:]  # its end tells more than its beginning
    return name if name[:1].isalpha() else f"n_{name}"[:NAME_MAX]


def _line(text: str) -> str:
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())
