"""Where the broker is and how the connection is protected."""

from __future__ import annotations

import re
import ssl

from msgspec import Struct

from gatewayd.errors import ConfigError
from gatewayd.model.config import Cloud


class Endpoint(Struct, frozen=True):
    """A broker's address; `tls` is None only where somebody accepted plain MQTT by name."""

    host: str
    port: int
    tls: ssl.SSLContext | None
    keepalive_s: int = 120


def endpoint_of(cloud: Cloud) -> Endpoint:
    """Return the endpoint of a configuration, its files read.

    Raises:
        ConfigError: plain MQTT that nobody accepted, or a certificate or key file that cannot be used.
    """
    if not cloud.tls:
        _require_acceptance(cloud)
        return Endpoint(cloud.host, cloud.port, None, cloud.keepalive_s)
    return Endpoint(cloud.host, cloud.port, _tls_context(cloud), cloud.keepalive_s)


def _require_acceptance(cloud: Cloud) -> None:
    if cloud.insecure is None or not re.fullmatch(r"accepted-by=\S.*", cloud.insecure):
        raise ConfigError(
            f"cloud: plain MQTT to {cloud.host}:{cloud.port}, and nobody has accepted it",
            remedy='Use tls = true with ca_file, or write insecure = "accepted-by=NAME"; the name is journalled.',
        )


def _tls_context(cloud: Cloud) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # checks the host name and requires a certificate
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    try:
        if cloud.ca_file is None:
            context.load_default_certs()
        else:
            context.load_verify_locations(cafile=cloud.ca_file)
        if cloud.certificate_file is not None:
            # The empty password keeps OpenSSL from asking for one on the terminal of a daemon.
            context.load_cert_chain(cloud.certificate_file, cloud.key_file, password="")
    except (OSError, ValueError) as error:
        files = ", ".join(f for f in (cloud.ca_file, cloud.certificate_file, cloud.key_file) if f)
        raise ConfigError(
            f"cloud: a certificate or key cannot be used ({files}): {error}",
            remedy="Check that the files exist, are PEM, are readable by the daemon, and that the key has no pass phrase.",
        ) from error
    return context
