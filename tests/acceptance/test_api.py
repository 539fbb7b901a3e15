"""The API as its users meet it: a real server, a real database, real clients."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path

import httpx
import numpy as np
import pytest

from smcatalog.api.app import ApiSettings, create_app
from smcatalog.core.encoding import NODATA, decode
from smcatalog.core.errors import ConfigurationError, DatabaseUnavailable
from smcatalog.core.maps import PublishedMap
from smcatalog.core.versions import PGSTAC_VERSION
from smcatalog.stac import pgstac
from smcatalog.stac.collections import CollectionInfo, build_collection
from smcatalog.stac.items import build_item
from tests.factories.maps import DEPTHS, GRID, replaced, stored_map, stored_values
from tests.factories.schemas import problems
from tests.factories.serving import serving
from tests.fixtures.databases import Database

# pystac says so of every replaced item that it reads; that they are there is what is tested.
pytestmark = [
    pytest.mark.filterwarnings("ignore:The item '.*' is deprecated"),
    # odc-geo 0.5 still calls what shapely 2.2 announces to drop.
    pytest.mark.filterwarnings("ignore:The 'shapely.ops.transform:DeprecationWarning"),
]

DAYS = [date(2018, 11, 20) + timedelta(3 * n) for n in range(25)]
BOX = (146.0, -35.0, 146.5, -34.5)


@dataclass(frozen=True)
class Site:
    url: str
    root: Path
    settings: ApiSettings
    maps: tuple[PublishedMap, ...]
    """The live ones, by day; the first has replaced another."""
    replaced: PublishedMap

    def asset(self, published: PublishedMap, kind: str = "soil_moisture") -> str:
        (file,) = (file for file in published.files if file.kind == kind)
        return f"{self.url}/assets/{file.key}"


def _publish(database: Database, root: Path) -> tuple[tuple[PublishedMap, ...], PublishedMap]:
    engine = database.engine_for("smcatalog_writer")
    info = CollectionInfo(
        "testmap", "Test map", "Made by the tests", BOX, DAYS[0], None, GRID, DEPTHS
    )
    with engine.begin() as conn:
        pgstac.upsert_collection(conn, build_collection(info))
        pgstac.upsert_collection(conn, build_collection(replace(info, product="other")))
    maps = [stored_map(root, day=day) for day in DAYS]
    old, maps[0] = replaced(maps[0])
    for published in (old, *maps):
        pgstac.ensure_year_partition(engine, "testmap", published.period)
        with engine.begin() as conn:
            pgstac.upsert_item(conn, build_item(published))
    return tuple(maps), old


@pytest.fixture(scope="module")
def site(module_database: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    root = tmp_path_factory.mktemp("store")
    maps, old = _publish(module_database, root)
    settings = ApiSettings(module_database.libpq_url("smcatalog_api"), root)
    with serving(settings, tmp_path_factory.mktemp("log") / "server.log") as url:
        yield Site(url, root, settings, maps, old)


@pytest.fixture
def http(site: Site) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=site.url, trust_env=False, timeout=30) as client:
        yield client


def features(response: httpx.Response) -> list[dict]:
    assert response.status_code == 200, response.text
    return response.json()["features"]


# --- STAC ---------------------------------------------------------------------------------------


def test_landing_page_is_ours_and_of_stac_1_1(http: httpx.Client, site: Site) -> None:
    page = http.get("/").json()
    assert page["stac_version"] == "1.1.0"
    assert page["id"] == "smcatalog"
    assert page["title"] == site.settings.title
    assert not [c for c in page["conformsTo"] if "transaction" in c]
    for link in page["links"]:
        assert link["href"].startswith(site.url)
        if link.get("method", "GET") == "GET" and link["rel"] != "service-doc":
            assert http.get(link["href"]).status_code == 200, link


def test_what_is_served_is_valid(http: httpx.Client) -> None:
    for path in ("/collections/testmap", "/collections/testmap/items/testmap_2018324_v1r2"):
        assert problems(http.get(path).json()) == []
    for item in features(http.get("/search", params={"limit": 30})):
        assert problems(item) == []


def test_items_are_served_as_the_database_puts_them_together(
    http: httpx.Client, module_database: Database
) -> None:
    # the API joins them with their collection's common part itself; links and addresses are its own
    served = features(http.post("/search", json={"limit": 100}))
    assert len(served) > 20
    engine = module_database.engine_for("smcatalog_writer")
    for item in served:
        with engine.begin() as conn:
            kept = pgstac.get_item(conn, item["collection"], item["id"])
        assert kept is not None
        for one in (item, kept):
            one.pop("links")
            for asset in one["assets"].values():
                asset["href"] = asset["href"].rpartition("assets/")[2]
        assert item == kept


@pytest.mark.parametrize("path", ["/search", "/collections/testmap/items"])
def test_answers_are_geojson(http: httpx.Client, path: str) -> None:
    assert http.get(path).headers["content-type"] == "application/geo+json"


def test_pystac_client_finds_maps_by_day_and_box(site: Site) -> None:
    import pystac_client

    client = pystac_client.Client.open(site.url)
    found = list(client.search(collections="testmap", datetime="2018-12-02").items())
    # Windows of three days around 11-29, 12-02, 12-05: only one holds this day.
    assert [item.id for item in found] == ["testmap_2018336_v1r1"]
    assert found[0].assets["soil_moisture"].href.startswith(f"{site.url}/assets/maps/")
    inside = client.search(collections="testmap", bbox=(146.1, -34.9, 146.2, -34.8))
    assert inside.matched() == 26
    assert client.search(collections="testmap", bbox=(10, 40, 11, 41)).matched() == 0
    assert client.search(collections="other").matched() == 0


def test_pystac_client_follows_pages_and_knows_how_many(site: Site) -> None:
    import pystac_client

    client = pystac_client.Client.open(site.url)
    for method in ("GET", "POST"):
        search = client.search(collections="testmap", limit=10, method=method)
        pages = [[item.id for item in page.items] for page in search.pages()]
        assert [len(page) for page in pages] == [10, 10, 6]
        assert len({identifier for page in pages for identifier in page}) == 26
        assert search.matched() == 26


def test_the_live_maps_are_those_not_deprecated(site: Site) -> None:
    import pystac_client

    client = pystac_client.Client.open(site.url)
    expected = {published.item_id for published in site.maps}
    for condition in (
        {"query": {"deprecated": {"eq": False}}},
        {"filter": {"op": "=", "args": [{"property": "deprecated"}, False]}},
        {"filter": "deprecated = false", "filter_lang": "cql2-text", "method": "GET"},
    ):
        found = client.search(collections="testmap", **condition).items()
        assert {item.id for item in found} == expected


def test_versions_link_to_each_other(http: httpx.Client, site: Site) -> None:
    new = http.get(f"/collections/testmap/items/{site.maps[0].item_id}").json()
    (back,) = [link for link in new["links"] if link["rel"] == "predecessor-version"]
    old = http.get(back["href"]).json()
    assert old["id"] == site.replaced.item_id
    assert old["properties"]["deprecated"] is True
    (forth,) = [link for link in old["links"] if link["rel"] == "successor-version"]
    assert http.get(forth["href"]).json()["id"] == new["id"]


@pytest.mark.parametrize(
    "fields",
    ["id", "assets", "-id", "-id,-collection", "-links", "assets.quality.href", ",", "-", "+id"],
)
def test_every_address_is_whole_whatever_fields_are_asked_for(
    http: httpx.Client, site: Site, fields: str
) -> None:
    for path in ("/search", "/collections/testmap/items"):
        (item,) = features(http.get(path, params={"fields": fields, "limit": 1}))
        addresses = [link["href"] for link in item.get("links", [])]
        addresses += [a["href"] for a in item.get("assets", {}).values() if "href" in a]
        assert all(address.startswith(f"{site.url}/") for address in addresses)
        for asset in item.get("assets", {}).values():
            if "href" in asset:
                assert http.head(asset["href"]).status_code == 200


def test_items_are_sorted_as_asked(http: httpx.Client, site: Site) -> None:
    first = features(http.get("/search", params={"sortby": "+datetime", "limit": 3}))
    assert first[-1]["id"] == site.maps[1].item_id
    last = features(
        http.post("/search", json={"sortby": [{"field": "datetime", "direction": "desc"}]})
    )
    assert last[0]["id"] == site.maps[-1].item_id


def test_a_new_map_is_counted_at_once(
    http: httpx.Client, site: Site, module_database: Database
) -> None:
    query = {"collections": "other"}
    assert http.get("/search", params=query).json()["numberMatched"] == 0
    engine = module_database.engine_for("smcatalog_writer")
    published = replace(site.maps[0], product="other", predecessor=None)
    pgstac.ensure_year_partition(engine, "other", published.period)
    with engine.begin() as conn:
        pgstac.upsert_item(conn, build_item(published))
    try:
        assert http.get("/search", params=query).json()["numberMatched"] == 1
    finally:
        with engine.begin() as conn:
            conn.exec_driver_sql("DELETE FROM pgstac.items WHERE collection = 'other'")


def test_serving_writes_nothing(http: httpx.Client, module_database: Database) -> None:
    for number in range(1, 4):
        http.get("/search", params={"limit": number})
    with module_database.connect() as conn:
        rows = conn.execute(
            "SELECT (SELECT count(*) FROM pgstac.searches), (SELECT count(*) FROM pgstac.search_wheres)"
        ).fetchone()
    assert rows == (0, 0)
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        assert http.request(method, "/collections/testmap").status_code == 405


# --- opening the maps ---------------------------------------------------------------------------


def test_odc_stac_loads_the_maps(site: Site) -> None:
    import odc.stac
    import pystac_client

    client = pystac_client.Client.open(site.url)
    search = client.search(
        collections="testmap", datetime="2018-11-24/2018-12-01", query={"deprecated": {"eq": False}}
    )
    data = odc.stac.load(search.items(), bands=["soil_moisture", "quality"])
    chosen = site.maps[1:5]  # windows of three days; four of them meet these days
    assert data.sizes["time"] == len(chosen)
    assert data["soil_moisture"].dtype == np.int16
    assert data["soil_moisture"].attrs["nodata"] == NODATA
    assert data["soil_moisture"].odc.geobox == GRID.geobox
    for step, published in enumerate(chosen):
        stored = stored_values(site.root, published, "soil_moisture")[0]
        np.testing.assert_array_equal(data["soil_moisture"].isel(time=step), stored)


def test_rioxarray_gives_soil_moisture_in_its_unit(site: Site) -> None:
    import rioxarray

    address = site.asset(site.maps[0])
    with rioxarray.open_rasterio(f"/vsicurl/{address}", mask_and_scale=True) as opened:
        values = opened.load()
    expected = decode(stored_values(site.root, site.maps[0], "soil_moisture"))
    np.testing.assert_allclose(values, expected, atol=1e-6)
    assert 0.0 <= float(values.min()) < float(values.max()) <= 0.6
    assert np.isnan(values[0, 0, 0])
    assert values.rio.crs.to_epsg() == 6933


def test_rio_cogeo_validates_every_file_over_http(site: Site) -> None:
    from rio_cogeo.cogeo import cog_validate

    for kind in ("soil_moisture", "uncertainty", "quality"):
        valid, errors, warned = cog_validate(f"/vsicurl/{site.asset(site.maps[0], kind)}")
        assert (valid, errors, warned) == (True, [], [])


# --- assets -------------------------------------------------------------------------------------


def test_asset_is_the_file_and_is_never_compressed_again(http: httpx.Client, site: Site) -> None:
    (file,) = (f for f in site.maps[0].files if f.kind == "soil_moisture")
    content = (site.root / file.key).read_bytes()
    assert len(content) > 1000
    response = http.get(site.asset(site.maps[0]), headers={"Accept-Encoding": "br, gzip"})
    assert response.status_code == 200
    assert response.content == content
    assert "content-encoding" not in response.headers
    assert response.headers["content-length"] == str(len(content))
    assert response.headers["etag"] == f'"{file.sha256[:16]}"'
    assert response.headers["accept-ranges"] == "bytes"
    assert response.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert response.headers["content-type"] == (
        "image/tiff; application=geotiff; profile=cloud-optimized"
    )
    # What is worth compressing is.
    search = http.get("/search", headers={"Accept-Encoding": "br"})
    assert search.headers["content-encoding"] == "br"


def test_head_says_the_same_without_the_file(http: httpx.Client, site: Site) -> None:
    got, head = http.get(site.asset(site.maps[0])), http.head(site.asset(site.maps[0]))
    assert head.status_code == 200
    assert head.content == b""
    for name in ("etag", "content-length", "last-modified", "accept-ranges", "content-type"):
        assert head.headers[name] == got.headers[name]


@pytest.mark.parametrize(
    ("wanted", "part"),
    [
        ("bytes=0-99", slice(0, 100)),
        ("bytes=100-", slice(100, None)),
        ("bytes=-7", slice(-7, None)),
        ("bytes=10-999999999", slice(10, None)),
        ("bytes=0-0", slice(0, 1)),
    ],
)
def test_range_is_answered_with_that_part(
    http: httpx.Client, site: Site, wanted: str, part: slice
) -> None:
    address = site.asset(site.maps[0])
    whole = http.get(address).content
    response = http.get(address, headers={"Range": wanted, "Accept-Encoding": "br, gzip"})
    assert response.status_code == 206
    assert response.content == whole[part]
    start = range(len(whole))[part][0]
    end = range(len(whole))[part][-1]
    assert response.headers["content-range"] == f"bytes {start}-{end}/{len(whole)}"
    assert "content-encoding" not in response.headers


@pytest.mark.parametrize("wanted", ["bytes=99999999-", "bytes=-0"])
def test_range_beyond_the_file_is_416(http: httpx.Client, site: Site, wanted: str) -> None:
    response = http.get(site.asset(site.maps[0]), headers={"Range": wanted})
    assert response.status_code == 416
    assert response.headers["content-range"].startswith("bytes */")


@pytest.mark.parametrize(
    "odd", ["bytes=0-1,5-9", "lines=1-2", "bytes=9-3", "bytes=a-b", "bytes", ""]
)
def test_an_odd_range_gets_the_whole(http: httpx.Client, site: Site, odd: str) -> None:
    response = http.get(site.asset(site.maps[0]), headers={"Range": odd})
    assert response.status_code == 200
    assert response.content == http.get(site.asset(site.maps[0])).content


def test_conditional_requests(http: httpx.Client, site: Site) -> None:
    address = site.asset(site.maps[0])
    etag = http.get(address).headers["etag"]
    modified = http.get(address).headers["last-modified"]
    for fresh in (
        {"If-None-Match": etag},
        {"If-None-Match": f'"x", W/{etag}'},
        {"If-None-Match": "*"},
        {"If-Modified-Since": modified},
    ):
        response = http.get(address, headers=fresh)
        assert response.status_code == 304
        assert response.content == b""
        assert response.headers["etag"] == etag
    for stale in (
        {"If-None-Match": '"x"'},
        {"If-None-Match": '"x"', "If-Modified-Since": modified},
        {"If-Modified-Since": "Thu, 01 Jan 1970 00:00:00 GMT"},
        {"If-Modified-Since": "yesterday"},
    ):
        assert http.get(address, headers=stale).status_code == 200
    part = {"Range": "bytes=0-9"}
    assert http.get(address, headers={**part, "If-Range": etag}).status_code == 206
    assert http.get(address, headers={**part, "If-Range": '"x"'}).status_code == 200
    assert http.get(address, headers={**part, "If-Range": f"W/{etag}"}).status_code == 200


def test_nothing_but_maps_is_served(http: httpx.Client, site: Site) -> None:
    name = "secret_0123456789abcdef.tif"
    outside = site.root.parent / name
    outside.write_text("classified")
    folder = site.root / "maps" / "testmap"
    (site.root / name).write_text("classified")
    (folder / ".hidden_0123456789abcdef.tif").write_text("classified")
    (folder / "unhashed.tif").write_text("classified")
    (folder / "model_0123456789abcdef.pkl").write_text("classified")
    (folder / "dir_0123456789abcdef.tif").mkdir()
    (folder / "link_0123456789abcdef.tif").symlink_to(outside)
    (folder / "up_0123456789abcdef.tif").symlink_to(site.root / name)
    (folder / "loop_0123456789abcdef.tif").symlink_to(folder / "loop_0123456789abcdef.tif")
    for key in (
        name,
        f"../{name}",
        f"%2e%2e/{name}",
        f"maps/../{name}",
        f"maps/%2e%2e/{name}",
        f"maps/..%2f{name}",
        f"maps//{name}",
        f"/maps/testmap/{name}",
        f"{site.root}/{name}",
        "maps",
        "maps/",
        "maps/testmap/.hidden_0123456789abcdef.tif",
        "maps/testmap/unhashed.tif",
        "maps/testmap/model_0123456789abcdef.pkl",
        "maps/testmap/dir_0123456789abcdef.tif",
        "maps/testmap/link_0123456789abcdef.tif",
        "maps/testmap/up_0123456789abcdef.tif",
        "maps/testmap/loop_0123456789abcdef.tif",
        "maps/testmap/%00_0123456789abcdef.tif",
        f"maps/{'x' * 5000}_0123456789abcdef.tif",
    ):
        # httpx would tidy the dots away: ask as a raw path.
        request = http.build_request("GET", site.url)
        request.url = request.url.copy_with(raw_path=f"/assets/{key}".encode())
        response = http.send(request)
        assert response.status_code in {307, 404}, (key, response.status_code)
        assert "classified" not in response.text
    assert http.post(site.asset(site.maps[0])).status_code == 405


def test_browsers_of_other_origins_may_read_ranges(http: httpx.Client, site: Site) -> None:
    origin = {"Origin": "https://viewer.example.org"}
    asked = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "range"}
    allowed = http.options(site.asset(site.maps[0]), headers=origin | asked)
    assert allowed.status_code == 200
    assert "range" in allowed.headers["access-control-allow-headers"].lower()
    part = http.get(site.asset(site.maps[0]), headers=origin | {"Range": "bytes=0-9"})
    assert part.headers["access-control-allow-origin"] == "*"
    exposed = part.headers["access-control-expose-headers"].lower()
    assert {"content-range", "etag", "content-length"} <= set(exposed.split(", "))


# --- what goes wrong ----------------------------------------------------------------------------

BAD = [
    {"bbox": "1,2,3"},
    {"bbox": "a,b,c,d"},
    {"bbox": "10,10,0,0"},
    {"bbox": "-999,-999,999,999"},
    {"bbox": "nan,0,1,1"},
    {"bbox": "inf,0,1,1"},
    {"datetime": "yesterday"},
    {"datetime": "2018-13-01T00:00:00Z"},
    {"datetime": "2019-01-01T00:00:00Z/2018-01-01T00:00:00Z"},
    {"datetime": "../.."},
    {"limit": "0"},
    {"limit": "-1"},
    {"limit": "x"},
    {"token": "x"},
    {"token": "next:7a:7a"},
    {"token": "next:ff:ff"},
    {"filter": "(("},
    {"filter": "foo"},
    {"filter": "datetime > 5"},
    {"filter": '"proj:code" = 1'},
    {"filter": "nofunc(id) = 3"},
    {"filter": "S_INTERSECTS(geometry, POLYGON((0 0,1 1)))"},
    {"filter": "{", "filter-lang": "cql2-json"},
    {"filter": '{"op":"x","args":[]}', "filter-lang": "cql2-json"},
    {"filter": "id = 1", "filter-lang": "nope"},
    {"query": "{"},
    {"query": "5"},
    {"query": '{"a":{"zz":1}}'},
    {"query": '{"datetime":{"lt":"x"}}'},
]
BAD_SEARCH = [
    {"ids": "\x00"},
    {"collections": "\x00"},
    {"intersects": "{"},
    {"intersects": "5"},
    {"intersects": '{"type":"Point"}'},
    {"intersects": '{"type":"Polygon","coordinates":[[[0,0],[1,1]]]}'},
]
BAD_BODIES = [
    b"{",
    b"[]",
    b"null",
    b"5",
    {"limit": "x"},
    {"limit": 0},
    {"bbox": [1, 2]},
    {"bbox": ["a", 1, 2, 3]},
    {"bbox": [10, 10, 0, 0]},
    {"datetime": "x"},
    {"token": "x"},
    {"filter": 5},
    {"filter": {"op": "x", "args": []}},
    {"filter": {"op": "=", "args": [{"property": "x"}]}},
    {"filter": {"op": "and", "args": [1, 2]}},
    {"filter": {"op": "t_after", "args": [{"property": "datetime"}, {"timestamp": "zz"}]}},
    {"intersects": {"type": "Point", "coordinates": []}},
    {"intersects": {"type": "X"}},
    {"query": {"a": 5}},
    {"sortby": [{"field": "x", "direction": "up"}]},
    {"sortby": "x"},
    {"fields": {"include": 5}},
    {"ids": ["\x00"]},
    {"conf": {"context": "off"}},
    {"bbox": [0, 0, 1, 1], "intersects": {"type": "Point", "coordinates": [0, 0]}},
]


def complaint(response: httpx.Response) -> str:
    answer = response.json()
    assert set(answer) == {"code", "description"}
    assert len(answer["description"]) > 10
    return answer["description"]


@pytest.mark.parametrize(
    ("path", "bad"),
    [(path, bad) for path in ("/search", "/collections/testmap/items") for bad in BAD]
    + [("/search", bad) for bad in BAD_SEARCH]
    + [("/collections", {"bbox": "1,2"}), ("/collections", {"offset": "-5"})]
    + [("/collections", {"filter": "(("}), ("/collections", {"query": "["})],
    ids=str,
)
def test_bad_parameters_are_400_with_a_sentence(
    http: httpx.Client, path: str, bad: dict[str, str]
) -> None:
    response = http.get(path, params=bad)
    assert response.status_code == 400, response.text
    assert "Traceback" not in complaint(response)


@pytest.mark.parametrize("bad", BAD_BODIES, ids=str)
def test_bad_bodies_are_400_with_a_sentence(http: httpx.Client, bad: bytes | dict) -> None:
    content = bad if isinstance(bad, bytes) else json.dumps(bad).encode()
    response = http.post("/search", content=content, headers={"Content-Type": "application/json"})
    assert response.status_code == 400, response.text
    complaint(response)


def test_the_sentence_names_what_is_wrong(http: httpx.Client) -> None:
    def said(**bad: str) -> str:
        return complaint(http.get("/search", params=bad))

    assert "limit" in said(limit="x")
    assert said(intersects='{"type":"Point"}') == "intersects must be a GeoJSON geometry."
    assert said(query="5") == "query: Input should be a valid dictionary."
    assert "Invalid paging token: x" in said(token="x")  # noqa: S106 - of paging
    assert "double precision" in said(filter='"proj:code" = 1')


def test_what_is_not_there_is_404(http: httpx.Client) -> None:
    for path in (
        "/collections/absent",
        "/collections/absent/items",
        "/collections/testmap/items/absent",
        "/assets/maps/absent_0123456789abcdef.tif",
        "/absent",
    ):
        response = http.get(path)
        assert response.status_code == 404, path
        complaint(response)


def test_limit_is_capped(http: httpx.Client) -> None:
    assert len(features(http.get("/search", params={"limit": 99_999_999}))) == 26


def test_a_search_that_takes_too_long_is_given_up(
    site: Site, module_database: Database, tmp_path: Path
) -> None:
    hasty = replace(site.settings, statement_timeout=0.5)
    with serving(hasty, tmp_path / "log") as url, module_database.engine.begin() as conn:
        conn.exec_driver_sql("LOCK TABLE pgstac.items IN ACCESS EXCLUSIVE MODE")
        response = httpx.get(f"{url}/search", trust_env=False)
    assert response.status_code == 503
    assert "too long" in complaint(response)


# --- operation ----------------------------------------------------------------------------------


def test_health(http: httpx.Client) -> None:
    assert http.get("/_mgmt/ping").json() == {"message": "PONG"}
    health = http.get("/_mgmt/health").json()
    assert health["pgstac"] == {"status": "UP", "pgstac_version": PGSTAC_VERSION}


def test_links_begin_with_the_public_url_whatever_the_request_says(
    site: Site, tmp_path: Path
) -> None:
    public = "https://maps.example.org/stac"
    lies = {"Host": "evil.example", "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "ftp"}
    with serving(replace(site.settings, public_url=f"{public}/"), tmp_path / "log") as url:
        pages = [
            httpx.get(f"{url}{prefix}{path}", headers=lies, trust_env=False).text
            for prefix in ("", "/stac")
            for path in (
                "/",
                "/collections",
                "/search?limit=1",
                "/collections/testmap/items?limit=1",
            )
        ]
    for page in pages:
        assert "evil" not in page
        document = json.loads(page)
        links = [*document["links"], *(document.get("features") or [{}])[0].get("links", [])]
        assert links
        assert all(link["href"].startswith(public) for link in links)
    (item,) = json.loads(pages[2])["features"]
    assert item["assets"]["quality"]["href"].startswith(f"{public}/assets/maps/")


def test_a_proxy_says_where_it_stands(site: Site) -> None:
    forwarded = {"X-Forwarded-Host": "maps.example.org", "X-Forwarded-Proto": "https"}
    page = httpx.get(site.url, headers=forwarded, trust_env=False).json()
    assert page["links"][0]["href"] == "https://maps.example.org/"


async def _start(settings: ApiSettings) -> None:
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        pass


def test_start_refuses_a_database_that_is_not_ours(
    empty_database: Database, tmp_path: Path
) -> None:
    import asyncio

    for url in (
        empty_database.libpq_url("smcatalog"),
        f"postgresql:///absent?host={tmp_path}&user=nobody",
    ):
        with pytest.raises(DatabaseUnavailable, match="db upgrade"):
            asyncio.run(_start(ApiSettings(url, tmp_path)))


def test_settings_come_from_nowhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAC_FASTAPI_TITLE", "from the environment")
    monkeypatch.setenv("ENABLE_TRANSACTIONS_EXTENSIONS", "true")
    monkeypatch.setenv("ROOT_PATH", "/nowhere")
    app = create_app(ApiSettings("postgresql:///x", tmp_path))
    assert app.title == ApiSettings("postgresql:///x", tmp_path).title
    assert app.root_path == ""
    assert os.environ["ROOT_PATH"] == "/nowhere"


@pytest.mark.parametrize(
    "wrong",
    [{"database_url": "mysql://x"}, {"public_url": "maps.example.org"}, {"root_path": "stac"}],
)
def test_settings_that_cannot_be_right_are_refused(tmp_path: Path, wrong: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError):
        ApiSettings(**({"database_url": "postgresql:///x", "store_root": tmp_path} | wrong))
