"""Register addresses as people write them, turned into the 0-based number that goes on the wire.

Three spellings meet in practice:

- a plain address, `0` to `65535` or `0x0000` to `0xFFFF`; counted from the device's `address_base`;
- the five-digit notation of the Modicon 984: `4xxxx` holding, `3xxxx` input, `1xxxx` discrete, `0xxxx` coil; from 1;
- its six-digit form for registers beyond 9999: `400001` to `465536`; from 1.

Five digits can be read both ways. The notation wins when it agrees with the register type; when it does not, nobody
can know what was meant, so it is refused. A plain address among them is written in hexadecimal, which is never notation.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from gatewayd.model.device import RegisterType

ADDRESS_MAX = 65_535
_NOTATION: dict[str, RegisterType] = {"0": "coil", "1": "discrete", "3": "input", "4": "holding"}
_PREFIX = {register_type: prefix for prefix, register_type in _NOTATION.items()}
_ALLOWED = "0 to 65535, 0x0000 to 0xFFFF, or the 4xxxx notation"


class AddressError(NamedTuple):
    """Why an address cannot be used."""

    message: str
    remedy: str
    allowed: str = _ALLOWED


def parse_address(text: str, register_type: RegisterType, address_base: int) -> int | AddressError:
    """Return the 0-based address that a cell of a tag list names, or what is wrong with it."""
    if re.fullmatch(r"0[xX][0-9a-fA-F]{1,8}", text):
        return _plain(text, int(text, 16), address_base)
    if not re.fullmatch(r"[0-9]{1,6}", text):
        return AddressError(
            f"address is {text[:40]!r}; allowed is {_ALLOWED}",
            "Write the register's number without letters, spaces, points or signs.",
        )
    number = int(text)
    means = _NOTATION.get(text[0]) if _is_notation(text) else None
    if means is None:
        return _plain(text, number, address_base)
    if means == register_type:
        return int(text[1:]) - 1
    return _contradiction(text, means, register_type)


def notation(register_type: RegisterType, address: int, *, digits: int = 5) -> str:
    """Return a 0-based address in the 4xxxx notation, in six digits where five are not enough."""
    width = digits - 1 if address < 10 ** (digits - 1) - 1 else 5
    return f"{_PREFIX[register_type]}{address + 1:0{width}d}"


def parse_place(text: str, address_base: int) -> tuple[RegisterType, int] | AddressError:
    """Return the register type and 0-based address of `holding:7`, `input:0x10`, `coil:00001` or `40001`.

    A plain number without a register type is refused: nobody could say which of the four it means.
    """
    register_type, colon, written = text.partition(":")
    if not colon:
        means = _NOTATION.get(text[0]) if re.fullmatch(r"[0-9]{5,6}", text) and _is_notation(text) else None
        if means is None:
            return AddressError(
                f"{text[:40]!r} names no register type",
                f"Write holding:{text[:12]} (or input:, coil:, discrete:), or the number in the 4xxxx notation.",
            )
        register_type, written = means, text
    known = {name: name for name in _PREFIX}
    if register_type not in known:
        return AddressError(
            f"there is no register type {register_type[:40]!r}", f"The register types are {', '.join(known)}."
        )
    address = parse_address(written, known[register_type], address_base)
    return address if isinstance(address, AddressError) else (known[register_type], address)


def _is_notation(text: str) -> bool:
    if len(text) == 5:
        return text[0] in _NOTATION and int(text[1:]) != 0
    return len(text) == 6 and text[0] in _NOTATION and 1 <= int(text[1:]) <= ADDRESS_MAX + 1


def _plain(text: str, number: int, address_base: int) -> int | AddressError:
    address = number - address_base
    if address < 0:
        return AddressError(
            f"address is {text}, and the device counts from {address_base} (address_base)",
            "Write 1 for the first register, or set address_base = 0 if its list counts from 0.",
        )
    if address > ADDRESS_MAX:
        return AddressError(
            f"address is {text}; allowed is {_ALLOWED}",
            "Look the register up in the device's list; addresses have 16 bits.",
        )
    return address


def _contradiction(text: str, means: RegisterType, register_type: RegisterType) -> AddressError:
    register = int(text[1:])
    meant = f"{_PREFIX[register_type]}{register:0{len(text) - 1}d}"
    plain = f", or 0x{int(text):04X} if the plain address {int(text)} is meant" if int(text) <= ADDRESS_MAX else ""
    return AddressError(
        f"address {text} is {means} register {register} in the {text[0]}{'x' * (len(text) - 1)} notation, "
        f"but register_type is {register_type}",
        f"Set register_type = {means}, write {meant} for {register_type} register {register}{plain}.",
        allowed=f"{_PREFIX[register_type]}{'x' * (len(text) - 1)} for {register_type}",
    )
