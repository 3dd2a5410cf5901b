"""Along one record of the journal, MessagePack by a shape, noting what it is found by. Inlined into two kernels.

A shape says what stands where, as `gatewayd.journal.tiles.shape` draws it up from the model's own types: a run of words
per structure, each `type + 16 * is_optional + 32 * capture + 512 * child`, where `child` is the place in table shape of
what is inside. Only what the project itself writes is walked; anything else, right or wrong, is left to whoever can decode
it. So a record that is passed here can be decoded, and holds what was noted.

Structure: how many fields it has at least, how many at most, then a word each. List: the word of its items. Tagged
structure: how many there are, then tag and place of each. Literals: how many there are, then length and bytes, the first
lowest, of each.
"""

from __future__ import annotations

from kernels.columns import I8, U1

# Types of a word.
INTEGER = 1
NUMBER = 2
BOOLEAN = 3
TEXT = 4
BYTES = 5
LITERAL = 6
STRUCTURE = 7
LIST = 8
TAGGED = 9

# Captures of a word: cells of table walk, from CAPTURES on. Of an integer its value.
CAPTURES = 24
SEQ = 1
WALL = 2
ID = 3
UID = 4
EVIDENCE = 5  # where the 32 bytes stand; 0 = there are none
PERSONAL = 6  # how many are there
POINT = 7  # these four make a term
RULE = 8
TAG = 9
KIND = 10

FRAMES = 8  # three cells each: the word, how many items are left, from one item's word to the next
WALK_CELLS = 40

# How a term's places are kept: one by one in as many bytes, and as bits.
TERM_BYTES = 64
LISTED_MAX = 31
_BITS = 32

_LETTERS = (
    0,
    0,
    0,
    0,
    117,
    0,
    0,
    112,
    114,
    103,
    107,
)  # of the captures that make a term; `gatewayd.journal.tiles.index`
_ASSET = 97
_DOT = 46


def is_literal(inbox: U1, place: int, length: int, shape: I8, first: int) -> bool:
    """Say whether `length` bytes are one of the literals that begin at `first` of the shape."""
    at = first + 1
    for _ in range(shape[first]):
        same = shape[at] == length
        if same:
            for k in range(length):
                if shape[at + 1 + k] != inbox[place + k]:
                    same = False
        if same:
            return True
        at += 1 + shape[at]
    return False


def is_utf8(inbox: U1, place: int, end: int) -> bool:
    """Say whether the bytes are UTF-8 (RFC 3629): no surrogates, and nothing longer than need be."""
    highest = 0
    for k in range(place, end):  # nearly always ASCII, which many bytes at a time are seen to be
        highest = highest | inbox[k]
    k = place
    if highest < 0x80:
        k = end
    while k < end:
        byte = inbox[k] + 0
        k += 1
        more = 0
        low = 0x80
        high = 0xBF
        if byte >= 0x80:
            if byte >= 0xC2 and byte <= 0xDF:
                more = 1
            elif byte >= 0xE0 and byte <= 0xEF:
                more = 2
                if byte == 0xE0:
                    low = 0xA0
                elif byte == 0xED:
                    high = 0x9F
            elif byte >= 0xF0 and byte <= 0xF4:
                more = 3
                if byte == 0xF0:
                    low = 0x90
                elif byte == 0xF4:
                    high = 0x8F
            else:
                return False
        if k + more > end:
            return False
        for _ in range(more):
            if inbox[k] < low or inbox[k] > high:
                return False
            low = 0x80
            high = 0xBF
            k += 1
    return True


def note(
    inbox: U1,
    term: int,
    from_: int,
    length: int,
    record: int,
    letter: I8,
    start: I8,
    size: I8,
    count: I8,
    last: I8,
    places: U1,
    slot: I8,
    slots: int,
    terms: int,
    terms_max: int,
) -> int:
    """Note that a record has a term: a letter, and `length` bytes from `from_` on, or the number `from_` (length -1).

    Returns which of the terms it is, `terms` if it is new; -1 when there is no room for it.
    """
    hash_ = term * 31 + length
    if length < 0:
        hash_ = (hash_ + from_ * 0x9E3779B1) & 0xFFFFFFFF
    else:
        for k in range(length):
            hash_ = (hash_ ^ inbox[from_ + k]) * 0x01000193 & 0xFFFFFFFF
    spot = (hash_ ^ hash_ >> 15) & (slots - 1)
    found = slot[spot]
    while found >= 0:
        same = letter[found] == term and size[found] == length
        if same and length < 0:
            same = start[found] == from_
        elif same:
            for k in range(length):
                if inbox[start[found] + k] != inbox[from_ + k]:
                    same = False
        if same:
            break
        spot = (spot + 1) & (slots - 1)
        found = slot[spot]
    if found < 0:
        if terms >= terms_max:
            return -1
        found = terms
        slot[spot] = found
        letter[found] = term
        start[found] = from_
        size[found] = length
        count[found] = 0
        last[found] = -1
    if last[found] != record:
        if count[found] < LISTED_MAX:
            places[TERM_BYTES * found + count[found]] = record
        count[found] += 1
        last[found] = record
        spot = TERM_BYTES * found + _BITS + (record >> 3)
        places[spot] = places[spot] | 1 << (record & 7)
    return found


def walk(
    inbox: U1,
    place: int,
    end: int,
    shape: I8,
    first: int,
    cell: I8,
    record: int,
    letter: I8,
    start: I8,
    size: I8,
    count: I8,
    last: I8,
    places: U1,
    slot: I8,
    slots: int,
    terms: int,
    terms_max: int,
) -> int:
    """Walk the value at `place`, which must end at `end`, by the word at `first` of the shape; note its terms.

    Returns how many terms there are now; -1 when it is not passed, or there is no room for its terms.
    """
    for k in range(CAPTURES, WALK_CELLS):
        cell[k] = 0
    cell[CAPTURES + UID] = -1
    cell[0] = first
    cell[1] = 1
    cell[2] = 0
    depth = 1
    while depth > 0:
        frame = 3 * (depth - 1)
        if cell[frame + 1] == 0:
            depth -= 1
            continue
        at = cell[frame]
        cell[frame + 1] -= 1
        cell[frame] = at + cell[frame + 2]
        word = shape[at]
        kind = word & 15
        capture = word >> 5 & 15
        child = word >> 9
        if place >= end or kind == 0:  # that is of a type which only a decoder knows
            return -1
        byte = inbox[place] + 0
        place += 1
        if byte == 0xC0:
            if word & 16 == 0:
                return -1
            continue
        term = 0
        from_ = 0
        length = 0
        number = 0
        if kind == NUMBER:
            place += 8
            if byte != 0xCB or place > end:
                return -1
        elif kind == BOOLEAN:
            if byte != 0xC2 and byte != 0xC3:
                return -1
        elif kind == INTEGER:
            width = 0
            if byte < 0x80:
                number = byte
            elif byte >= 0xE0:
                number = byte - 256
            elif byte >= 0xCC and byte <= 0xD3:
                width = 1 << (byte & 3)
                if place > end - width:
                    return -1
                if inbox[place] >= 0x80:
                    if byte == 0xCF:  # beyond int64
                        return -1
                    if byte >= 0xD0:
                        number = -1
                for k in range(width):
                    number = number << 8 | inbox[place + k]
                place += width
            else:
                return -1
            cell[CAPTURES + capture] = number
            if capture == UID and number >= 0:
                term = _LETTERS[UID]
                from_ = number
                length = -1
        elif kind in (TEXT, BYTES, LITERAL):
            width = 0
            if kind != BYTES and byte >= 0xA0 and byte < 0xC0:
                length = byte & 31
            elif kind != BYTES and byte >= 0xD9 and byte <= 0xDB:
                width = 1 << (byte - 0xD9)
            elif kind == BYTES and byte >= 0xC4 and byte <= 0xC6:
                width = 1 << (byte - 0xC4)
            else:
                return -1
            if place > end - width:
                return -1
            for k in range(width):
                length = length << 8 | inbox[place + k]
            place += width
            if length > end - place:
                return -1
            from_ = place
            place += length
            if kind == BYTES:
                if capture == EVIDENCE and length > 0:
                    if length != 32:
                        return -1
                    cell[CAPTURES + EVIDENCE] = from_
                elif capture == PERSONAL and length > 0:
                    cell[CAPTURES + PERSONAL] += 1
            elif kind == LITERAL:
                if not is_literal(inbox, from_, length, shape, child):
                    return -1
            else:
                if not is_utf8(inbox, from_, place):
                    return -1
                if capture in (POINT, TAG) or (capture == RULE and length > 0):
                    term = _LETTERS[capture]
        else:
            items = 0
            if byte >= 0x90 and byte <= 0x9F:
                items = byte & 15
            elif byte == 0xDC and place <= end - 2:
                items = inbox[place] * 256 + inbox[place + 1]
                place += 2
            else:
                return -1
            if items > end - place or depth >= FRAMES:
                return -1
            step = 1
            if kind == LIST:
                step = 0
            elif kind == STRUCTURE:
                if items < shape[child] or items > shape[child + 1]:
                    return -1
                child = child + 2
            else:
                if items == 0 or inbox[place] >= 0x80:
                    return -1
                number = inbox[place]
                place += 1
                items -= 1
                found = -1
                for k in range(shape[child]):
                    if shape[child + 1 + 2 * k] == number:
                        found = shape[child + 2 + 2 * k]
                if found < 0 or items < shape[found] or items > shape[found + 1]:
                    return -1
                child = found + 2
                cell[CAPTURES + KIND] = number
                term = _LETTERS[KIND]
                from_ = number
                length = -1
            cell[3 * depth] = child
            cell[3 * depth + 1] = items
            cell[3 * depth + 2] = step
            depth += 1
        while term != 0:
            found = note(
                inbox,
                term,
                from_,
                length,
                record,
                letter,
                start,
                size,
                count,
                last,
                places,
                slot,
                slots,
                terms,
                terms_max,
            )
            if found < 0:
                return -1
            terms = max(terms, found + 1)
            if term == _LETTERS[POINT]:  # an asset is what stands before the last dot
                while length > 0 and inbox[from_ + length - 1] != _DOT:
                    length -= 1
                length -= 1
                term = _ASSET
                if length <= 0:
                    term = 0
            else:
                term = 0
    if place != end:
        return -1
    return terms
