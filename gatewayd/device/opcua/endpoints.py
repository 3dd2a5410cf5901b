"""What an OPC UA server offers to anybody who asks: endpoints, policies, its certificate. Nothing of it is trusted."""

from __future__ import annotations

import asyncio

from asyncua import ua
from cryptography import x509
from cryptography.x509.oid import NameOID
from msgspec import Struct

from gatewayd.device.opcua.bounded_client import BoundedClient
from gatewayd.device.opcua.certificate import fingerprint, first_certificate
from gatewayd.device.opcua.faults import translated
from gatewayd.device.opcua.session import DEFAULT_PORT, ENDPOINTS_MAX, HANDSHAKE_S_MIN, POLICIES
from gatewayd.errors import DeviceProtocolError
from gatewayd.model.device import OpcuaDevice

POLICY_NONE = "http://opcfoundation.org/UA/SecurityPolicy#None"


class Endpoint(Struct, frozen=True, kw_only=True):
    """One endpoint as the server describes it; `policy` and `mode` as the configuration writes them."""

    url: str
    policy: str
    mode: str
    user_tokens: tuple[str, ...]
    certificate_sha256: str  # empty: none
    is_usable: bool  # gatewayd knows the policy; `None` needs somebody who accepts it


class ServerCertificate(Struct, frozen=True, kw_only=True):
    """A certificate a server shows, for a person to compare with what its owner says."""

    sha256: str
    subject: str
    application_uri: str
    expires: str  # UTC, ISO 8601
    der: bytes


class Offer(Struct, frozen=True, kw_only=True):
    """What a server says of itself."""

    application: str
    application_uri: str
    product_uri: str
    endpoints: tuple[Endpoint, ...]
    certificates: tuple[ServerCertificate, ...]


async def ask_for_endpoints(endpoint: str, timeout_ms: int) -> Offer:
    """Ask a server for its endpoints over a channel without security.

    Args:
        endpoint: `opc.tcp://HOST:PORT/PATH`.
        timeout_ms: for each step; at least 4 s are allowed.

    Raises:
        DeviceUnreachable, DeviceTimeout, DeviceProtocolError: no OPC UA server there.
    """
    device = OpcuaDevice(name="scan", endpoint=endpoint, security="None", mode="None", insecure="accepted-by=scan")
    step_s = max(timeout_ms / 1000, HANDSHAKE_S_MIN)
    client = BoundedClient(device, step_s + 1)
    host = client.server_url.hostname
    if not host:
        raise DeviceProtocolError(f"{endpoint} names no host", remedy="Write opc.tcp://HOST:PORT.")
    try:
        with translated(device, "asking for its endpoints"):
            async with asyncio.timeout(step_s):
                await client.uaclient.connect_socket(host, client.server_url.port or DEFAULT_PORT)
                await client.send_hello()
                await client.open_secure_channel()
                answered = await client.get_endpoints()
            return _offer(answered[:ENDPOINTS_MAX])
    finally:
        client.abort()


def _offer(answered: list[ua.EndpointDescription]) -> Offer:
    names = {policy.URI: name for name, policy in POLICIES.items()} | {POLICY_NONE: "None"}
    first = answered[0].Server if answered else ua.ApplicationDescription()
    shown = dict.fromkeys(first_certificate(each.ServerCertificate) for each in answered if each.ServerCertificate)
    return Offer(
        application=str(first.ApplicationName.Text or ""),
        application_uri=str(first.ApplicationUri or ""),
        product_uri=str(first.ProductUri or ""),
        endpoints=tuple(_endpoint(each, names) for each in answered),
        certificates=tuple(_certificate(der) for der in shown),
    )


def _endpoint(described: ua.EndpointDescription, names: dict[str, str]) -> Endpoint:
    uri = described.SecurityPolicyUri or ""
    name = names.get(uri)
    certificate = described.ServerCertificate
    return Endpoint(
        url=described.EndpointUrl or "",
        policy=name or uri.rpartition("#")[2],
        mode=described.SecurityMode.name.removesuffix("_"),
        user_tokens=tuple(dict.fromkeys(token.TokenType.name for token in described.UserIdentityTokens or [])),
        certificate_sha256=fingerprint(first_certificate(certificate)) if certificate else "",
        is_usable=name is not None,
    )


def _certificate(der: bytes) -> ServerCertificate:
    """Read a certificate that a stranger sent; what cannot be read is left empty."""
    try:
        certificate = x509.load_der_x509_certificate(der)
        names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return ServerCertificate(
            sha256=fingerprint(der),
            subject=str(names[0].value) if names else certificate.subject.rfc4514_string(),
            application_uri=_application_uri(certificate),
            expires=certificate.not_valid_after_utc.isoformat(),
            der=der,
        )
    except (ValueError, TypeError):
        return ServerCertificate(sha256=fingerprint(der), subject="", application_uri="", expires="", der=der)


def _application_uri(certificate: x509.Certificate) -> str:
    try:
        alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ""
    return next(iter(alternatives.get_values_for_type(x509.UniformResourceIdentifier)), "")
