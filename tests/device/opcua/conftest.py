from __future__ import annotations

import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.device.opcua.rig import device, link_to

SERVER = Path(__file__).with_name("server.py")
READY_S = 60


class ServerProcess:
    """A server of `server.py` in its own process; everything by its handle."""

    def __init__(self, *options: str, port: int = 0) -> None:
        command = [sys.executable, str(SERVER), "--port", str(port), *options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert self.process.stdout is not None
        readable, _, _ = select.select([self.process.stdout], [], [], READY_S)
        line = self.process.stdout.readline().split() if readable else []
        if line[:1] != ["ready"]:
            self.stop()
            raise AssertionError(f"the server did not start: {line}")
        self.port = int(line[1])
        self.endpoint = f"opc.tcp://127.0.0.1:{self.port}/test"

    def freeze(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()


class Certificate:
    """A server's self-signed certificate and key in files."""

    def __init__(self, folder: Path, name: str, *, expired: bool = False) -> None:
        key = rsa.generate_private_key(public_exponent=65_537, key_size=2048)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = datetime.now(UTC)
        usage = dict.fromkeys(("key_agreement", "crl_sign", "encipher_only", "decipher_only"), False)
        usage |= dict.fromkeys(
            ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_cert_sign"), True
        )
        names = [x509.UniformResourceIdentifier("urn:freeopcua:python:server"), x509.DNSName("localhost")]
        self.expires = (now - timedelta(days=1) if expired else now + timedelta(days=30)).replace(microsecond=0)
        certificate = (
            x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
            .not_valid_before(now - timedelta(days=60))
            .not_valid_after(self.expires)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.KeyUsage(**usage), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .sign(key, hashes.SHA256())
        )
        self.der = certificate.public_bytes(serialization.Encoding.DER)
        self.der_path, self.pem_path = folder / f"{name}.der", folder / f"{name}.crt"
        self.key_path = folder / f"{name}.key.pem"
        self.der_path.write_bytes(self.der)
        self.pem_path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        self.key_path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        self.options = ("--certificate", str(self.der_path), "--key", str(self.key_path))


@pytest.fixture(scope="session")
def plant_server() -> Iterator[ServerProcess]:
    """A server without security that nobody kills."""
    server = ServerProcess()
    yield server
    server.stop()


@pytest.fixture
def start() -> Iterator[Callable[..., ServerProcess]]:
    """Start servers of a test's own."""
    started: list[ServerProcess] = []

    def begin(*options: str, port: int = 0) -> ServerProcess:
        started.append(ServerProcess(*options, port=port))
        return started[-1]

    yield begin
    for server in started:
        server.thaw() if server.process.poll() is None else None
        server.stop()


@pytest.fixture(scope="session")
def server_certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return Certificate(tmp_path_factory.mktemp("server"), "plc")


@pytest.fixture(scope="session")
def other_certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return Certificate(tmp_path_factory.mktemp("other"), "impostor", expired=True)


@pytest.fixture(scope="session")
def secure_server(server_certificate: Certificate) -> Iterator[ServerProcess]:
    server = ServerProcess(*server_certificate.options)
    yield server
    server.stop()


@pytest.fixture
async def linked(plant_server, tmp_path):
    """A connected link to some tags of the plant server; closed at the end."""
    links = []

    async def connect(*tags, clock=None, **settings):
        links.append(link_to(device(plant_server.endpoint, **settings), tags, tmp_path, clock))
        await links[-1].connect()
        return links[-1]

    yield connect
    for link in links:
        await link.close()
