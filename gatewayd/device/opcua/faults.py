"""What asyncua raises and what servers answer, as this project's errors."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager

from asyncua.crypto.uacrypto import InvalidSignature as ChunkForged  # type: ignore[attr-defined]
from asyncua.ua.status_codes import StatusCodes, get_name_and_doc
from asyncua.ua.uaerrors._base import UaError, UaStatusCodeError
from cryptography.exceptions import InvalidSignature

from gatewayd.errors import (
    DeviceError,
    DeviceNotTrusted,
    DeviceProtocolError,
    DeviceRefused,
    DeviceTimeout,
    DeviceUnreachable,
)
from gatewayd.model.device import OpcuaDevice

TOO_MUCH = {
    StatusCodes.BadTooManyOperations,
    StatusCodes.BadRequestTooLarge,
    StatusCodes.BadResponseTooLarge,
    StatusCodes.BadEncodingLimitsExceeded,
}
SESSION_GONE = {
    StatusCodes.BadSessionIdInvalid,
    StatusCodes.BadSessionClosed,
    StatusCodes.BadSessionNotActivated,
    StatusCodes.BadSecureChannelIdInvalid,
    StatusCodes.BadSecureChannelClosed,
    StatusCodes.BadSecurityChecksFailed,
    StatusCodes.BadConnectionClosed,
    StatusCodes.BadServerHalted,
    StatusCodes.BadShutdown,
}
# The server passed the write on and does not know what became of it.
OUTCOME_UNKNOWN = {
    StatusCodes.BadTimeout,
    StatusCodes.BadRequestTimeout,
    StatusCodes.BadRequestInterrupted,
    StatusCodes.BadCommunicationError,
    StatusCodes.BadNoCommunication,
    StatusCodes.BadUnexpectedError,
    StatusCodes.BadInternalError,
}
# What asyncua lets out when a server sends bytes it did not expect.
LIBRARY_ERRORS = (
    UaError, ValueError, TypeError, AttributeError, LookupError, ArithmeticError, AssertionError,
    struct.error, RecursionError,
)  # fmt: skip
_NOT_TRUSTED_BY_SERVER = {
    StatusCodes.BadSecurityChecksFailed,
    StatusCodes.BadCertificateUntrusted,
    StatusCodes.BadCertificateInvalid,
    StatusCodes.BadCertificateTimeInvalid,
    StatusCodes.BadCertificateUriInvalid,
    StatusCodes.BadCertificateUseNotAllowed,
    StatusCodes.BadCertificateChainIncomplete,
    StatusCodes.BadCertificateRevoked,
    StatusCodes.BadSecurityPolicyRejected,
    StatusCodes.BadSecurityModeRejected,
    StatusCodes.BadIdentityTokenInvalid,
    StatusCodes.BadIdentityTokenRejected,
    StatusCodes.BadUserAccessDenied,
}


@contextmanager
def translated(device: OpcuaDevice, doing: str) -> Iterator[None]:
    """Turn what asyncua and the system raise into our errors, with the device's name."""
    try:
        yield
    except TimeoutError as error:
        raise DeviceTimeout(
            f"{device.name}: {device.endpoint} did not answer in time while {doing}",
            remedy="Check network and server; raise timeout_ms if the server is slow.",
        ) from error
    except OSError as error:  # ConnectionError is one
        raise DeviceUnreachable(
            f"{device.name}: no connection to {device.endpoint} while {doing}: {error}",
            remedy="Check host, port, cabling and firewall, and that the server runs; then `gatewayd device probe`.",
        ) from error
    except UaStatusCodeError as error:
        raise _status_error(device, doing, error) from error
    except (InvalidSignature, ChunkForged) as error:
        raise DeviceNotTrusted(
            f"{device.name}: the server could not prove that the trusted certificate is its own",
            remedy="Somebody may be in between; compare the server's certificate with the trusted one.",
        ) from error
    except LIBRARY_ERRORS as error:
        raise _protocol_error(device, doing, error) from error


def _status_error(device: OpcuaDevice, doing: str, error: UaStatusCodeError) -> DeviceError:
    name, meaning = get_name_and_doc(error.code)
    if error.code in _NOT_TRUSTED_BY_SERVER:
        return DeviceNotTrusted(
            f"{device.name}: the server refused us while {doing}: {name}: {meaning}",
            remedy="Put gatewayd's certificate into the server's trust list; check user, password and security policy.",
        )
    if error.code == StatusCodes.BadTimeout:
        return DeviceTimeout(
            f"{device.name}: the server gave up while {doing}: {name}", remedy="Check what is behind the server."
        )
    return DeviceUnreachable(
        f"{device.name}: the server ended the connection while {doing}: {name}: {meaning}",
        remedy="Check the server's log and its limit on sessions.",
    )


def _protocol_error(device: OpcuaDevice, doing: str, error: Exception) -> DeviceError:
    text = str(error)
    if "No matching endpoints" in text:
        return DeviceNotTrusted(
            f"{device.name}: the server does not offer {device.security} with {device.mode}",
            remedy="Enable this policy in the server, or configure one that it offers.",
        )
    if "Server certificate mismatch" in text:
        return DeviceNotTrusted(
            f"{device.name}: the server's certificate is not the trusted one",
            remedy="Compare the certificates; trust the new one only when the server's owner confirms it.",
        )
    return DeviceProtocolError(
        f"{device.name}: not understood while {doing}: {type(error).__name__}: {text[:200]}",
        remedy="Check that this is an OPC UA server's binary endpoint (opc.tcp); read it with another client.",
    )


def judge_write(what: str, status: int) -> None:
    """Accept a write's status that is Good (as Good_CompletesAsynchronously is); say of the rest whether anything changed.

    Args:
        what: device and tag, for the message.
        status: the server's status code for the write.

    Raises:
        DeviceRefused: nothing changed.
        DeviceUnreachable: the session is dead; nothing is known.
        DeviceTimeout, DeviceProtocolError: what became of the write is unknown.
    """
    if not status >> 30:
        return
    name, meaning = get_name_and_doc(status)
    message = f"{what}: the server answered the write with {name}: {meaning}"
    if status in SESSION_GONE:
        raise DeviceUnreachable(message, remedy="A new session follows; see the server's log if this repeats.")
    if status in OUTCOME_UNKNOWN:
        raise DeviceTimeout(message, remedy="What became of the write is unknown; the read-back tells.")
    if not status >> 31:
        raise DeviceProtocolError(message, remedy="An uncertain write: the read-back tells what became of it.")
    raise DeviceRefused(message, remedy=_write_remedy(status), status=status, code=status)


def _write_remedy(status: int) -> str:
    if status == StatusCodes.BadTypeMismatch:
        return "Nothing changed. Set the tag's type to the node's data type."
    if status in (StatusCodes.BadNodeIdUnknown, StatusCodes.BadNodeIdInvalid):
        return "Nothing changed. Correct the node_id in the tag list."
    if status in (StatusCodes.BadNotWritable, StatusCodes.BadUserAccessDenied, StatusCodes.BadWriteNotSupported):
        return "Nothing changed. Give gatewayd's user the right to write this node, or take the point off the policy."
    return "Nothing changed. See the server's log for its reason."
