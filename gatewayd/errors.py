"""One tree of errors. Each says what happened; `remedy` says what a person can do about it.

Only `TransientError` and its children are retried. The exit code of a command is that of the error that ended it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

# What a decoder of msgspec raises for bytes that are not what they should be: text that is not UTF-8 by Python's error.
UNDECODABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError)


class GatewayError(Exception):
    """The root of every error this project raises on purpose.

    Args:
        message: what happened, with the names and numbers a technician needs.
        remedy: what to do next, one sentence or command.
    """

    exit_code = 1

    def __init__(self, message: str, *, remedy: str) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy


class ConfigError(GatewayError):
    """The site configuration cannot be used."""

    exit_code = 1


class ExpressionError(GatewayError):
    """A rule expression cannot be compiled.

    Args:
        position: offset in characters into the expression, 0-based.
    """

    def __init__(self, message: str, *, remedy: str, position: int) -> None:
        super().__init__(message, remedy=remedy)
        self.position = position


class KernelError(GatewayError):
    """Compiled code is missing, does not match its table, or refused its input."""

    exit_code = 3


class KernelRefused(KernelError):
    """A kernel gave back an error where only a bug of ours can be the cause; `result` is what it returned."""

    def __init__(self, message: str, *, remedy: str, result: int) -> None:
        super().__init__(message, remedy=remedy)
        self.result = result


class StoreError(GatewayError):
    """The store cannot be opened, read or written."""

    exit_code = 4


class StoreLocked(StoreError):
    """Another daemon already owns the store."""

    exit_code = 5


class StoreFull(StoreError):
    """The store has reached its quota or the disk is full."""


class StoreDamaged(StoreError):
    """The store's files are not what was written."""


class JournalDamaged(StoreDamaged):
    """The journal does not verify."""

    exit_code = 6


class AccessDenied(GatewayError):
    """The caller has no role that allows this."""

    exit_code = 7


class DaemonUnreachable(GatewayError):
    """The command line could not reach the daemon's socket."""

    exit_code = 8


class RequestRefused(GatewayError):
    """The daemon understood the request and will not do it."""

    exit_code = 9


class TransientError(GatewayError):
    """May pass by itself; the only kind that is retried."""


class DeviceError(TransientError):
    """A device did not do what was asked; `status` is the OPC UA status code its tags get.

    `unit` is set when only one of the units behind a connection is to blame: the link is still open for the others.
    """

    status = 0x80050000  # Bad_CommunicationError
    unit: int | None = None


class DeviceTimeout(DeviceError):
    """No reply in time. After a write, the state of the plant is unknown."""

    status = 0x800A0000  # Bad_Timeout


class DeviceUnreachable(DeviceError):
    """No connection to the device."""

    status = 0x808A0000  # Bad_NotConnected


class DeviceProtocolError(DeviceError):
    """The device answered something the protocol does not allow."""

    status = 0x80070000  # Bad_DecodingError


class DeviceRefused(DeviceError):
    """The device answered with an error of its own: a Modbus exception, an OPC UA service fault.

    Args:
        status: the OPC UA status code for the tags concerned.
        code: the protocol's own code, for people.
    """

    def __init__(self, message: str, *, remedy: str, status: int, code: int) -> None:
        super().__init__(message, remedy=remedy)
        self.status = status
        self.code = code


class UnitsLost(DeviceError):
    """Some of the units behind a connection did not answer; the link is open and serves the others.

    Args:
        device: its name.
        failures: unit id -> what came of its requests; never empty.
    """

    def __init__(self, device: str, failures: Mapping[int, DeviceError]) -> None:
        first = next(iter(failures.values()))
        units = ", ".join(map(str, sorted(failures)))
        super().__init__(f"{device}: no use of unit {units}: {first.message}", remedy=first.remedy)
        self.failures = dict(failures)
        self.status = first.status


class DeviceNotTrusted(DeviceError):
    """The server's certificate is not the pinned one, or the security mode was not accepted."""

    status = 0x801A0000  # Bad_CertificateUntrusted


class LinkError(TransientError):
    """The cloud link is down or was refused."""
