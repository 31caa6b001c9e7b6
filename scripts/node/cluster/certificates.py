"""The cluster's own authority, and the certificates of servers and of those who ask them, made fresh."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from .place import CERTIFICATES, SERVER

VALID = timedelta(days=30)
"""Of a node that is brought up for tests and trials."""
_CLOCKS_DIFFER = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Pair:
    """The files of a certificate and its key."""

    certificate: Path
    key: Path


class Authority:
    """Signs certificates. Its own is `CERTIFICATES/ca.crt`; its key is never written."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name("hadal-cluster")
        constraints = x509.BasicConstraints(ca=True, path_length=0)
        builder = _builder(self._name, self._name, self._key).add_extension(constraints, critical=True)
        self.certificate = CERTIFICATES / "ca.crt"
        self.certificate.write_bytes(builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM))

    def server(self, name: str, hosts: Sequence[str]) -> Pair:
        """A certificate for a server at these names and addresses."""
        found = x509.SubjectAlternativeName([_host(host) for host in hosts])
        return self._signed(name, _name(name), ExtendedKeyUsageOID.SERVER_AUTH, found)

    def client(self, file: str, user: str, *groups: str) -> Pair:
        """A certificate by which Kubernetes knows `user`, a member of `groups`."""
        return self._signed(file, _name(user, *groups), ExtendedKeyUsageOID.CLIENT_AUTH)

    def kubeconfig(self, path: Path, user: str, *groups: str) -> Path:
        """Write a kubeconfig for `user`."""
        pair = self.client(path.stem, user, *groups)
        cluster = f'{{server: "{SERVER}", certificate-authority: "{self.certificate}"}}'
        keys = f'{{client-certificate: "{pair.certificate}", client-key: "{pair.key}"}}'
        write_private(
            path,
            f"""apiVersion: v1
kind: Config
clusters: [{{name: hadal, cluster: {cluster}}}]
users: [{{name: hadal, user: {keys}}}]
contexts: [{{name: hadal, context: {{cluster: hadal, user: hadal}}}}]
current-context: hadal
""",
        )
        return path

    def _signed(
        self,
        file: str,
        subject: x509.Name,
        usage: x509.ObjectIdentifier,
        hosts: x509.SubjectAlternativeName | None = None,
    ) -> Pair:
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(subject, self._name, key)
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        if hosts is not None:
            builder = builder.add_extension(hosts, critical=False)
        pair = Pair(CERTIFICATES / f"{file}.crt", CERTIFICATES / f"{file}.key")
        pair.certificate.write_bytes(builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM))
        write_private(pair.key, _pem(key))
        return pair


def signing_key(path: Path) -> Path:
    """A key that signs the tokens of ServiceAccounts."""
    write_private(path, _pem(ec.generate_private_key(ec.SECP256R1())))
    return path


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read."""
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCKS_DIFFER)
        .not_valid_after(now + VALID)
    )


def _name(user: str, *groups: str) -> x509.Name:
    of = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    return x509.Name([*of, x509.NameAttribute(NameOID.COMMON_NAME, user)])


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()
