"""Verify an audit export offline: `python3 verify_export.py DIR [--vkey KEY] [--decision ID]`.

It shares no code with the daemon and needs Python 3.11 with `cryptography`. From bytes alone it checks keys, checkpoint,
records and tree (RFC 6962), proofs, evidence, texts, files for a replay. Exit code 0 if all holds; 1 names the first bad.
"""

import argparse
import base64
import json
import struct
from collections.abc import Callable
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

Bad = AssertionError  # raised for the first thing that does not hold
WIDTH, FORMAT, PROOF = 256, "gatewayd-export/1", "c2sp.org/tlog-proof@v1"  # 256 hashes in a tile, entries in a bundle
GENESIS, CONFIG, DECISION, OUTCOME, OVERRIDE, ALARM, RULE, BLOCK = 1, 4, 5, 6, 7, 8, 9, 10
REDACTED, KEY_ROTATED, RETENTION = 17, 20, 25
EVIDENCE_AT = {DECISION: 18, ALARM: 5, RULE: 4}  # where a record of a kind cites its evidence
REPLAY_AT = {CONFIG: (1,), BLOCK: (1, 6, 7)}  # block, snapshot, configuration: files that are named by their hash
PERSONAL_AT = {CONFIG: (0, 6), DECISION: (25, 26), OVERRIDE: (7, 8), REDACTED: (6, 7), RETENTION: (5, 6)}
CONSTANTS = {0xC0: None, 0xC2: False, 0xC3: True}  # MessagePack, as far as records use it
NUMBERS = {0xCA + at: ">" + form for at, form in enumerate("fdBHIQbhiq")}
SIZED = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4, 0xDC: 2, 0xDD: 4}  # bytes of their length


def require(holds: bool, what: str) -> None:
    """Go on if it holds."""
    if not holds:
        raise Bad(what)


def from_base64(text: str, what: str) -> bytes:
    """Return the bytes of base64 in its one canonical form."""
    found = base64.b64decode(text)  # passes over what is no base64; the comparison does not
    require(base64.b64encode(found).decode() == text, f"{what} is not canonical base64")
    return found


def unpack(data: bytes, at: int = 0) -> tuple[Any, int]:
    """Return the MessagePack value at a position, and the position behind it."""
    tag, at = data[at], at + 1
    if tag < 0x80 or tag >= 0xE0 or tag in CONSTANTS:
        return CONSTANTS.get(tag, tag if tag < 0x80 else tag - 0x100), at
    if tag in NUMBERS:
        return struct.unpack_from(NUMBERS[tag], data, at)[0], at + struct.calcsize(NUMBERS[tag])
    require(0x90 <= tag <= 0xBF or tag in SIZED, f"a record holds the type {tag:#04x}, which records do not have")
    width = SIZED.get(tag, 0)
    count = int.from_bytes(data[at : at + width], "big") if width else tag & (0x1F if tag >= 0xA0 else 0x0F)
    at += width
    if tag in (0xDC, 0xDD) or tag < 0xA0:
        items = []
        for _ in range(count):
            item, at = unpack(data, at)
            items.append(item)
        return items, at
    content = data[at : at + count]
    return (content if tag in (0xC4, 0xC5, 0xC6) else content.decode("utf-8", "replace")), at + count


def body_of(entry: bytes, seq: int) -> list[Any]:
    """Return a record's body: its kind, then its fields."""
    leaf, end = unpack(entry, 2)
    is_leaf = entry[:2] == b"\x01\x00" and end == len(entry) and len(leaf) == 6 and len(leaf[5]) > 1
    require(is_leaf and leaf[0] == seq, f"record {seq} is not of schema 1, malformed or in another's place")
    return list(leaf[5])


def open_checkpoint(note: str, vkey: str) -> tuple[int, bytes]:
    """Return (size, root) of a checkpoint that a key `name+hash+base64` signed; signatures of others are passed over."""
    name, key_hash, encoded = [*vkey.split("+", 2), "", ""][:3]
    key = from_base64(encoded, "the verifier key")
    is_named = sha256(name.encode() + b"\n" + key).hexdigest()[:8] == key_hash
    require(is_named and key[0] == 1 and len(key) == 33, "the verifier key is not an Ed25519 key with its hash")
    text, _, block = note.rpartition("\n\n")
    lines = [line.split(" ", 2)[2] for line in block.split("\n") if line.startswith(f"\N{EM DASH} {name} ")]
    signed = [line for line in (from_base64(line, "the signature") for line in lines) if line[:4].hex() == key_hash]
    require(len(signed) == 1 and block.endswith("\n"), f"the checkpoint is not signed once by {vkey}")
    try:
        Ed25519PublicKey.from_public_bytes(key[1:]).verify(signed[0][4:], (text + "\n").encode())
    except InvalidSignature:
        raise Bad(f"the signature of {name} does not fit the checkpoint") from None
    origin, size, root, *_ = [*text.split("\n"), "", ""]
    require(origin == name, f"the checkpoint is not one of {name}")
    return int(size), from_base64(root, "the root of the checkpoint")  # written by the log: its signature fits


def root_of(nodes: list[bytes]) -> bytes:
    """Return the root over nodes of one size, of which the last may be smaller (RFC 6962, 2.1)."""
    if len(nodes) == 1:
        return nodes[0]
    left = 1 << (len(nodes) - 1).bit_length() - 1
    return sha256(b"\x01" + root_of(nodes[:left]) + root_of(nodes[left:])).digest()


def root_by_path(leaf: bytes, index: int, size: int, path: list[bytes]) -> bytes:
    """Return the root that an audit path leads to (RFC 6962, 2.1.1); a path of another length leads to none."""
    if size == 1 or not path:
        return leaf if size == 1 and not path else b""
    left = 1 << (size - 1).bit_length() - 1
    if index < left:
        return root_of([root_by_path(leaf, index, left, path[:-1]), path[-1]])
    return root_of([path[-1], root_by_path(leaf, index - left, size - left, path[:-1])])


class Export:
    """An export on disk, under the checkpoint that its key signed."""

    def __init__(self, folder: Path, vkey: str | None) -> None:
        self.folder = folder
        self.read: Callable[[str], bytes] = lambda name: (folder / name).read_bytes()
        own = self.vkey = self.read("verifier.key").decode("utf-8", "replace").removesuffix("\n")
        self.keys = self.handed_over(own)
        trusted = [line for line in self.read("tlog-policy").decode().splitlines() if not line.startswith("#")]
        named = [key for _, key in self.keys]
        require(trusted == [*(f"log {key}" for key in named), "quorum none"], "tlog-policy is not that of the keys")
        require((vkey or own).strip() in named, "the export is signed with another key than the one given")
        self.note = self.read("checkpoint").decode("utf-8", "replace")
        self.size, self.root = open_checkpoint(self.note, self.keys[-1][1])
        require(self.size >= self.keys[-1][0], "the checkpoint is of a size for which its key does not count")
        self.says = json.loads(self.read("export.json"))
        expected = {"format": FORMAT, "origin": own.split("+")[0], "vkey": own, "size": self.size}
        require(expected.items() <= self.says.items(), f"export.json does not say {expected}")
        self.kept, self.first, self.end = (int(self.says.get(name, 0)) for name in ("min_index", "first", "end"))
        is_whole = self.kept % WIDTH == self.first % WIDTH == 0 and self.end in (self.size, self.end // WIDTH * WIDTH)
        require(is_whole and 0 <= self.kept <= self.first < self.end <= self.size, "export.json names no whole bundles")
        self.counts = dict.fromkeys(("decisions", "outcomes", "evidence", "evidence_missing", "personal"), 0)
        self.bundle = lru_cache(4)(self._bundle)

    def handed_over(self, key: str) -> list[tuple[int, str]]:
        """Return (size from which on it counts, key) of each key: the one before signed the tree that ends with its name."""
        keys = [(0, key)]
        for size in sorted(int(path.stem) for path in (self.folder / "keys").glob("*.entry")):
            entry, (index, path, note) = self.read(f"keys/{size}.entry"), self.proof(f"keys/{size}.tlog-proof")
            kind, new, *_ = body_of(entry, size - 1)
            signed = (index + 1, root_by_path(sha256(b"\x00" + entry).digest(), index, size, path))
            is_signed = open_checkpoint(note, keys[-1][1]) == signed == open_checkpoint(note, new)
            is_next = is_signed and kind == KEY_ROTATED and index + 1 == size > keys[-1][0]
            require(is_next, f"keys/{size} is not signed by the key before and the one that it names")
            keys.append((size, new))
        return keys

    def tile(self, level: int | str, index: int, width: int) -> bytes:
        """Return a tile, or a bundle for the level `entries`."""
        *groups, last = f"{index:,}".split(",")
        path = "".join(f"x{group.zfill(3)}/" for group in groups) + last.zfill(3)
        return self.read(f"tile/{level}/{path}" + ("" if width == WIDTH else f".p/{width}"))

    def _bundle(self, index: int) -> list[bytes]:
        width = min(WIDTH, self.size - index * WIDTH)
        data, entries, at = self.tile("entries", index, width), [], 0
        while at < len(data):
            start, at = at + 2, at + 2 + int.from_bytes(data[at : at + 2], "big")
            entries.append(data[start:at])
        require(len(entries) == width and at == len(data), f"the bundle of {index * WIDTH} is not of {width} records")
        return entries

    def entry(self, seq: int) -> bytes:
        """Return a record's bytes."""
        require(self.first <= seq < self.end, f"record {seq} is not in this export")
        return self.bundle(seq // WIDTH)[seq % WIDTH]

    def leaf_hashes(self, index: int) -> list[bytes]:
        """Return the leaf hashes of a tile; where the records are here, each is that of its record's bytes."""
        width = min(WIDTH, self.size - index * WIDTH)
        tile = self.tile(0, index, width)
        require(len(tile) == 32 * width, f"tile 0/{index} is not {width} hashes")
        row = [tile[at : at + 32] for at in range(0, len(tile), 32)]
        for at, entry in enumerate(self.bundle(index) if self.first <= index * WIDTH < self.end else ()):
            is_told = sha256(b"\x00" + entry).digest() == row[at]
            require(is_told, f"record {index * WIDTH + at} does not have the hash that the tree holds for it")
        return row

    def rows_before(self, seq: int) -> list[list[bytes]]:
        """Return per level the hashes of a tile that stand for what lies before a record: all that is left if it is pruned."""
        rows: list[list[bytes]] = [[]]
        while at := seq >> 8 * len(rows):
            width = min(WIDTH, (self.size >> 8 * len(rows)) - at // WIDTH * WIDTH)
            tile = self.tile(len(rows), at // WIDTH, width) if at % WIDTH else b""
            rows.append([tile[place : place + 32] for place in range(0, at % WIDTH * 32, 32)])
        return rows

    def check_tree(self) -> None:
        """Compute the tree from its leaves up, compare every tile, then the root."""
        rows = self.rows_before(self.kept)  # per level the tile that grows
        for index in range(self.kept // WIDTH, (self.size + WIDTH - 1) // WIDTH):
            rows[0], level = self.leaf_hashes(index), 0
            while len(rows[level]) == WIDTH:
                rows += [[]] if len(rows) == level + 1 else []
                rows[level + 1].append(root_of(rows[level]))
                self.check_tile(level, index >> 8 * level, rows[level])
                rows[level], level = [], level + 1
        rest: list[bytes] = []
        for level, row in enumerate(rows):
            if row:
                self.check_tile(level, self.size >> 8 * (level + 1), row)
            rest = [root_of(row + rest)] if row + rest else []
        require(rest == [self.root], "the records do not have the root that was signed")

    def check_tile(self, level: int, index: int, row: list[bytes]) -> None:
        """Compare a tile with the hashes it should hold."""
        require(self.tile(level, index, len(row)) == b"".join(row), f"tile {level}/{index} is not that of the records")

    def proof(self, name: str) -> tuple[int, list[bytes], str]:
        """Return what a proof says: (place of a record, audit path, checkpoint)."""
        head, _, note = self.read(name).decode("utf-8", "replace").partition("\n\n")
        lines = [*head.split("\n"), ""]
        seq = int(lines[1][6:]) if lines[1][6:].isdecimal() else -1
        require(lines[:2] == [PROOF, f"index {seq}"], f"{name} is not a {PROOF} of a record")
        return seq, [from_base64(line, name) for line in lines[2:-1]], note

    def check_proof(self, name: str) -> int:
        """Check a proof against the record it names, and return that record's place."""
        seq, path, note = self.proof(f"proofs/{name}")
        require(note == self.note, f"proof {name} is not under the checkpoint of this export")
        found = root_by_path(sha256(b"\x00" + self.entry(seq)).digest(), seq, self.size, path)
        require(found == self.root, f"proof {name} does not lead to the signed root")
        return seq

    def check_record(self, seq: int) -> list[Any]:
        """Check what hangs on a record, and return its body."""
        body = body_of(self.entry(seq), seq)
        if body[0] == DECISION:
            self.counts["decisions"] += 1
            require(self.check_proof(f"{body[1]}.tlog-proof") == seq, f"two records claim to be decision {body[1]}")
        elif body[0] == OUTCOME:
            self.counts["outcomes"] += 1
            require(self.check_proof(f"{body[1]}.outcome-{seq}.tlog-proof") == seq, f"record {seq}: another's proof")
            name = f"{body[1]}.tlog-proof"  # in a part of a log the decision may lie before the part
            at = self.check_proof(name) if self.first == 0 or (self.folder / "proofs" / name).exists() else -1
            is_before = at < 0 or (body_of(self.entry(at), at)[:2] == [DECISION, body[1]] and at < seq)
            require(is_before, f"record {seq} is no outcome after its decision {body[1]}, said to be record {at}")
        elif seq == 0:
            require(body[0] == GENESIS and body[3] == self.vkey, "record 0 does not begin this log with this key")
        digest = bytes([*body, b""][EVIDENCE_AT.get(body[0], -1)])
        name = f"evidence/{digest.hex()}"
        if digest and not (self.folder / name).exists():
            self.counts["evidence_missing"] += 1  # it was no longer kept when this was exported
        elif digest:
            require(sha256(self.read(name)).digest() == digest, f"record {seq}: its evidence was altered ({name})")
        return body

    def check_all(self) -> None:
        """Check the tree, every exported record and text, and that there is neither more nor less than the export says."""
        self.check_tree()
        bodies = (self.check_record(seq) for seq in range(self.first, self.end))
        cited = {body[at].hex() for body in bodies for at in REPLAY_AT.get(body[0], ()) if at < len(body)}
        for path in (self.folder / "replay").glob("*"):
            is_cited = path.name in cited and sha256(path.read_bytes()).hexdigest() == path.name
            require(is_cited, f"replay/{path.name} is cited by no record, or was altered")
        texts = self.read("personal.jsonl").splitlines() if self.says.get("personal") else []
        for told in map(json.loads, texts):
            body, plain = body_of(self.entry(told["record"]), told["record"]), told["text"].encode()
            hash_ = body[PERSONAL_AT[body[0]][("reason_text", "actor_name").index(told["field"])]]
            is_told = sha256(bytes.fromhex(told["salt"]) + plain).digest() == hash_
            require(is_told, f"record {told['record']}: its text of {told['field']} was altered")
        self.counts["personal"] = len(texts)
        here = {name: len([*(self.folder / name).glob("*")]) for name in ("replay", "evidence", "proofs")}
        proofs, self.counts = here.pop("proofs"), self.counts | here
        for name, count in self.counts.items():
            require(count == self.says.get(name), f"{count} {name} are here, export.json says {self.says.get(name)}")
        require(proofs == self.counts["decisions"] + self.counts["outcomes"], "proofs/ holds files of no record")
        print(f"  records {self.first} to {self.end - 1} are here: {json.dumps(self.counts)}")

    def check_decision(self, decision_id: int) -> None:
        """Check one decision by its proof, its evidence and the outcomes that were exported with it."""
        names = [path.name for path in (self.folder / "proofs").glob(f"{decision_id}.*tlog-proof")]
        require(f"{decision_id}.tlog-proof" in names, f"there is no proof of decision {decision_id} in this export")
        for seq, name in sorted((self.check_proof(name), name) for name in names):
            body = self.check_record(seq)
            require(body[1] == decision_id, f"proof {name} is of another decision")
            said = f"{body[3]} = {body[5]}, because of {body[8]}" if body[0] == DECISION else f"outcome: {body[2]}"
            print(f"Record {seq}: {said}")


def main() -> int:
    """Verify what the command line names."""
    parser = argparse.ArgumentParser(description="Verify an audit export of gatewayd, offline.")
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--vkey", help="the verifier key, from whoever set the gateway up; else the export's own")
    parser.add_argument("--decision", type=int, metavar="ID", help="verify only this decision and its outcomes")
    asked = parser.parse_args()
    try:
        export = Export(asked.folder, asked.vkey)
        export.check_all() if asked.decision is None else export.check_decision(asked.decision)
    except (Bad, OSError, ValueError, LookupError, TypeError, AttributeError, struct.error) as bad:
        print(f"NOT SOUND: {bad}" if isinstance(bad, Bad) else f"NOT SOUND: {type(bad).__name__}: {bad}")
        return 1
    print(f"Verified: {export.says['origin']}, {export.size} records under the signed root {export.root.hex()}")
    print("" if asked.vkey else "  the key is the export's own: give --vkey to prove who signed\n", end="")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
