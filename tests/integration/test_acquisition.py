"""Acquisition through the real client libraries, from a server on this machine that speaks as the providers do."""

from __future__ import annotations

import hashlib
import json
import logging
import re
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from urllib.parse import unquote

import pytest

from ingest.acquisition import service
from ingest.acquisition.download import INCOMPLETE
from ingest.acquisition.faults import AcquisitionError, DiskFullError, StoppedError
from ingest.acquisition.hosts import Endpoints, Hosts
from ingest.acquisition.patience import Pace, Patience
from ingest.acquisition.service import Places, acquire
from ingest.acquisition.values import AcquireReport, Held, Outcome, Request
from smcatalog.cli import main
from smcatalog.core.errors import UsageError
from tests.factories import modis, provider, smap
from tests.factories.certificates import certificate
from tests.factories.commands import REPOSITORY
from tests.factories.provider import Granule, Provider, serving, some_bytes

FIRST, LAST = date(2020, 1, 1), date(2020, 1, 31)
BOX = (104.03, 36.0, 108.0, 39.97)
SIZE = 150_000


@pytest.fixture(scope="module")
def keys(tmp_path_factory) -> tuple[Path, Path]:
    return certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def home(tmp_path_factory) -> Path:
    """The user's home, apart from where files go."""
    return tmp_path_factory.mktemp("user")


@pytest.fixture
def server(keys, home, monkeypatch) -> Iterator[Provider]:
    """Server whose user has a netrc and a cdsapirc, both also with a default that fits every host."""
    with serving(Provider(), *keys) as running:
        netrc, rc = home / "netrc", home / "cdsapirc"
        who = f"login {provider.USER} password {provider.PASSWORD}"
        netrc.write_text(
            f"machine localhost:{running.port} {who}\nmachine localhost {who}\ndefault {who}\n"
        )
        netrc.chmod(0o600)
        rc.write_text(f"url: {running.base}/store\nkey: {provider.KEY}\n")
        for name in (
            "EARTHDATA_TOKEN",
            "EARTHDATA_USERNAME",
            "EARTHDATA_PASSWORD",
            "CDSAPI_URL",
            "CDSAPI_KEY",
        ):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("NETRC", str(netrc))
        monkeypatch.setenv("CDSAPI_RC", str(rc))
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(keys[0]))
        yield running


@pytest.fixture
def month(server) -> Provider:
    """Server with a month of a global and of a tiled source."""
    days = [FIRST + timedelta(days=n) for n in range(31)]
    server.granules = [smap_granule(day) for day in days]
    server.granules += [tile(day, place) for day in days for place in ("h26v05", "h27v05")]
    return server


def smap_granule(day: date, release: str = "R19240_001", **more) -> Granule:
    name = f"SMAP_L3_SM_P_{day:%Y%m%d}_{release}.h5"
    return Granule("SPL3SMP", more.pop("version", "009"), name, some_bytes(name, SIZE), day, **more)


def tile(day: date, place: str, production: str = "2020340120000") -> Granule:
    name = f"MOD11A1.A{day:%Y%j}.{place}.061.{production}.hdf"
    return Granule("MOD11A1", "061", name, some_bytes(name, SIZE // 3), day, "MD5")


def places(server: Provider) -> Places:
    own = f"localhost:{server.port}"
    storage = (f"127.0.0.1:{server.port}",)
    return Places(
        Endpoints(f"{server.base}/search/", own, Hosts((own,), storage)), Hosts((), storage)
    )


class Naps(list):
    """Seconds that would have been waited."""

    def __call__(self, seconds: float) -> None:
        self.append(seconds)


def smap_month(first: date = FIRST, last: date = LAST) -> Request:
    return Request("SPL3SMP", first, last, None)


def tiles_month() -> Request:
    return Request("MOD11A1", FIRST, LAST, BOX)


def soil_month() -> Request:
    return Request("ERA5-Land", FIRST, LAST, BOX, frozenset({"swvl1"}))


def run(
    server: Provider, folder: Path, *requests: Request, naps: Naps | None = None,
    held: Callable[[Request], Held] = lambda _: Held(), tries: int = 6, **more,
) -> AcquireReport:  # fmt: skip
    pace = Pace(Patience(tries=tries), sleep=Naps() if naps is None else naps)
    return acquire(
        requests, held, lambda source: folder / source, places=places(server), pace=pace, **more
    )


def reasons(report: AcquireReport) -> list[str]:
    return [file.reason for file in report.of(Outcome.FAILED)]


def digests(folder: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and INCOMPLETE not in path.parts
    }


def promised(server: Provider, orders: int = 0) -> set[str]:
    contents = [g.content for g in server.granules] + [server.result(n) for n in range(orders)]
    return {hashlib.sha256(content).hexdigest() for content in contents}


def with_fault(kind: str, only: str = "data", times: int = 1) -> provider.Fault:
    """Do wrong a kind of thing the first times that a kind of request comes."""
    left = [times]

    def fault(_: int, request: str) -> str | None:
        if request == only and left[0] > 0:
            left[0] -= 1
            return kind
        return None

    return fault


def every_tenth(server: Provider) -> provider.Fault:
    questions = ("429", "503", "cut", "reset", "html", "503 later", "500")
    bytes_ = ("cut", "429", "bytes", "short", "503", "reset", "html", "long", "401", "html unsaid")

    def fault(number: int, kind: str) -> str | None:
        if number % 10 and number != 3:  # the third asks the store or logs in
            return None
        kinds = bytes_ if kind == "data" else questions
        return kinds[len(server.faults) % len(kinds)]

    return fault


# -- the whole of it ------------------------------------------------------------------------------


def test_a_month_with_a_fault_in_ten_requests_comes_whole(month, tmp_path):
    asked = (smap_month(), tiles_month(), soil_month())
    month.looks = 2
    run(month, tmp_path / "fair", *asked)
    needed = len(month.seen)
    month.seen.clear(), month.orders.clear(), month.looked.clear()
    month.fault = every_tenth(month)

    report = run(month, tmp_path / "foul", *asked)

    assert reasons(report) == []
    assert len(report.of(Outcome.FETCHED)) == 31 + 62 + 1
    assert set(digests(tmp_path / "foul").values()) == promised(month, orders=1)
    assert len(month.faults) >= 0.1 * needed
    assert {s.fault for s in month.faults} >= {
        "429",
        "503",
        "cut",
        "bytes",
        "short",
        "html",
        "long",
        "401",
    }
    # with a token that was refused one logs in again, and that is a request of its own
    refused = sum(s.fault == "401" for s in month.faults)
    assert len(month.seen) == needed + len(month.faults) + refused
    assert not list((tmp_path / "foul").rglob("*.part*"))

    month.fault = lambda _number, _kind: None
    month.seen.clear()
    again = run(month, tmp_path / "foul", *asked)
    assert len(again.of(Outcome.THERE)) == 94
    assert [s.kind for s in month.seen] == ["search", "search"]


def test_no_more_files_at_a_time_than_were_asked_for(month, tmp_path):
    month.slowly = 0.02
    report = run(month, tmp_path, smap_month(), workers=3)
    assert len(report.of(Outcome.FETCHED)) == 31
    assert month.busiest == 3


def test_a_run_that_was_killed_goes_on_in_the_middle(month, keys, tmp_path):
    month.fault = lambda number, kind: "hang" if kind == "data" and number > 8 else None
    script = """
        import sys
        from tests.integration import test_acquisition as t
        from tests.factories.provider import Provider
        from pathlib import Path
        t.run(Provider(port=int(sys.argv[1])), Path(sys.argv[2]), t.smap_month(), workers=2)
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(month.port), str(tmp_path)]
    process = subprocess.Popen(command, cwd=REPOSITORY)
    room = tmp_path / "SPL3SMP" / INCOMPLETE
    try:
        until = time.monotonic() + 30
        # the first two files may be under way, and none whole, when the process gets little of the machine
        while not digests(tmp_path) or sum(p.stat().st_size > 0 for p in room.glob("*.part")) < 2:
            assert time.monotonic() < until
            assert process.poll() is None
            time.sleep(0.02)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    month.released.set()
    had = {part.stem: part.stat().st_size for part in room.glob("*.part")}
    whole = set(digests(tmp_path))
    assert whole
    assert not whole & set(had)
    month.fault = lambda _number, _kind: None
    month.seen.clear()

    report = run(month, tmp_path, smap_month())

    assert reasons(report) == []
    assert set(digests(tmp_path).values()) == {
        hashlib.sha256(g.content).hexdigest() for g in month.granules if g.short_name == "SPL3SMP"
    }
    asked = {s.path.rsplit("/", 1)[1]: s.headers for s in month.of("data")}
    sizes = {g.name: len(g.content) for g in month.granules}
    cut = {name: size for name, size in had.items() if size < sizes[name]}
    # one that was killed between the last byte and its name is whole too
    assert len(asked) == len(month.of("data")) == 31 - len(whole) - (len(had) - len(cut))
    assert {n: h["range"] for n, h in asked.items() if "range" in h} == {
        name: f"bytes={size}-" for name, size in cut.items()
    }
    assert all("if-range" in h for h in asked.values() if "range" in h)


def test_a_run_that_is_interrupted_stops_soon_and_keeps_what_came(month, tmp_path):
    def interrupted(done: int, _: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    month.slowly = 0.05
    with pytest.raises(KeyboardInterrupt):
        run(month, tmp_path, smap_month(), workers=2, tell=interrupted)
    assert 3 <= len(digests(tmp_path)) < 31
    month.slowly = 0
    month.seen.clear()
    report = run(month, tmp_path, smap_month())
    assert len(report.of(Outcome.FETCHED)) + len(report.of(Outcome.THERE)) == 31
    assert len(month.of("data")) == len(report.of(Outcome.FETCHED))


def test_a_part_of_another_version_is_not_gone_on_with(month, tmp_path):
    month.granules = [smap_granule(FIRST, algorithm=None)]
    month.fault = lambda number, kind: (
        {2: None, 3: "cut"}.get(number, "404") if kind == "data" else None
    )
    run(month, tmp_path, smap_month())
    assert list(tmp_path.rglob("*.part"))
    old = month.granules[0]
    month.granules = [Granule("SPL3SMP", "009", old.name, some_bytes("anew", SIZE), FIRST, None)]
    month.fault = lambda _number, _kind: None
    month.seen.clear()
    report = run(month, tmp_path, smap_month())
    assert len(report.of(Outcome.FETCHED)) == 1
    assert "range" in month.of("data")[0].headers
    assert set(digests(tmp_path).values()) == promised(month)


# -- what is asked for ----------------------------------------------------------------------------


def test_the_newest_release_of_a_granule_is_taken(server, tmp_path):
    old = smap_granule(FIRST, "R18290_001", version="008")
    new = smap_granule(FIRST, "R19240_001")
    only_old = smap_granule(FIRST + timedelta(days=1), "R18290_001", version="008")
    server.granules = [old, new, only_old]
    run(server, tmp_path, smap_month())
    assert set(digests(tmp_path)) == {new.name, only_old.name}


def test_pages_of_a_long_search_are_all_read(server, tmp_path):
    server.granules = [tile(FIRST, f"h{n // 100:02d}v{n % 100:02d}") for n in range(2105)]
    report = run(server, tmp_path, Request("MOD11A1", FIRST, FIRST, BOX), dry_run=True)
    assert len(report.of(Outcome.WANTED)) == 2105
    assert len(server.seen) == 2
    assert "bounding_box=104.03,36.0,108.0,39.97" in server.seen[0].path


def test_asking_what_would_be_fetched_needs_no_account_and_leaves_nothing(
    month, tmp_path, monkeypatch
):
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    folder = tmp_path / "to"
    report = run(month, folder, smap_month(), dry_run=True)
    assert report.bytes_of(Outcome.WANTED) == 31 * SIZE
    assert not folder.exists()
    assert [s.kind for s in month.seen] == ["search"]
    assert "authorization" not in month.seen[0].headers


def test_orders_are_of_a_month_and_of_the_days_that_lack(server, tmp_path):
    request = Request("ERA5-Land", date(2020, 1, 30), date(2020, 2, 2), BOX, frozenset({"swvl1"}))
    held = Held(days={"swvl1": frozenset({date(2020, 1, 30)})})
    report = run(server, tmp_path, request, held=lambda _: held)
    assert len(report.of(Outcome.FETCHED)) == 2
    first, second = sorted(server.orders, key=lambda order: order["month"])
    assert (first["year"], first["month"], first["day"]) == (["2020"], ["01"], ["31"])
    assert (second["month"], second["day"]) == (["02"], ["01", "02"])
    assert first["area"] == [40.0, 104.0, 36.0, 108.0]
    assert set(digests(tmp_path).values()) == promised(server, orders=2)

    server.seen.clear()
    longer = Request("ERA5-Land", date(2020, 1, 30), date(2020, 2, 4), BOX, frozenset({"swvl1"}))
    run(server, tmp_path, longer, held=lambda _: held)
    assert len(server.orders) == 3
    assert server.orders[2]["day"] == ["03", "04"]


def test_totals_since_midnight_are_asked_for_at_the_midnight_behind(server, tmp_path):
    request = Request("ERA5-Land", date(2019, 12, 30), date(2019, 12, 31), BOX, frozenset({"tp"}))
    report = run(server, tmp_path, request)
    days = [(o["year"], o["month"], o["day"], o["time"]) for o in server.orders]
    assert sorted(days) == [
        (["2019"], ["12"], ["31"], ["00:00"]),
        (["2020"], ["01"], ["01"], ["00:00"]),
    ]
    assert {f.name.split("_")[2] for f in report.files} == {
        "20191230-20191230",
        "20191231-20191231",
    }


def test_a_zip_is_kept_as_a_zip_and_known_again(server, tmp_path):
    server.result_type = "application/zip"
    (file,) = run(server, tmp_path, soil_month()).of(Outcome.FETCHED)
    assert file.name.endswith(".zip")
    again = run(server, tmp_path, soil_month())
    assert [(f.name, f.outcome) for f in again.files] == [(file.name, Outcome.THERE)]
    assert len(server.orders) == 1


def test_an_order_is_waited_for_by_the_next_run(server, tmp_path):
    server.looks = 10**6
    pace = Pace(sleep=lambda _: pace.stop() if len(server.seen) > 8 else None)
    with pytest.raises(StoppedError):
        acquire(
            [soil_month()],
            lambda _: Held(),
            lambda s: tmp_path / s,
            places=places(server),
            pace=pace,
        )
    server.looks = 0
    report = run(server, tmp_path, soil_month())
    assert len(report.of(Outcome.FETCHED)) == 1
    assert len(server.orders) == 1
    assert not list((tmp_path / "ERA5-Land" / INCOMPLETE).glob("*.order"))


# -- faults, each by itself -----------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["cut", "short"])
def test_the_rest_of_a_file_is_asked_for_alone(server, tmp_path, kind):
    server.granules = [smap_granule(FIRST)]
    server.fault = with_fault(kind)
    run(server, tmp_path, smap_month())
    first, second = server.of("data")
    begun = (
        int(re.fullmatch(r"bytes=(\d+)-", second.headers["range"])[1])
        if "range" in second.headers
        else SIZE
    )
    assert "range" not in first.headers
    assert begun >= SIZE // 2 - (1 << 16)
    assert set(digests(tmp_path).values()) == promised(server)


def test_a_provider_is_waited_for_as_long_as_it_asks(server, tmp_path):
    server.granules = [smap_granule(FIRST)]
    server.fault = with_fault("429")
    naps = Naps()
    run(server, tmp_path, smap_month(), naps=naps)
    assert 7 <= max(naps) < 8
    assert len(server.of("data")) == 2


def test_waits_grow_and_end(server, tmp_path):
    server.granules = [smap_granule(FIRST)]
    server.fault = with_fault("503", times=99)
    naps = Naps()
    report = run(server, tmp_path, smap_month(), naps=naps)
    assert [0.5 * 2**n <= nap <= 2**n for n, nap in enumerate(naps)] == [True] * 5
    assert len(server.of("data")) == 6
    assert reasons(report) == [
        "the server answers 503 Service Unavailable (6 requests): run the same command again later"
    ]


def test_a_provider_that_asks_for_hours_is_left_alone(server, tmp_path):
    server.granules = [smap_granule(FIRST)]
    server.retry_after = "7200"
    server.fault = with_fault("429")
    assert "asks to wait 120 minutes" in reasons(run(server, tmp_path, smap_month()))[0]
    assert len(server.of("data")) == 1


def test_a_licence_is_named_once_and_no_more_is_asked(month, tmp_path):
    month.fault = lambda _number, kind: "403" if kind == "data" else None
    report = run(month, tmp_path, smap_month(), workers=1)
    assert len(report.of(Outcome.FAILED)) == 31
    (reason,) = set(reasons(report))
    assert f"accept it at https://localhost:{month.port}/accept_eula?id=7" in reason
    assert len(month.of("data")) == 1
    assert digests(tmp_path) == {}


def test_a_licence_page_in_place_of_a_granule_is_not_saved(server, tmp_path):
    server.granules = [smap_granule(FIRST)]
    server.fault = with_fault("licence 200")
    assert "accept it at" in reasons(run(server, tmp_path, smap_month()))[0]
    assert digests(tmp_path) == {}


@pytest.mark.parametrize("kind", ["html", "html unsaid"])
def test_a_page_is_never_saved_under_a_granules_name(server, tmp_path, kind):
    server.granules = [smap_granule(FIRST, size_told=False, algorithm=None)]
    server.fault = with_fault(kind, times=99)
    report = run(server, tmp_path, smap_month(), tries=3)
    assert "a page titled 'Down for maintenance' in place of the file" in reasons(report)[0]
    assert digests(tmp_path) == {}
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("404", "is not there any more"),
        ("bytes", "what came is damaged: its sha256 is not the one"),
        ("long", f"delivers {SIZE - 999} bytes and the catalogue says {SIZE}"),
        ("reset", "the connection was cut"),
    ],
)
def test_what_stays_wrong_is_named_and_the_rest_comes(month, tmp_path, kind, reason):
    bad = month.granules[4].name
    month.fault = lambda _n, k: kind if k == "data" and month.current.endswith(bad) else None

    report = run(month, tmp_path, smap_month(), workers=1, tries=2)

    (failed,) = report.of(Outcome.FAILED)
    assert failed.name == bad
    assert reason in failed.reason
    assert len(digests(tmp_path)) == 30
    assert bad not in digests(tmp_path)


def test_wrong_credentials_are_refused_with_how_to_make_them(month, tmp_path, monkeypatch):
    monkeypatch.setenv("EARTHDATA_TOKEN", "stale-token")
    report = run(month, tmp_path, smap_month(), workers=1)
    (reason,) = set(reasons(report))
    assert "does not accept the credentials" in reason
    assert "~/.netrc" in reason
    assert "EARTHDATA_TOKEN" in reason
    assert len(month.of("data")) == 2  # once more with a token made anew, and never again


def test_without_credentials_no_file_is_asked_for(month, tmp_path, monkeypatch):
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    monkeypatch.setenv("CDSAPI_RC", str(tmp_path / "none"))
    report = run(month, tmp_path, smap_month(), soil_month())
    told = sorted(set(reasons(report)))
    assert [("~/.netrc" in t, "~/.cdsapirc" in t) for t in told] == [(True, False), (False, True)]
    assert [s.kind for s in month.seen] == ["search"]


def test_a_wrong_password_is_refused_once(month, tmp_path, monkeypatch):
    netrc = tmp_path / "wrong"
    who = f"login {provider.USER} password wrong-one"
    netrc.write_text(f"machine localhost:{month.port} {who}\nmachine localhost {who}\n")
    monkeypatch.setenv("NETRC", str(netrc))
    report = run(month, tmp_path / "to", smap_month())
    (reason,) = set(reasons(report))
    assert "were not accepted" in reason
    assert "wrong-one" not in reason
    assert [s.kind for s in month.seen] == ["search", "login"]


def test_a_search_that_fails_fails_its_source_alone(month, tmp_path):
    month.fault = lambda number, kind: "404" if number == 1 else None
    report = run(month, tmp_path, smap_month(), tiles_month())
    assert len(report.of(Outcome.FETCHED)) == 62
    (failed,) = report.of(Outcome.FAILED)
    assert (failed.source, failed.name) == ("SPL3SMP", "")
    assert "answers 404" in failed.reason


def test_a_server_that_is_not_who_it_says_gets_nothing(month, tmp_path, monkeypatch):
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    naps = Naps()
    report = run(month, tmp_path, smap_month(), naps=naps)
    assert "certificate is not accepted" in reasons(report)[0]
    assert naps == []
    assert month.seen == []


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("licence", "manage-licences"),
        ("job failed", "cost limits exceeded"),
        ("401", "~/.cdsapirc"),
    ],
)
def test_what_the_climate_store_refuses_is_said_in_its_words(server, tmp_path, fault, reason):
    server.fault = lambda number, kind: fault if kind == "store" and number > 1 else None
    report = run(server, tmp_path, soil_month())
    assert reason in reasons(report)[0]
    assert digests(tmp_path) == {}
    assert not list(tmp_path.rglob("*.order"))


def test_a_key_of_the_former_climate_store_is_refused(server, tmp_path, monkeypatch):
    monkeypatch.setenv("CDSAPI_URL", f"{server.base}/store")
    monkeypatch.setenv("CDSAPI_KEY", "1234:abcd-efgh")
    (reason,) = reasons(run(server, tmp_path, soil_month()))
    assert "shut in 2024" in reason
    assert "abcd" not in reason
    assert server.seen == []


# -- credentials ----------------------------------------------------------------------------------


def test_credentials_stay_with_their_provider_and_out_of_logs(month, tmp_path, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    month.redirect = "{storage}"
    month.fault = every_tenth(month)
    request = smap_month(last=FIRST + timedelta(days=5))
    report = run(month, tmp_path, request, soil_month())
    assert reasons(report) == []
    signed = [s for s in month.seen if s.path.startswith("/signed/")]
    assert len(signed) >= 7
    assert not any({"authorization", "private-token", "cookie"} & set(s.headers) for s in signed)
    assert not any("authorization" in s.headers for s in month.of("store"))
    assert not any("private-token" in s.headers for s in month.seen if s.kind != "store")
    # urllib3 writes addresses to its log of debugging, signatures with them: that is its own and off by default
    told = [r.getMessage() for r in caplog.records if not r.name.startswith("urllib3")]
    told += [repr(report), repr(places(month)), *capfd.readouterr()]
    for part in tmp_path.rglob("*.json"):
        told.append(part.read_text())
    assert [s for s in provider.SECRETS if any(s in text for text in told)] == []


def test_what_holds_credentials_does_not_show_them(month):
    works = service._Run(places(month), Pace())
    works._open([service.offer_of("SPL3SMP"), service.offer_of("ERA5-Land")])
    shown = repr(works) + repr(vars(works)) + repr(works.earthdata.keys) + str(works.earthdata.keys)
    works.close()
    assert "earthdata" in works.downloaders
    assert [secret for secret in provider.SECRETS if secret in shown] == []


@pytest.mark.parametrize(
    "target", ["https://127.0.0.2:{port}", "http://localhost:{port}", "https://localhost"]
)
def test_one_is_not_sent_on_to_undeclared_addresses(month, tmp_path, target):
    month.redirect = target.format(port=month.port)
    report = run(month, tmp_path, smap_month(last=FIRST))
    (reason,) = reasons(report)
    assert "not a declared address" in reason
    assert provider.SIGNATURE not in reason
    assert len(month.of("data")) == 1


# -- room and usage -------------------------------------------------------------------------------


def test_a_disk_without_room_is_refused_before_the_first_byte(month, tmp_path, monkeypatch):
    usage = service.shutil.disk_usage(tmp_path)._replace(free=300_000_000)
    monkeypatch.setattr(service.shutil, "disk_usage", lambda _: usage)
    month.granules = [
        _Big(g.short_name, g.version, g.name, g.content, g.day) for g in month.granules
    ]
    with pytest.raises(DiskFullError, match=r"3\.10 GB are to be fetched .* 0\.30 GB free"):
        run(month, tmp_path, smap_month())
    assert [s.kind for s in month.seen] == ["search"]


class _Big(Granule):
    def umm(self, base: str) -> dict:
        made = super().umm(base)
        made["umm"]["DataGranule"]["ArchiveAndDistributionInformation"][0]["SizeInBytes"] = 10**8
        return made


def test_two_runs_do_not_fill_one_folder(month, tmp_path):
    with (
        service._alone(tmp_path / "SPL3SMP"),
        pytest.raises(AcquisitionError, match="another run is filling"),
    ):
        run(month, tmp_path, smap_month())
    assert month.seen == []


@pytest.mark.parametrize(
    ("request_", "missing"),
    [
        (Request("SPL3SMP", None, None, None), "--from"),
        (Request("MOD11A1", FIRST, LAST, None), "--region"),
    ],
)
def test_what_is_not_enough_to_ask_for_is_said(server, tmp_path, request_, missing):
    with pytest.raises(UsageError, match=missing):
        run(server, tmp_path, request_)
    assert server.seen == []


# -- the command ----------------------------------------------------------------------------------


@pytest.fixture
def command(server, database, tmp_path, monkeypatch, capfd):
    """The command line in a home of its own; returns exit code, output and complaints."""
    monkeypatch.setenv("SMCATALOG_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SMCATALOG_DATABASE_URL", database.url)
    at = places(server)
    monkeypatch.setattr(service, "Places", lambda: at)
    monkeypatch.setattr(service, "Pace", lambda: Pace(sleep=Naps()))

    def call(*arguments: str) -> tuple[int, str, str]:
        capfd.readouterr()
        with pytest.raises(SystemExit) as left:
            main(list(arguments))
        return (left.value.code or 0, *capfd.readouterr())

    return call


@pytest.fixture
def real_granules(server, tmp_path) -> Provider:
    """Server with granules that can be ingested, of two sources."""
    (tmp_path / "archive").mkdir()
    files = [
        ("SPL3SMP", "009", smap.spl3smp(tmp_path / "archive" / smap.SPL3SMP_NAME)),
        ("MOD11A1", "061", modis.lst(tmp_path / "archive" / modis.MOD11A1_NAME)),
    ]
    server.granules = [
        Granule(short, version, file.name, file.read_bytes(), FIRST)
        for short, version, file in files
    ]
    return server


def test_what_is_in_the_database_is_not_asked_for_again(real_granules, command, tmp_path, database):
    span = ("--from", "2019-12-25", "--to", "2020-01-31")
    tile_of = ("acquire", "MOD11A1", *span, "--region", "-10,30,20,50")
    code, out, err = command(*tile_of)
    assert (code, err) == (0, "")
    folder = tmp_path / "home" / "incoming" / "MOD11A1"
    assert f"ingest with: smcatalog ingest {folder}" in out
    assert command("ingest", str(folder))[0] == 0
    for file in folder.glob("MOD*"):
        file.unlink()
    real_granules.seen.clear()

    code, out, _ = command(*tile_of, "--json")

    answer = json.loads(out)
    assert [(f["name"], f["outcome"]) for f in answer["files"]] == [(modis.MOD11A1_NAME, "known")]
    assert answer["folders"] == []
    assert [s.kind for s in real_granules.seen] == ["search"]
    # a newer production is lacking, an older one is not
    (granule,) = [g for g in real_granules.granules if g.short_name == "MOD11A1"]
    for production, outcome in (("2019002081500", "known"), ("2031002081500", "wanted")):
        name = granule.name.replace("2020002081500", production)
        assert name != granule.name
        real_granules.granules = [Granule("MOD11A1", "061", name, granule.content, FIRST)]
        answer = json.loads(command(*tile_of, "--dry-run", "--json")[1])
        assert [f["outcome"] for f in answer["files"]] == [outcome]
    with database.engine.connect() as connection:
        dumped = str(
            connection.exec_driver_sql("SELECT g::text FROM smcatalog.granules g").fetchall()
        )
    assert [secret for secret in provider.SECRETS if secret in dumped] == []


def test_a_products_name_stands_for_its_sources(real_granules, command, tmp_path):
    code, out, _ = command(
        "acquire", "demo", "--from", "2020-01-01", "--to", "2020-01-02", "--json"
    )
    answer = json.loads(out)
    outcomes = {(f["source"], f["outcome"]) for f in answer["files"]}
    assert outcomes == {("SPL3SMP", "fetched"), ("MOD11A1", "fetched"), ("SoilGrids", "failed")}
    assert code == 3
    asked = [unquote(s.path) for s in real_granules.of("search")]
    window = next(path for path in asked if "MOD13A2" in path)
    assert "temporal[]=2019-11-30T00:00:00Z,2020-01-02T23:59:59Z" in window
    assert "temporal" not in next(path for path in asked if "SRTMGL3" in path)
    (failed,) = [f for f in answer["files"] if f["outcome"] == "failed"]
    assert "no provider is declared" in failed["reason"]


def test_what_cannot_be_had_is_named_and_the_code_says_so(real_granules, command):
    day = ("--from", "2020-01-01", "--to", "2020-01-31")
    real_granules.fault = with_fault("404")
    code, out, err = command("acquire", "SPL3SMP", *day)
    assert code == 1
    assert f"not to be had: {smap.SPL3SMP_NAME}: is not there any more" in err
    assert "1 failed" in out
    code, _, err = command("acquire", "NOTHING", *day)
    assert code == 1
    assert "neither a source that a provider is declared for" in err
    code, _, err = command("acquire", "MOD11A1", *day)
    assert code == 2
    assert "--region" in err
    assert command("acquire", "MOD11A1", *day, "--region", "1,2,3")[0] == 2
