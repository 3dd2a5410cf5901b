"""What servers and asyncua say, as device errors."""

from __future__ import annotations

import struct

import pytest
from asyncua import ua
from asyncua.crypto.uacrypto import InvalidSignature as ChunkForged
from cryptography.exceptions import InvalidSignature

from gatewayd.device.opcua.faults import translated
from gatewayd.errors import (
    DeviceNotTrusted,
    DeviceProtocolError,
    DeviceRefused,
    DeviceTimeout,
    DeviceUnreachable,
)
from tests.device.opcua.rig import device

PLANT = device("opc.tcp://plc:4840")


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (TimeoutError(), DeviceTimeout),
        (ConnectionRefusedError("refused"), DeviceUnreachable),
        (OSError("no route"), DeviceUnreachable),
        (ua.UaStatusCodeError(ua.StatusCodes.BadTooManySessions), DeviceUnreachable),
        (ua.UaStatusCodeError(ua.StatusCodes.BadTimeout), DeviceTimeout),
        (ua.UaStatusCodeError(ua.StatusCodes.BadCertificateUntrusted), DeviceNotTrusted),
        (ua.UaStatusCodeError(ua.StatusCodes.BadIdentityTokenRejected), DeviceNotTrusted),
        (InvalidSignature(), DeviceNotTrusted),
        (ChunkForged(), DeviceNotTrusted),
        (ua.UaError("Server certificate mismatch"), DeviceNotTrusted),
        (ua.UaError("No matching endpoints: 3, x"), DeviceNotTrusted),
        (ua.UaError("x" * 10_000), DeviceProtocolError),
        (struct.error("unpack"), DeviceProtocolError),
        (TypeError("NoneType is not iterable"), DeviceProtocolError),
    ],
    ids=lambda part: part.__name__ if isinstance(part, type) else f"{type(part).__name__} {str(part)[:20]}",
)
def test_whatever_asyncua_raises_becomes_a_device_error_with_the_devices_name(raised, expected):
    with pytest.raises(expected, match=r"^plant: ") as error, translated(PLANT, "connecting"):
        raise raised
    assert type(error.value) is expected
    assert error.value.remedy
    assert len(error.value.message) < 500


def test_our_own_errors_pass_unchanged():
    ours = DeviceRefused("no", remedy="ask", status=1, code=1)
    with pytest.raises(DeviceRefused) as error, translated(PLANT, "reading"):
        raise ours
    assert error.value is ours
