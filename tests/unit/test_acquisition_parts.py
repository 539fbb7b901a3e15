"""What acquisition is put together from, without a network."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from email.utils import format_datetime
from io import BytesIO

import pytest
import requests

from ingest.acquisition.answers import checked, is_page, page_fault
from ingest.acquisition.climate import orders
from ingest.acquisition.earthdata import lacking, remotes_of
from ingest.acquisition.faults import (
    AcquisitionError,
    DeniedError,
    PassingError,
    StoppedError,
    UnauthorisedError,
    place,
)
from ingest.acquisition.hosts import EARTHDATA, Hosts
from ingest.acquisition.needs import requests_of
from ingest.acquisition.offers import OFFERS, EarthdataOffer, offer_of
from ingest.acquisition.patience import Pace, Patience, asked_wait
from ingest.acquisition.values import Held, Outcome, Remote, Request, parse_region
from ingest.registry import READERS, identify
from smcatalog.core.errors import NotFoundError, UsageError
from smcatalog.database.inputs import GranuleRecord
from smcatalog.products import Covariate, TimeRule
from tests.factories import inputs
from tests.factories.granules import SAMPLES, candidate

DAY = timedelta(days=1)


@pytest.mark.parametrize(
    "sample",
    [
        s
        for s in SAMPLES
        if isinstance(OFFERS.get(s.source), EarthdataOffer) and "SRTM" not in s.source
    ],
    ids=str,
)
def test_names_tell_the_same_to_acquisition_and_to_the_reader(sample, tmp_path):
    _, identity = identify(candidate(sample.into(tmp_path)))
    offer = offer_of(sample.source)
    assert sample.name.endswith(offer.suffix)
    assert offer.subject(sample.name) == (identity.subject or identity.name, identity.production)


def test_a_tile_of_the_shuttle_mission_is_known_by_its_corner():
    offer = offer_of("SRTMGL3")
    record = GranuleRecord("SRTMGL3", "N37E105", "N37E105.hgt", "0" * 64, 1, None, "N37E105")
    remote = Remote("SRTMGL3", "N37E105.SRTMGL3.hgt.zip")
    other = Remote("SRTMGL3", "N37E106.SRTMGL3.hgt.zip")
    wanted, here = lacking(offer, [remote, other], Held((record,)))
    assert wanted == [other]
    assert [(f.name, f.outcome) for f in here] == [(remote.name, Outcome.KNOWN)]


def test_a_file_of_another_length_is_not_complete():
    offer = offer_of("MOD11A1")
    names = [f"MOD11A1.A2020001.h2{n}v05.061.2020002081500.hdf" for n in range(3)]
    remotes = [Remote("MOD11A1", name, size=100) for name in names]
    wanted, here = lacking(offer, remotes, Held(files={names[0]: 100, names[1]: 99}))
    assert [r.name for r in wanted] == names[1:]
    assert [(f.name, f.outcome) for f in here] == [(names[0], Outcome.THERE)]


def test_sources_are_offered_under_their_readers_names():
    assert set(OFFERS) <= {reader.source for reader in READERS}
    with pytest.raises(NotFoundError, match="fetch it by hand"):
        offer_of("SoilGrids")


def test_a_hostile_name_does_not_leave_the_folder():
    urls = [
        "https://data.x/a/..%2F..%2F.bashrc.h5",
        "https://data.x/%2Fetc%2Fpasswd.h5",
        "http://data.x/a.h5",
    ]
    granules = [{"umm": {"RelatedUrls": [{"URL": u, "Type": "GET DATA"}]}} for u in urls]
    assert [r.name for r in remotes_of(offer_of("SPL3SMP"), granules)] == ["passwd.h5"]


def test_a_length_without_a_name_is_only_an_estimate():
    file = {
        "Name": "Not provided",
        "Size": 2.5,
        "SizeUnit": "MB",
        "Checksum": {"Value": "00", "Algorithm": "MD5"},
    }
    umm = {
        "RelatedUrls": [{"URL": "https://d.x/3B-DAY.20200101.V07B.nc4", "Type": "GET DATA"}],
        "DataGranule": {"ArchiveAndDistributionInformation": [file]},
    }
    (remote,) = remotes_of(offer_of("GPM_3IMERGDF"), [{"umm": umm}])
    assert (remote.size, remote.estimate, remote.checksum) == (None, int(2.5 * 2**20), "")


@pytest.mark.parametrize(
    ("url", "trusted", "allowed"),
    [
        ("https://data.lpdaac.earthdatacloud.nasa.gov/x", True, True),
        ("https://d1nklfio7vscoe.cloudfront.net/x?sig=1", False, True),
        ("https://earthdatacloud.nasa.gov.evil.example/x", False, False),
        ("https://evilearthdatacloud.nasa.gov/x", False, False),
        ("https://data.earthdata.nasa.gov:8443/x", False, False),
        ("https://user@evil.example/.earthdata.nasa.gov", False, False),
        ("http://urs.earthdata.nasa.gov/x", False, False),
        ("https://urs.earthdata.nasa.gov:bad/x", False, False),
    ],
)
def test_only_declared_hosts_are_asked(url, trusted, allowed):
    assert (EARTHDATA.hosts.trusts(url), EARTHDATA.hosts.allows(url)) == (trusted, allowed)


def test_a_place_is_told_without_what_is_secret_in_it():
    assert place("https://me:pw@h.x:8/a/b?X-Amz-Signature=s#f") == "https://h.x:8/a/b"


def _answer(
    status: int, body: str = "", url: str = "https://data.earthdata.nasa.gov/x", **headers: str
):
    answer = requests.Response()
    answer.status_code, answer.reason, answer.url = status, "Because", url
    answer.headers.update({k.replace("_", "-"): v for k, v in headers.items()})
    answer.raw = BytesIO(body.encode())
    return answer


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (_answer(401), UnauthorisedError, "does not accept"),
        (_answer(403, "<html><p>You must accept the EULA"), DeniedError, "licence accepted first: HERE"),
        (_answer(403, "<html><title>No</title>"), DeniedError, "refuses it (403) titled 'No'; mostly"),
        (_answer(403, url="https://x.cloudfront.net/x"), PassingError, "signed address"),
        (_answer(404), AcquisitionError, "not there any more"),
        (_answer(418), AcquisitionError, "answers 418"),
        (_answer(503, Retry_After="5"), PassingError, "answers 503"),
        (_answer(200, "<html><input type='password'>", Content_Type="text/html"), UnauthorisedError, "login page"),
        (_answer(200, "<html>Down. Log in | Terms of use | Licence", Content_Type="text/html"), PassingError, "a page"),
        (_answer(200, "<html>error=access_denied", Content_Type="text/html"), DeniedError, "HERE"),
    ],
)  # fmt: skip
def test_answers_are_told_apart(answer, kind, words):
    with pytest.raises(AcquisitionError) as caught:
        checked(answer, EARTHDATA.hosts, "HERE")
    assert type(caught.value) is kind
    assert words in str(caught.value)


def test_a_link_on_the_page_is_named_only_when_it_is_the_providers():
    page = b"<html>EULA <a href='https://evil.x/eula'></a><a href='https://urs.earthdata.nasa.gov/accept_eula?a=1&amp;b=2'>"
    assert is_page(page)
    fault = page_fault(page, _answer(200), EARTHDATA.hosts, "HERE")
    assert str(fault).endswith("accept it at https://urs.earthdata.nasa.gov/accept_eula?a=1&b=2")
    assert str(page_fault(page, _answer(200), Hosts(()), "HERE")).endswith("HERE")


def test_how_long_one_is_asked_to_wait():
    soon = datetime.now(UTC) + timedelta(seconds=100)
    assert asked_wait(_answer(429, Retry_After="12")) == 12
    assert asked_wait(_answer(429, Retry_After=format_datetime(soon))) == pytest.approx(100, abs=3)
    assert asked_wait(_answer(429, Retry_After="Thu, 01 Jan 1970 00:00:00 GMT")) == 0
    assert asked_wait(_answer(429, Retry_After="soon")) is None
    assert asked_wait(_answer(429)) is None


def test_all_wait_when_one_is_asked_to():
    now, naps = [100.0], []
    pace = Pace(Patience(), sleep=naps.append, clock=lambda: now[0])
    pace.turn()
    assert naps == []
    pace.pause(1, 30)
    pace.turn()
    assert naps[1] == 30
    now[0] += 31
    pace.turn()
    assert len(naps) == 2
    pace.stop()
    with pytest.raises(StoppedError, match="run the same command again"):
        pace.turn()


def test_delays_double_up_to_the_longest():
    patience = Patience(first=1, most=60)
    assert [patience.delay(n, 1.0) for n in range(1, 9)] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert patience.delay(3, 0.0) == 2


@pytest.mark.parametrize(
    "text", ["", "1,2,3", "a,b,c,d", "0,10,5,5", "0,-91,5,5", "200,0,210,5", "5,0,5,1", "nan,0,1,2"]
)
def test_what_is_no_region_is_refused(text):
    with pytest.raises(UsageError):
        parse_region(text)


def test_a_region_may_cross_the_date_line_but_not_in_the_climate_store():
    box = parse_region("170,-10,-170,10")
    with pytest.raises(UsageError, match="two halves"):
        orders(offer_of("ERA5"), Request("ERA5", date(2020, 1, 1), date(2020, 1, 1), box), Held())


def test_orders_leave_out_what_is_here_and_never_miss_a_day():
    first, last = date(2019, 12, 20), date(2020, 3, 5)
    request = Request("ERA5", first, last, (104.1, 36.0, 108, 40))
    wanted, here = orders(offer_of("ERA5"), request, Held())
    assert here == []
    assert len({r.name for r in wanted}) == len(wanted) == 3 * 4
    soil = [r for r in wanted if "_soil_" in r.name]
    assert [len(r.order.inputs["day"]) for r in soil] == [12, 31, 29, 5]
    assert soil[0].order.inputs["area"] == [40.0, 104.0, 36.0, 108.0]
    files = {r.name: 10 for r in wanted[:-1]}
    again, here = orders(offer_of("ERA5"), request, Held(files=files))
    assert again == wanted[-1:]
    assert {f.name for f in here} == set(files)
    elsewhere = Request("ERA5", first, last, (104.1, 36.0, 109, 40))
    assert len(orders(offer_of("ERA5"), elsewhere, Held(files=files))[0]) == 12


def test_a_day_whose_layers_are_there_is_not_ordered_whatever_brought_them():
    days = frozenset({date(2020, 1, 2), date(2020, 1, 3)})
    span = (date(2020, 1, 1), date(2020, 1, 4))
    held = Held(days={"swvl1": days, "lsm": days | {date(2020, 1, 1)}, "swvl2": frozenset()})
    narrow = Request("ERA5", *span, (1, 1, 2, 2), frozenset({"swvl1"}))
    runs = [r.order.inputs["day"] for r in orders(offer_of("ERA5"), narrow, held)[0]]
    assert runs == [["01"], ["04"]]
    wide = Request("ERA5", *span, (1, 1, 2, 2))
    soil = [r for r in orders(offer_of("ERA5"), wide, held)[0] if "_soil_" in r.name]
    assert [r.order.inputs["day"] for r in soil] == [["01"], ["04"]]


def test_files_out_of_a_zip_are_known_by_their_days():
    names = [
        f"C3S-SOILMOISTURE-L3S-SSMV-COMBINED-DAILY-202001{d:02d}000000-TCDR-v202312.0.0.nc"
        for d in (1, 2)
    ]
    records = tuple(GranuleRecord("C3S-SM-COMBINED", n[:-3], n, "0" * 64, 1, None) for n in names)
    request = Request("C3S-SM-COMBINED", date(2020, 1, 1), date(2020, 1, 5), None)
    (remote,), here = orders(offer_of("C3S-SM-COMBINED"), request, Held(records))
    assert remote.order.inputs["day"] == ["03", "04", "05"]
    assert "area" not in remote.order.inputs
    assert remote.name.endswith(".zip")
    assert [f.name for f in here] == names


def test_a_product_asks_as_far_back_and_ahead_as_it_reads():
    product = inputs.definition(
        look_ahead_days=3,
        covariates=(
            Covariate("swvl1", "ERA5", TimeRule.PERIOD_MEAN),
            Covariate("lsm", "ERA5", TimeRule.STATIC),
            Covariate("ndvi", "MOD13A2", TimeRule.HOLDING, max_age_days=16),
            Covariate("elevation", "SRTMGL3", TimeRule.STATIC),
            Covariate("land_fraction", "ERA5-Land", TimeRule.STATIC),
        ),
    )
    first, last = date(2020, 3, 1), date(2020, 3, 10)
    asked = {r.source: r for r in requests_of(product, first, last)}
    assert (asked["C"].first, asked["C"].last) == (first, last + 3 * DAY)
    assert (asked["ERA5"].first, asked["ERA5"].last) == (first, last + 3 * DAY)
    assert asked["ERA5"].variables == {"swvl1", "lsm"}
    assert (asked["MOD13A2"].first, asked["MOD13A2"].last) == (first - 32 * DAY, last + 3 * DAY)
    assert asked["SRTMGL3"].first is None
    assert (asked["ERA5-Land"].first, asked["ERA5-Land"].last) == (first, first)
    assert asked["C"].bbox == product.bbox
