"""Read Device Identification, function 43 / MEI type 14. No I/O: requests out, responses in.

Source: Modbus Application Protocol Specification V1.1b3, section 6.21. A device tells its objects in pages; `Inquiry`
asks for page after page and ends whatever the device answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from gatewayd.device.modbus.pdu import EXCEPTIONS, Request
from gatewayd.errors import DeviceProtocolError, DeviceRefused
from gatewayd.model import quality

FUNCTION: Final = 0x2B
MEI_TYPE: Final = 0x0E
BASIC, REGULAR, EXTENDED, INDIVIDUAL = 1, 2, 3, 4
LEVELS: Final = {BASIC: "basic", REGULAR: "regular", EXTENDED: "extended"}
PDU_BYTES_MAX: Final = 253
OBJECTS_MAX: Final = 256  # an object id has eight bits
PAGES_MAX: Final = OBJECTS_MAX  # each page has to move on by an object at least

OBJECT_NAMES: Final = {
    0: "vendor",
    1: "product_code",
    2: "revision",
    3: "vendor_url",
    4: "product_name",
    5: "model_name",
    6: "application_name",
}
_HEAD: Final = 7  # function, MEI type, code, conformity, more follows, next object, count
_EXCEPTION_BIT: Final = 0x80
_STREAM_BITS: Final = 0x7F  # of the conformity level; the eighth says that single objects may be asked for too
_MORE: Final = 0xFF
_REMEDY: Final = "The device breaks the protocol here; its registers may be read all the same."


class Page(Struct, frozen=True):
    """One response: some objects, and where the next ones begin.

    Args:
        code: what was asked: BASIC, REGULAR, EXTENDED or INDIVIDUAL.
        conformity: highest level the device has, 1-3, plus 0x80 if it answers INDIVIDUAL.
        objects: (object id, value) in the order sent.
        next_object: first object of the next page; None when this was the last.
    """

    code: int
    conformity: int
    objects: tuple[tuple[int, bytes], ...]
    next_object: int | None = None


def encode_request(code: int, first_object: int = 0) -> bytes:
    """Return the PDU that asks for a level, or for one object.

    Args:
        code: BASIC, REGULAR, EXTENDED or INDIVIDUAL.
        first_object: where to go on, 0-255.
    """
    assert BASIC <= code <= INDIVIDUAL
    return bytes((FUNCTION, MEI_TYPE, code, first_object))


class IdentificationRequest(Request, frozen=True, gc=False):
    """The same for the daemon's own transports, whose frames need to know when an answer is whole."""

    def __str__(self) -> str:
        """Say it as a technician would."""
        return "read device identification"


def identification_request(pdu: bytes) -> IdentificationRequest:
    """Return a request made of its PDU; the size of its answer is told by the answer, see `told_size`."""
    return IdentificationRequest(FUNCTION, 0, 0, pdu, pdu[:3], 0)


def told_size(response: bytes) -> int:
    """Return how long a response says it is; 0 while what has arrived does not say.

    Args:
        response: the first bytes of the PDU.
    """
    if len(response) < _HEAD:
        return 0
    at = _HEAD
    for _ in range(response[_HEAD - 1]):
        if at + 2 > len(response):
            return 0
        at += 2 + response[at + 1]
    return at


def encode_page(page: Page) -> bytes:
    """Return the PDU of a response; what a simulated device answers."""
    more, following = (0, 0) if page.next_object is None else (_MORE, page.next_object)
    head = bytes((FUNCTION, MEI_TYPE, page.code, page.conformity, more, following, len(page.objects)))
    pdu = head + b"".join(bytes((number, len(value))) + value for number, value in page.objects)
    assert len(pdu) <= PDU_BYTES_MAX
    return pdu


def decode_page(response: bytes, code: int, device: str) -> Page:
    """Read a response PDU; every length in it is checked.

    Args:
        response: the PDU.
        code: what was asked for.
        device: name, for messages.

    Raises:
        DeviceRefused: an exception response: most devices do not have this function.
        DeviceProtocolError: not a response to this request.
    """
    if len(response) == 2 and response[0] == FUNCTION | _EXCEPTION_BIT:
        raise _refused(response[1], device)
    if len(response) < _HEAD or len(response) > PDU_BYTES_MAX or response[:2] != bytes((FUNCTION, MEI_TYPE)):
        raise _broken(device, f"an answer of {len(response)} bytes that begins with {response[:3].hex() or 'nothing'}")
    _, _, answered, conformity, more, following, count = response[:_HEAD]
    if answered != code:
        raise _broken(device, f"level {answered} instead of {code}")
    if more not in (0, _MORE):
        raise _broken(device, f"{more:#04x} where 00 or FF says whether more follows")
    objects: list[tuple[int, bytes]] = []
    at = _HEAD
    for _ in range(count):
        if at + 2 > len(response) or at + 2 + response[at + 1] > len(response):
            raise _broken(device, f"{count} objects announced and only {len(objects)} sent")
        number, size = response[at], response[at + 1]
        objects.append((number, response[at + 2 : at + 2 + size]))
        at += 2 + size
    if at != len(response):
        raise _broken(device, f"{len(response) - at} bytes behind the last object")
    return Page(code, conformity, tuple(objects), following if more else None)


class Identification(Struct, frozen=True, kw_only=True):
    """What a device says of itself; texts are its own, so they are shown without control characters.

    Args:
        level: `basic`, `regular`, `extended`, or `` if the level is outside the standard.
        objects: name of the standard, or `object_128`, -> text.
    """

    level: str
    objects: Mapping[str, str]

    def __str__(self) -> str:
        """Say it in one line: vendor, product, revision."""
        named = [self.objects.get(name, "") for name in ("vendor", "product_code", "product_name", "revision")]
        return " ".join(part for part in dict.fromkeys(named) if part)


class Inquiry:
    """Asks a device for all it tells: the basic level first, then the highest it says it has.

    Feed each response to `take` while `request` is not None. A device that repeats or goes back in its objects ends
    the inquiry with an error, so at most `PAGES_MAX` requests are made for each of the two levels.

    Args:
        device: name, for messages.
    """

    def __init__(self, device: str) -> None:
        self.request: bytes | None = encode_request(BASIC)
        self._device = device
        self._code = BASIC
        self._next = 0
        self._pages = 0
        self._conformity = 0
        self._objects: dict[int, bytes] = {}

    def take(self, response: bytes) -> None:
        """Take the response to `request`.

        Raises:
            DeviceRefused: no such function; raised for the basic level only, which every device that has it must tell.
            DeviceProtocolError: an answer outside the standard; what came before it is kept.
        """
        try:
            page = decode_page(response, self._code, self._device)
            self._check_progress(page)
        except DeviceRefused:
            self.request = None
            if self._code == BASIC:
                raise
            return
        except DeviceProtocolError:
            self.request = None
            raise
        self._pages += 1
        self._objects.update(page.objects)
        if page.next_object is not None:
            self._next = page.next_object
            self.request = encode_request(self._code, page.next_object)
        elif self._code == BASIC:
            self._go_up(page.conformity)
        else:
            self.request = None

    def result(self) -> Identification:
        """Return what was told so far."""
        told = {
            OBJECT_NAMES.get(number, f"object_{number}"): _text(value)
            for number, value in sorted(self._objects.items())
        }
        return Identification(level=LEVELS.get(self._conformity, ""), objects=told)

    def _check_progress(self, page: Page) -> None:
        if page.next_object is None:
            return
        highest = max([self._next, *(number for number, _ in page.objects)])
        if self._pages + 1 >= PAGES_MAX or page.next_object <= highest:
            raise _broken(self._device, f"object {page.next_object} announced again, so it would never end")

    def _go_up(self, conformity: int) -> None:
        self._conformity = conformity & _STREAM_BITS
        self.request = None
        if self._conformity in (REGULAR, EXTENDED):
            self._code, self._next, self._pages = self._conformity, 0, 0
            self.request = encode_request(self._code)


def _text(value: bytes) -> str:
    decoded = value.decode("utf-8", "replace")
    return "".join(char if char.isprintable() else " " for char in decoded).strip()


def _refused(code: int, device: str) -> DeviceRefused:
    meaning = EXCEPTIONS.get(code)
    title = meaning.title if meaning else "an exception outside the standard"
    return DeviceRefused(
        f"{device}: {title} (exception {code}) in answer to read device identification",
        remedy="None is needed: most devices do not tell who they are; look at the label.",
        status=meaning.status if meaning else quality.BAD_NOT_SUPPORTED,
        code=code,
    )


def _broken(device: str, what: str) -> DeviceProtocolError:
    return DeviceProtocolError(f"{device}: {what} in answer to read device identification", remedy=_REMEDY)
