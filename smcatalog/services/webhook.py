"""The webhook: one signed POST to the one declared receiver, straight, without redirects and without proxies."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import ipaddress
import socket
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import Final, Self
from urllib.parse import SplitResult, urlsplit

from smcatalog.core.errors import ConfigurationError
from smcatalog.core.settings import Settings

__all__ = ["Answer", "DeliveryError", "Webhook", "address_sha256", "sign"]

_SECRET_BYTES: Final = 16
_STEP_SECONDS: Final = 10.0
_TOTAL_SECONDS: Final = 30.0


class DeliveryError(Exception):
    """The receiver could not be asked, or gave no answer; the message says why and holds no address."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the receiver answered.

    Parameters
    ----------
    status : int
        HTTP status.
    retry_after : float or None
        Seconds for which it asks to be left alone.
    """

    status: int
    retry_after: float | None = None


def address_sha256(url: str) -> str:
    """Return the checksum of a receiver's address, by which the database knows it.

    Raises
    ------
    ConfigurationError
        When it is no address.
    """
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise ConfigurationError(
            "SMCATALOG_WEBHOOK_URL is not an address: its host or port is wrong"
        ) from error
    return hashlib.sha256(parts.geturl().encode()).hexdigest()


def sign(secret: bytes, body: bytes, seconds: int) -> str:
    """Return the signature of a body: the time of signing and the HMAC-SHA-256 of time and body.

    Parameters
    ----------
    secret : bytes
        Shared with the receiver.
    seconds : int
        Unix time of signing; signed as well, so that nobody can send an old message as a new one.
    """
    digest = hmac.new(secret, b"%d." % seconds + body, hashlib.sha256)
    return f"t={seconds},v1={digest.hexdigest()}"


@dataclass(frozen=True, slots=True)
class Webhook:
    """The declared receiver.

    Parameters
    ----------
    parts : SplitResult
        Its address.
    secret : bytes
        What messages are signed with.
    step_seconds : float
        How long connecting, sending or receiving may pause [s].
    total_seconds : float
        How long the whole exchange may take [s].
    """

    parts: SplitResult = field(repr=False)
    secret: bytes = field(repr=False)
    step_seconds: float = _STEP_SECONDS
    total_seconds: float = _TOTAL_SECONDS

    @classmethod
    def of(cls, settings: Settings) -> Self | None:
        """Return the receiver that the settings declare, or None when they declare none.

        Raises
        ------
        ConfigurationError
            When the address is not one that may be posted to, or the secret cannot be read.
        """
        if settings.webhook_url is None:
            return None
        return cls(_checked(settings.webhook_url), _read_secret(settings.webhook_secret_file))

    @property
    def address_sha256(self) -> str:
        """Checksum of the address, by which the database knows the receiver."""
        return address_sha256(self.parts.geturl())

    def post(self, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Post a body and return the answer, whatever its status; redirects are answers too.

        Raises
        ------
        DeliveryError
            When there is no answer.
        """
        connection = self._connection()
        late = threading.Event()

        def stop() -> None:
            late.set()
            if (channel := connection.sock) is not None:
                with contextlib.suppress(OSError):
                    channel.shutdown(socket.SHUT_RDWR)

        # the timeout of a socket starts anew with every byte that trickles in
        watch = threading.Timer(self.total_seconds, stop)
        watch.start()
        try:
            return self._exchange(connection, body, headers)
        except (OSError, HTTPException) as error:
            raise DeliveryError(_why(error, late=late.is_set())) from error
        finally:
            watch.cancel()
            connection.close()

    def _connection(self) -> HTTPConnection:
        host = self.parts.hostname or ""
        if self.parts.scheme == "http":
            return HTTPConnection(host, self.parts.port, timeout=self.step_seconds)
        context = ssl.create_default_context()
        return HTTPSConnection(host, self.parts.port, timeout=self.step_seconds, context=context)

    def _exchange(
        self, connection: HTTPConnection, body: bytes, headers: Mapping[str, str]
    ) -> Answer:
        connection.connect()
        # asked of the connection itself: a name may lead elsewhere each time it is looked up
        if problem := _unfit(connection.sock.getpeername()[0]):
            raise DeliveryError(f"the host's name leads to {problem}, where nothing is posted to")
        target = self.parts.path or "/"
        if self.parts.query:
            target += f"?{self.parts.query}"
        connection.request("POST", target, body, dict(headers))
        response = connection.getresponse()
        return Answer(response.status, _seconds(response.getheader("Retry-After")))


def _checked(url: str) -> SplitResult:
    """Check the address of a receiver.

    The messages do not repeat it: whoever knows a receiver's address can often post to it.
    """
    where = "SMCATALOG_WEBHOOK_URL"
    if any(ord(sign) <= ord(" ") or ord(sign) > ord("~") for sign in url):
        raise ConfigurationError(
            f"{where} holds blanks or signs that an address cannot have: write them percent-encoded"
        )
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigurationError(f"{where} is not an address: its host or port is wrong") from error
    if parts.scheme not in {"http", "https"}:
        raise ConfigurationError(
            f"{where} must begin with https:// (or http:// in a private network)"
        )
    if not host or port == 0:
        raise ConfigurationError(f"{where} names no host: write it as https://host/path")
    if parts.username is not None or parts.password is not None:
        raise ConfigurationError(
            f"{where} holds a user's name or password: leave them out, messages are signed with the "
            "secret in SMCATALOG_WEBHOOK_SECRET_FILE"
        )
    if parts.fragment:
        raise ConfigurationError(
            f"{where} ends in '#...', which no receiver gets to see: leave it out"
        )
    if problem := _unfit(host):
        raise ConfigurationError(f"{where} leads to {problem}, where nothing is posted to")
    return parts


def _unfit(host: str) -> str | None:
    """Say what is wrong with a host that is given by its number; None for a good one, and for a name.

    Private networks are fine: receivers are often neighbours. Link-local addresses are where clouds hand out
    their machines' credentials.
    """
    try:
        number = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    if isinstance(number, ipaddress.IPv6Address) and number.ipv4_mapped is not None:
        number = number.ipv4_mapped
    for wrong, name in (
        (number.is_link_local, "a link-local address"),
        (number.is_multicast, "a multicast address"),
        (number.is_unspecified, "no address"),
        (number.is_reserved and not number.is_loopback, "a reserved address"),
    ):
        if wrong:
            return name
    return None


def _read_secret(path: Path | None) -> bytes:
    if path is None:
        raise ConfigurationError(
            "SMCATALOG_WEBHOOK_URL is set, but not SMCATALOG_WEBHOOK_SECRET_FILE: name a file with the "
            "secret that messages are signed with"
        )
    try:
        secret = path.read_bytes().strip(b"\r\n")
    except OSError as error:
        raise ConfigurationError(
            f"cannot read the webhook's secret in {path}: {error.strerror}"
        ) from error
    if len(secret) < _SECRET_BYTES:
        raise ConfigurationError(
            f"the webhook's secret in {path} has {len(secret)} bytes: it needs {_SECRET_BYTES} or more, e.g. "
            "from 'openssl rand -hex 32'"
        )
    return secret


def _seconds(header: str | None) -> float | None:
    """Read Retry-After; its form as a date is passed over, as are the answers that lack it."""
    text = (header or "").strip()
    return float(text) if text.isascii() and text.isdigit() else None


def _why(error: Exception, *, late: bool) -> str:
    if late or isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, socket.gaierror):
        return "the host's name is not known"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the host's certificate is not trusted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"no secure connection: {error.reason}"
    if isinstance(error, OSError) and error.strerror:
        return f"the connection failed: {error.strerror}"
    return f"the connection failed: {type(error).__name__}"
