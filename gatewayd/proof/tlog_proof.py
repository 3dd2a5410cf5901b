"""C2SP tlog-proof and tlog-policy files: what a third party needs to check one record without the log."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence

HEADER = "c2sp.org/tlog-proof@v1"


def tlog_proof(index: int, path: Sequence[bytes], checkpoint: str) -> str:
    """Return the text of a proof that record `index` is under a signed checkpoint.

    Args:
        index: of the leaf, from 0.
        path: audit path in the tree of the checkpoint's size, lowest node first.
        checkpoint: the signed note, word for word.
    """
    hashes = "".join(f"{b64encode(node).decode()}\n" for node in path)
    return f"{HEADER}\nindex {index}\n{hashes}\n{checkpoint}"


def tlog_policy(keys: Sequence[tuple[int, str]]) -> str:
    """Return a policy that trusts one log and asks for no witness.

    Args:
        keys: (size from which on it counts, verifier key) of each of the log's keys, rising from 0.
    """
    lines: list[str] = []
    for place, (size, vkey) in enumerate(keys):
        if len(keys) > 1:
            last = f" to {keys[place + 1][0] - 1}" if place + 1 < len(keys) else ""
            lines.append(f"# counts for checkpoints of {size}{last} records" + ("" if last else " and more"))
        lines.append(f"log {vkey}")
    return "\n".join([*lines, "quorum none"]) + "\n"
