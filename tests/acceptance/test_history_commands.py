"""Maps as of an instant, granules and announcements, as commands."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.factories import inputs
from tests.factories.commands import Place
from tests.factories.inputs import FIRST
from tests.factories.publishing import Press

NOON = datetime(2024, 5, 6, 12, tzinfo=UTC)


@pytest.fixture
def place(database, tmp_path: Path) -> Place:
    return Place(tmp_path / "home", database.url)


@pytest.fixture
def press(database, place) -> Press:
    return Press.of(database.engine, place.home)


@pytest.mark.long
def test_maps_as_they_are_and_as_they_were(place, press):
    old = press.publish(FIRST, NOON)
    new = press.publish(FIRST, NOON + timedelta(days=1))
    other = press.publish(FIRST + timedelta(days=1), NOON + timedelta(days=1))

    def items(*options):
        return [m["item_id"] for m in place.answer("maps", *options)["maps"]]

    assert items("list", "tiny") == [new.item_id, other.item_id]
    assert items("list", "tiny", "--as-of", "2024-05-06") == [old.item_id]
    assert items("list", "tiny", "--as-of", "2024-05-06T13:59:59+02:00") == []
    west, south, east, north = inputs.COARSE.bbox()
    assert items("search", "--bbox", f"{west},{south},{east},{north}", "--to", str(FIRST)) == [
        new.item_id
    ]
    table = place.run("maps", "list", "tiny", "--as-of", "2024-05-06").stdout
    assert old.item_id in table
    assert "1 maps as of 2024-05-06T23:59:59.999999+00:00" in table
    naive = place.run("maps", "list", "tiny", "--as-of", "2024-05-06T12:00:00", code=2)
    assert "no time zone" in naive.stderr
    assert "was ever made here" in place.run("maps", "list", "none", code=1).stderr
    report = place.answer("validate", "tiny", "--as-of", "2024-05-06")
    assert report["as_of"].startswith("2024-05-06")
    assert (
        "leave --as-of out"
        in place.run(
            "validate", "tiny", "--truth", place.home, "--as-of", "2024-05-06", code=2
        ).stderr
    )


@pytest.mark.long
def test_a_granule_is_shown_tried_and_withdrawn(place, press, database):
    inputs.put(press.place, "W", "swvl1", inputs.FINE, inputs.wetness(FIRST), FIRST)
    [granule] = place.answer("granules", "list", "--source", "W", "--from", str(FIRST))
    shown = place.answer("granules", "show", "W", granule["name"])
    assert [layer["live"] for layer in shown["layers"]] == [True]
    options = ("granules", "withdraw", "W", granule["name"], "--reason", "bad orbit")
    assert "would withdraw" in place.run(*options, "--dry-run").stdout
    assert place.answer("granules", "list", "--withdrawn") == []
    done = place.answer(*options)
    assert (done["granules"], done["superseded"], done["restored"]) == (1, 1, 0)
    assert "withdrawn before" in place.run(*options).stdout
    assert "bad orbit" in place.run("granules", "show", "W", granule["name"]).stdout
    assert "1 withdrawn" in place.run("granules", "list").stdout
    assert place.run(*options[:-2], code=2).returncode == 2
    missing = place.run("granules", "withdraw", "W", "none", "--reason", "r", code=1)
    assert "no granule of W" in missing.stderr


def test_announcements_are_listed_and_followed(place, press, database):
    first = press.publish(FIRST)
    listed = place.answer("announcements", "list", "--since", str(datetime.now(UTC).date()))
    assert [(one["kind"], one["item_id"]) for one in listed] == [("new", first.item_id)]
    assert place.answer("announcements", "list", "--since", "2999-01-01") == []
    assert first.item_id in place.run("announcements", "list").stdout
    following = place.start("announcements", "follow", "--after", "0", "--json")
    try:
        assert following.stdout is not None
        assert json.loads(following.stdout.readline())["item_id"] == first.item_id
        second = press.publish(FIRST)
        assert json.loads(following.stdout.readline())["item_id"] == second.item_id
        assert json.loads(following.stdout.readline())["successor"] == second.item_id
    finally:
        following.terminate()
        following.communicate()
    undeclared = place.run("announcements", "deliver", code=2)
    assert "no receiver is declared (3 announcements wait)" in undeclared.stderr


def test_a_delivery_that_fails_is_told_and_keeps_its_secrets(place, press, monkeypatch, tmp_path):
    press.publish(FIRST)
    secret = tmp_path / "secret"
    secret.write_text("correct horse battery staple")
    place.home.mkdir(exist_ok=True)
    config = tmp_path / "settings.toml"
    config.write_text(
        f'home = "{place.home}"\nwebhook_url = "http://127.0.0.1:9/unguessable"\n'
        f'webhook_secret_file = "{secret}"\n'
    )
    deliver = ("--config", config, "announcements", "deliver")
    assert "1 waiting" in place.run(*deliver, "--dry-run").stdout
    failed = place.run(*deliver, code=3)
    assert "Connection refused" in failed.stderr
    assert "next attempt after" in failed.stderr
    assert place.answer(*deliver, code=3)["state"] == "waiting"
    for said in (failed.stdout, failed.stderr):
        assert "unguessable" not in said
        assert "staple" not in said
    with press.place.engine.connect() as connection:
        assert connection.scalar(text("SELECT failures FROM smcatalog.webhooks")) == 1
