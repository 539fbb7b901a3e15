"""Which receivers are fit, what is signed, and that the documented receiver verifies it."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from smcatalog.core.errors import ConfigurationError
from smcatalog.core.settings import Settings
from smcatalog.services.announce import _pause
from smcatalog.services.webhook import DeliveryError, Webhook, sign

DOCUMENT = Path(__file__).parents[2] / "docs" / "announcements.md"
SECRET = b"0123456789abcdef"


def webhook(tmp_path: Path, url: str, secret: bytes = SECRET) -> Webhook | None:
    file = tmp_path / "secret"
    file.write_bytes(secret)
    return Webhook.of(Settings(tmp_path, tmp_path, webhook_url=url, webhook_secret_file=file))


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org",
        "https://example.org:8443/a/b?c=d",
        "http://receiver.internal/hook",
        "http://10.1.2.3/hook",
        "http://[fd00::1]:8080/hook",
    ],
)
def test_fit_receivers(tmp_path, url):
    found = webhook(tmp_path, url)
    assert found is not None
    assert found.parts.geturl() == url


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("ftp://example.org/", "must begin with https"),
        ("file:///etc/passwd", "must begin with https"),
        ("example.org/hook", "must begin with https"),
        ("https:///hook", "names no host"),
        ("https://example.org:0/", "names no host"),
        ("https://example.org:port/", "host or port is wrong"),
        ("https://[fe80/", "host or port is wrong"),
        ("https://user:hidden@example.org/", "user's name or password"),
        ("https://hidden@example.org/", "user's name or password"),
        ("https://example.org/ hidden", "blanks"),
        ("https://example.org/\nhidden", "blanks"),
        ("https://exämple.org/", "percent-encoded"),
        ("https://example.org/#hidden", "no receiver gets to see"),
        ("http://169.254.169.254/hidden", "a link-local address"),
        ("http://[::ffff:169.254.169.254]/", "a link-local address"),
        ("http://[fe80::1%25eth0]/", "a link-local address"),
        ("http://0.0.0.0/", "no address"),
        ("http://224.0.0.1/", "a multicast address"),
        ("http://255.255.255.255/", "a reserved address"),
    ],
)
def test_unfit_receivers_are_refused_and_not_repeated(tmp_path, url, said):
    with pytest.raises(ConfigurationError, match=said) as refusal:
        webhook(tmp_path, url)
    assert "hidden" not in str(refusal.value)


def test_a_secret_must_be_there_and_long_enough(tmp_path):
    with pytest.raises(ConfigurationError, match="has 15 bytes"):
        webhook(tmp_path, "https://example.org/", SECRET[1:] + b"\n")
    with pytest.raises(ConfigurationError, match="No such file"):
        Webhook.of(
            Settings(tmp_path, tmp_path, webhook_url="https://example.org/",
                     webhook_secret_file=tmp_path / "none")
        )  # fmt: skip
    assert Webhook.of(Settings(tmp_path, tmp_path)) is None


def test_a_name_that_leads_where_nothing_is_posted_to(tmp_path, monkeypatch):
    """The name is looked up when it is connected to, so that is where its address is checked."""
    found = webhook(tmp_path, "http://receiver.test/")
    assert found is not None

    class Channel:
        def getpeername(self):
            return ("169.254.169.254", 80)

        def close(self):
            pass

    monkeypatch.setattr("socket.create_connection", lambda *_, **__: Channel())
    monkeypatch.setattr(
        "http.client.HTTPConnection.connect", lambda self: setattr(self, "sock", Channel())
    )
    with pytest.raises(DeliveryError, match="leads to a link-local address"):
        found.post(b"{}", {})


def test_pauses_double_up_to_six_hours():
    assert [_pause(n).total_seconds() for n in (1, 2, 3, 10, 11, 999)] == [
        *(30, 60, 120, 15360, 21600, 21600),
    ]


def test_the_documented_receiver_verifies_what_is_signed():
    [sample] = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text("utf-8"), re.DOTALL)
    names: dict[str, object] = {}
    exec(compile(sample, str(DOCUMENT), "exec"), names)  # noqa: S102 - our own document
    is_genuine = names["is_genuine"]
    now = int(time.time())
    body = b'{"announcements":[]}'
    header = sign(SECRET, body, now)
    assert is_genuine(SECRET, header, body)
    assert not is_genuine(SECRET, header, body + b" ")
    assert not is_genuine(SECRET[::-1], header, body)
    assert not is_genuine(SECRET, header.replace(f"t={now}", f"t={now + 1}"), body)
    assert not is_genuine(SECRET, sign(SECRET, body, now - 301), body)
    assert not is_genuine(SECRET, "", body)
    assert not is_genuine(SECRET, "t=,v1=", body)
