"""TLS for Modbus/TCP Security: both sides show a certificate, and the server's is always checked.

Source: MODBUS/TCP Security Protocol Specification, MB-TCP-Security-v36: TLS 1.2 or newer, mutual authentication.
"""

from __future__ import annotations

import ssl
from pathlib import Path

from gatewayd.errors import DeviceNotTrusted
from gatewayd.model.device import ModbusTlsDevice


def client_context(device: ModbusTlsDevice, folder: Path) -> ssl.SSLContext:
    """Return what a connection is opened with; files are read anew, so that a renewed certificate is taken up.

    Args:
        device: names the files.
        folder: what relative names start from.

    Raises:
        DeviceNotTrusted: a file is missing, or is not what it should be.
    """
    trusted = device.server_certificate or device.ca_file
    assert trusted is not None, "gatewayd.site lets no device without pass"
    assert device.certificate is not None, "gatewayd.site lets no device without pass"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if device.server_certificate is not None:
        # The pinned certificate is its own trust anchor, whoever issued it; `check_pin` then accepts no other that it
        # may have signed. The name in it does not matter: it is this certificate or none.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.check_hostname = False
    try:
        context.load_verify_locations(folder / trusted)
        context.load_cert_chain(
            folder / device.certificate, folder / device.private_key if device.private_key else None
        )
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise DeviceNotTrusted(
            f"{device.name}: {trusted}, {device.certificate} and {device.private_key} cannot be used: {error}",
            remedy="All are PEM files (BEGIN CERTIFICATE, BEGIN PRIVATE KEY) that the daemon's user may read; the key "
            "has no password and belongs to the certificate.",
        ) from error
    return context


def check_pin(device: ModbusTlsDevice, folder: Path, shown: bytes | None) -> None:
    """Compare the certificate that the server showed, DER, with the pinned one if one is pinned.

    Raises:
        DeviceNotTrusted: it is another.
    """
    if device.server_certificate is None:
        return
    _, _, rest = (folder / device.server_certificate).read_text().partition(ssl.PEM_HEADER)
    pinned = ssl.PEM_cert_to_DER_cert(f"{ssl.PEM_HEADER}{rest.partition(ssl.PEM_FOOTER)[0]}{ssl.PEM_FOOTER}")
    if shown != pinned:
        raise DeviceNotTrusted(
            f"{device.name}: the server's certificate is not {device.server_certificate}",
            remedy="If the device was replaced, compare the new certificate's fingerprint on its own screen, pin it.",
        )
