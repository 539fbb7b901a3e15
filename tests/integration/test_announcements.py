"""What became of maps is told once it is committed, in order, and to the webhook until it has taken it."""

from __future__ import annotations

import json
import logging
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from sqlalchemy import text

from smcatalog.core.errors import ConfigurationError
from smcatalog.core.maps import MapStatus
from smcatalog.core.settings import Settings
from smcatalog.database import announcements as db
from smcatalog.database.announcements import Kind
from smcatalog.database.engine import transaction
from smcatalog.services import announce
from smcatalog.services import webhook as webhooks
from smcatalog.services.announce import DeliveryState, deliver, follow
from smcatalog.services.webhook import sign
from tests.factories.inputs import FIRST
from tests.factories.publishing import Press

SECRET = b"correct horse battery staple"
SECOND = FIRST + timedelta(days=1)


@pytest.fixture
def press(database, tmp_path) -> Press:
    return Press.of(database.engine_for("smcatalog_writer"), tmp_path / "home")


def told(press: Press, **more) -> list[tuple[str, str]]:
    found = transaction(press.place.engine, lambda c: db.announced(c, **more))
    return [(one.kind.value, one.item_id) for one in found]


# -- in the database


def test_new_superseded_and_withdrawn_are_told_in_order(press):
    first = press.publish(FIRST, status=MapStatus.PROVISIONAL)
    second = press.publish(FIRST)
    press.withdraw(FIRST, "wrong")
    third = press.publish(FIRST)
    assert told(press) == [
        ("new", first.item_id),
        ("new", second.item_id),
        ("superseded", first.item_id),
        ("withdrawn", second.item_id),
        ("new", third.item_id),
    ]
    found = transaction(press.place.engine, db.announced)
    assert [one.id for one in found] == sorted(one.id for one in found)
    assert [one.successor for one in found] == [None, None, second.item_id, None, None]
    assert [one.withdrawn_reason for one in found] == [None, None, None, "wrong", None]
    assert [one.status for one in found[:2]] == ["provisional", "final"]
    assert found[0].happened_at == first.published_at
    assert found[2].happened_at == second.published_at
    assert told(press, after=found[3].id) == [("new", third.item_id)]
    assert told(press, limit=2, newest=True) == told(press)[-2:]
    assert told(press, since=datetime.now(UTC) + timedelta(hours=1)) == []


def test_what_is_notified_comes_with_the_commit_and_not_before(press, database):
    with database.connect("smcatalog_analyst") as listening:
        listening.execute(f"LISTEN {db.CHANNEL}")
        published = press.publish(FIRST)
        [notified] = listening.notifies(timeout=10, stop_after=1)
        payload = json.loads(notified.payload)
        assert payload == {
            "id": payload["id"], "kind": "new", "product": "tiny", "day": str(FIRST),
            "item_id": published.item_id,
        }  # fmt: skip
        with press.place.engine.connect() as connection:
            key = connection.scalar(text("SELECT id FROM smcatalog.maps"))
            connection.rollback()
            announcing = connection.begin()
            db.announce(connection, [(Kind.WITHDRAWN, key)])
            assert list(listening.notifies(timeout=0.2)) == []
            announcing.rollback()
            with connection.begin():
                db.announce(connection, [(Kind.SUPERSEDED, key)])
        [notified] = listening.notifies(timeout=10, stop_after=1)
        assert json.loads(notified.payload)["kind"] == "superseded"


def test_a_publication_that_fails_late_tells_nothing(press, monkeypatch):
    def broken(*_):
        raise RuntimeError("cut off")

    monkeypatch.setattr("smcatalog.services.publish.announce", broken)
    with pytest.raises(RuntimeError, match="cut off"):
        press.publish(FIRST)
    assert told(press) == []
    assert press.items() == {}


def test_keys_are_in_the_order_of_commits(press):
    """Whoever has seen a key never meets a smaller one later."""
    press.publish(FIRST)
    press.publish(SECOND)
    engine = press.place.engine
    with engine.connect() as slow:
        maps = slow.scalars(text("SELECT id FROM smcatalog.maps ORDER BY id")).all()
        slow.rollback()
        turn = slow.begin()
        db.announce(slow, [(Kind.SUPERSEDED, maps[0])])
        done = threading.Event()

        def fast():
            transaction(engine, lambda c: db.announce(c, [(Kind.SUPERSEDED, maps[1])]))
            done.set()

        other = threading.Thread(target=fast)
        other.start()
        assert not done.wait(0.3)  # it may not overtake
        assert len(told(press)) == 2
        turn.commit()
        other.join(10)
    assert len(told(press)) == 4


def test_followers_catch_up_and_then_hear_each_as_it_comes(press):
    items = [press.publish(FIRST).item_id]
    following = follow(press.place.engine, after=0, poll_seconds=60)
    assert next(following).item_id == items[0]
    publish = threading.Timer(0.3, lambda: items.append(press.publish(SECOND).item_id))
    publish.start()
    heard = next(following)
    publish.join()
    assert heard.item_id == items[1]
    following.close()


def test_followers_hear_what_comes_from_now_on(press):
    before = press.publish(FIRST).item_id
    following = follow(press.place.engine, poll_seconds=60)
    heard = threading.Event()

    def go_on() -> None:  # nobody knows at which instant the follower begins to listen
        while not heard.wait(0.05):
            press.publish(SECOND)

    publishing = threading.Thread(target=go_on)
    publishing.start()
    found = [next(following), next(following)]
    heard.set()
    publishing.join()
    following.close()
    assert before not in {one.item_id for one in found}
    assert found[0].id < found[1].id


# -- the webhook


@dataclass
class Receiver:
    """A receiver that does as it is told, and keeps what it took."""

    plan: list[str] = field(default_factory=list)
    taken: list[dict] = field(default_factory=list)
    asked: int = 0
    keys: list[str] = field(default_factory=list)
    headers: list[dict] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    release: threading.Event = field(default_factory=threading.Event)
    reached: threading.Event = field(default_factory=threading.Event)
    address: str = ""

    @property
    def ids(self) -> list[int]:
        return [one["id"] for one in self.taken]

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        self.asked += 1
        self.reached.set()
        body = handler.rfile.read(int(handler.headers["Content-Length"]))
        self.headers.append(dict(handler.headers))
        self.bodies.append(body)
        what = self.plan.pop(0) if self.plan else "204"
        if what == "hang":
            self.release.wait(20)
            return
        if what == "cut":
            return
        if what == "trickle":
            for _ in range(200):
                if self.release.wait(0.05):
                    return
                handler.wfile.write(b"H")
            return
        status, *more = what.split()
        if status.startswith("2") or status == "taken-but-500":
            assert handler.headers["Smcatalog-Signature"]
            self.taken += json.loads(body)["announcements"]
            self.keys.append(handler.headers["Idempotency-Key"])
        handler.send_response(500 if status == "taken-but-500" else int(status))
        for name, value in (one.split("=") for one in more):
            handler.send_header(name, value)
        handler.end_headers()


@contextmanager
def receiving(*plan: str) -> Iterator[Receiver]:
    receiver = Receiver(list(plan))

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            with suppress(ConnectionError):  # the sender has given up
                receiver.answer(self)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    receiver.address = f"http://127.0.0.1:{server.server_port}/hook?key=unguessable"
    try:
        yield receiver
    finally:
        receiver.release.set()
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def secret_file(tmp_path: Path) -> Path:
    path = tmp_path / "webhook.secret"
    path.write_bytes(SECRET + b"\n")
    return path


class Clock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def run(press, secret_file, tmp_path):
    """Return a function that delivers to a receiver."""
    clock = Clock()

    def deliver_to(receiver, later=timedelta(0), **more):
        clock.now += later
        settings = Settings(tmp_path, tmp_path, webhook_url=receiver.address,
                            webhook_secret_file=secret_file)  # fmt: skip
        return deliver(press.place.engine, settings, clock=clock, **more)

    return deliver_to


def ids(press) -> list[int]:
    return [one.id for one in transaction(press.place.engine, db.announced)]


def test_messages_are_signed_and_recorded(press, run):
    press.publish(FIRST)
    press.publish(FIRST)
    with receiving() as receiver:
        assert run(receiver, dry_run=True).waiting == 3
        assert receiver.asked == 0
        report = run(receiver)
        assert (report.state, report.delivered, report.waiting) == (DeliveryState.DONE, 3, 0)
        assert run(receiver).delivered == 0
    assert receiver.asked == 1
    assert receiver.ids == ids(press)
    assert receiver.taken[2]["kind"] == "superseded"
    assert receiver.taken[2]["successor"] == receiver.taken[1]["item_id"]
    assert datetime.fromisoformat(receiver.taken[0]["happened_at"]).utcoffset() == timedelta(0)
    [headers], [body] = receiver.headers, receiver.bodies
    seconds = headers["Smcatalog-Signature"].partition(",")[0].removeprefix("t=")
    assert headers["Smcatalog-Signature"] == sign(SECRET, body, int(seconds))
    assert headers["Content-Type"] == "application/json"
    with press.place.engine.connect() as connection:
        row = connection.execute(
            text("SELECT count(*), count(delivered_at) FROM views.announcements")
        ).one()
    assert tuple(row) == (3, 3)


def test_so_many_at_a_time(press, run, monkeypatch):
    assert announce._BATCH == 100
    monkeypatch.setattr(announce, "_BATCH", 5)
    for number in range(8):
        press.publish(FIRST + timedelta(days=number))
    with receiving() as receiver:
        assert run(receiver).delivered == 8
    assert [len(json.loads(body)["announcements"]) for body in receiver.bodies] == [5, 3]
    assert receiver.ids == ids(press)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("500", "the receiver answered 500"),
        ("503", "the receiver answered 503"),
        ("302 Location=http://127.0.0.1:1/", "the receiver answered 302"),
        ("cut", "the connection failed: RemoteDisconnected"),
        ("hang", "no answer in time"),
        ("trickle", "no answer in time"),
    ],
)
def test_a_fault_is_tried_again_later_and_nothing_is_lost(press, run, monkeypatch, fault, said):
    make = webhooks.Webhook.of
    monkeypatch.setattr(
        webhooks.Webhook,
        "of",
        lambda settings: webhooks.Webhook(
            make(settings).parts, make(settings).secret, step_seconds=0.5, total_seconds=1.0
        ),
    )
    press.publish(FIRST)
    with receiving(fault, fault) as receiver:
        failed = run(receiver)
        assert (failed.state, failed.error) == (DeliveryState.WAITING, said)
        assert failed.next_attempt_at is not None
        press.publish(SECOND)
        assert run(receiver, timedelta(seconds=29)).state is DeliveryState.WAITING
        assert receiver.asked == 1  # not before its time
        second = run(receiver, timedelta(seconds=1))
        assert second.next_attempt_at - failed.next_attempt_at == timedelta(seconds=60)
        assert run(receiver, timedelta(seconds=59)).delivered == 0
        done = run(receiver, timedelta(seconds=1))
        assert (done.state, done.delivered, done.error) == (DeliveryState.DONE, 2, None)
    assert receiver.ids == ids(press)


def test_more_time_is_given_when_it_is_asked_for(press, run):
    press.publish(FIRST)
    with receiving("503 Retry-After=120", "503 Retry-After=9999999") as receiver:
        failed = run(receiver)
        assert run(receiver, timedelta(seconds=119)).delivered == 0
        again = run(receiver, timedelta(seconds=1))
        assert again.next_attempt_at - failed.next_attempt_at == timedelta(hours=6)
        assert run(receiver, force=True).delivered == 1
    assert receiver.asked == 3


def test_one_that_is_gone_is_left_alone(press, run):
    press.publish(FIRST)
    with receiving("410") as receiver, receiving() as other:
        assert run(receiver).state is DeliveryState.STOPPED
        report = run(receiver, timedelta(days=1))
        assert (report.state, report.error) == (
            DeliveryState.STOPPED, "the receiver answered 410",
        )  # fmt: skip
        assert receiver.asked == 1
        assert run(other).delivered == 1  # another address starts anew
        press.publish(SECOND)
        assert run(receiver).state is DeliveryState.STOPPED
        assert run(receiver, force=True).delivered == 1
        press.publish(FIRST)
        assert run(receiver).delivered == 2


def test_what_nobody_takes_is_given_up_with_the_reason(press, run):
    press.publish(FIRST)
    with receiving("500") as receiver:
        run(receiver)
        press.publish(SECOND)
        with press.place.engine.begin() as connection:
            connection.execute(
                text(
                    "UPDATE smcatalog.announcements SET announced_at = announced_at - interval '8 days' "
                    "WHERE id = (SELECT min(id) FROM smcatalog.announcements)"
                )
            )
        report = run(receiver, timedelta(hours=1))
        assert (report.abandoned, report.delivered) == (1, 1)
    with press.place.engine.connect() as connection:
        reasons = connection.scalars(
            text("SELECT abandoned_reason FROM views.announcements ORDER BY id")
        ).all()
    assert reasons == ["not taken for 7 days: the receiver answered 500", None]
    assert receiver.ids == ids(press)[1:]


def test_one_process_delivers_at_a_time(press, run):
    press.publish(FIRST)
    with receiving("hang") as receiver:
        reports = []
        first = threading.Thread(target=lambda: reports.append(run(receiver)))
        first.start()
        assert receiver.reached.wait(10)
        assert run(receiver).state is DeliveryState.BUSY
        receiver.release.set()
        first.join()
        assert [report.state for report in reports] == [DeliveryState.WAITING]
        assert run(receiver, force=True).delivered == 1
    assert receiver.asked == 2


@pytest.mark.parametrize("seed", range(2))
def test_whatever_fails_everything_arrives_in_order(press, run, seed):
    """Faults at random while maps are published: each at least once, never a newer one before it."""
    chance = random.Random(seed)
    plan = [chance.choice(["500", "503", "cut", "204", "taken-but-500"]) for _ in range(30)]
    with receiving(*plan) as receiver:
        for _ in range(20):
            press.publish(FIRST + timedelta(days=chance.randrange(3)))
            run(receiver, timedelta(hours=6))
        while run(receiver, timedelta(hours=6)).waiting:
            pass
    first_seen = list(dict.fromkeys(receiver.ids))
    assert first_seen == ids(press)
    assert len(receiver.ids) > len(first_seen)  # some twice: at least once is what is promised


def test_the_secret_and_the_address_are_kept_nowhere(press, run, database, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    press.publish(FIRST)
    with receiving("500") as receiver:
        report = run(receiver)
        run(receiver, timedelta(minutes=1))
    with database.connect() as connection:
        tables = connection.execute(
            "SELECT oid::regclass::text FROM pg_class WHERE relkind = 'r' "
            "AND relnamespace = 'smcatalog'::regnamespace"
        ).fetchall()
        kept = "".join(
            str(connection.execute(f"SELECT * FROM {name}").fetchall()) for (name,) in tables
        )
    out, err = capfd.readouterr()
    for place in (kept, caplog.text, out, err, str(report), repr(webhooks_of(receiver, press))):
        assert SECRET.decode() not in place
        assert "unguessable" not in place


def webhooks_of(receiver: Receiver, press: Press) -> object:
    path = press.place.settings.home / "secret"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(SECRET)
    settings = Settings(path, path, webhook_url=receiver.address, webhook_secret_file=path)
    return settings, webhooks.Webhook.of(settings)


def test_without_a_receiver_nothing_is_posted(press, tmp_path):
    press.publish(FIRST)
    report = deliver(press.place.engine, Settings(tmp_path, tmp_path))
    assert (report.state, report.waiting) == (DeliveryState.OFF, 1)
    with pytest.raises(ConfigurationError, match="SMCATALOG_WEBHOOK_SECRET_FILE"):
        deliver(
            press.place.engine, Settings(tmp_path, tmp_path, webhook_url="https://example.org/")
        )


def test_a_receiver_that_is_not_there(press, run):
    press.publish(date(2020, 2, 1))
    with receiving() as receiver:
        pass
    assert run(receiver).error == "the connection failed: Connection refused"
