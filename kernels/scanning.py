"""The tables of whoever looks through the journal, a tile at a time, over buffers of its own. No numba here."""

from __future__ import annotations

Columns = tuple[tuple[str, str], ...]  # of a table: (name, type)

TABLES: dict[str, Columns] = {
    "shape": (("word", "i8"),),  # what stands where in a record; see kernels/record_walk.py
    "walk": (("cell", "i8"),),  # where a walk stands, and what it has captured
    "record": (  # one row per record of a tile
        ("start", "i8"),  # bytes [start, end) of the inbox
        ("end", "i8"),
        ("sound", "i8"),  # 1 = it is, and the rest of the row is its own
        ("kind", "i8"),
        ("id", "i8"),  # of a decision, or the decision of an outcome
        ("wall", "i8"),  # ns
        ("evidence", "i8"),  # where its 32 bytes begin; 0 = it cites none
        ("personal", "i8"),  # hashes of personal texts in it
        ("slice_start", "i8"),  # bytes [slice_start, slice_end) of the inbox with the evidence
        ("slice_end", "i8"),
        ("slice_sound", "i8"),
    ),
    "term": (  # what records are found by, each once
        ("letter", "i8"),
        ("start", "i8"),  # of its bytes in the inbox, or a number
        ("length", "i8"),  # -1 = it is a number
        ("count", "i8"),  # records that have it
        ("last", "i8"),
    ),
    "place": (("byte", "u1"),),  # 64 per term: its first 31 records in order, from 32 on a bit for each
    "slot": (("term", "i8"),),  # hash table of terms, a power of two and at least twice as many
}
