"""The planner that stays: it wakes the workers at its hour, and no outage costs a night."""

import os
import signal
from datetime import UTC, datetime, time, timedelta

import pytest
import structlog
from structlog.testing import capture_logs

from smcatalog.cli import nightly
from smcatalog.core.errors import DatabaseUnavailable


def test_the_following_night():
    hour = time(2, 30)
    early = datetime(2024, 2, 29, 2, 29, 59, tzinfo=UTC)
    assert nightly._following(early, hour) == datetime(2024, 2, 29, 2, 30, tzinfo=UTC)
    at = datetime(2024, 2, 29, 2, 30, tzinfo=UTC)
    assert nightly._following(at, hour) == datetime(2024, 3, 1, 2, 30, tzinfo=UTC)


@pytest.fixture
def signals():
    structlog.reset_defaults()  # a command that ran before may have left informative lines out
    former = {n: signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in former.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("signals")
def test_it_tries_again_until_the_workers_are_awake_and_ends_when_asked(monkeypatch):
    nights = []
    due = [datetime.now(UTC) - timedelta(seconds=1)]

    def wake(_workspace, _settings, products):
        nights.append(list(products))
        if len(nights) < 3:
            raise [DatabaseUnavailable("no database answers"), PermissionError("the inbox")][
                len(nights) - 1
            ]
        os.kill(os.getpid(), signal.SIGTERM)
        return ("yanco",), 4

    def following(now, _hour):
        return due.pop() if due else now + timedelta(hours=1)

    monkeypatch.setattr(nightly, "_wake", wake)
    monkeypatch.setattr(nightly, "_following", following)
    monkeypatch.setattr(nightly, "_MINUTE", 0.01)
    with capture_logs() as logs:
        nightly._stay(None, None, ["yanco"], time(2, 30))
    assert nights == [["yanco"]] * 3
    assert [(line["log_level"], line.get("inbox_jobs")) for line in logs] == [
        *[("warning", None)] * 2,
        ("info", 4),
    ]
    assert "no database answers" in logs[0]["error"]
