"""The chain with the store in a bucket: from files to a map that is downloaded, as with a folder."""

from __future__ import annotations

import hashlib
from pathlib import Path

import httpx
import numpy as np
import pytest
import rasterio

from ingest.service import ingest
from smcatalog.api.settings import ApiSettings
from smcatalog.core.settings import Settings
from smcatalog.services.produce import produce
from smcatalog.services.workspace import Workspace
from smcatalog.store import FolderStore
from smcatalog.store.s3 import S3Store
from tests.factories import granules, modis
from tests.factories import inputs as make
from tests.factories.objects import KEY, SECRET, Fault
from tests.factories.serving import serving
from tests.fixtures.databases import Database, Server
from tests.fixtures.objects import Bucket

DAYS = make.days(11)
KEYS = """
    SELECT key, sha256 FROM smcatalog.layers
    UNION SELECT key, sha256 FROM smcatalog.models
    UNION SELECT key, sha256 FROM smcatalog.map_files ORDER BY 1
"""


def _deliver(folder: Path) -> None:
    """Enough files for two processes, one of them damaged after its first part."""
    folder.mkdir()
    rng = np.random.default_rng(1)
    for day in range(1, 9):
        name = f"MOD11A1.A202000{day}.h18v05.061.2020002081500.hdf"
        stored = rng.integers(14000, 15500, (90, 120)).astype(np.uint16)
        night = np.full_like(stored, 1200) if day == 3 else stored + np.uint16(5)
        modis.lst(folder / name, stored, night, name=name)
    granules.geotiff(folder / "DEM_100m_resampled.tif", rng.uniform(100, 200, (90, 90)))


def _chain(place: Workspace, delivered: Path) -> dict[str, str]:
    """Ingest and produce one day; return the recorded checksums by key."""
    report = ingest(place, [delivered], workers=2)
    assert (report.count("ingested"), report.count("refused")) == (8, 1)
    make.put_static(place)
    for day in DAYS:
        make.put_day(place, day)
    made = produce(place, make.definition(), DAYS[10], DAYS[10])
    assert [day.outcome for day in made.days] == ["made"]
    with place.engine.connect() as connection:
        return {key: sha256 for key, sha256 in connection.exec_driver_sql(KEYS)}  # noqa: C416


@pytest.mark.slow
def test_a_bucket_holds_what_a_folder_would(
    database_server: Server, bucket: Bucket, tmp_path: Path
):
    _deliver(tmp_path / "in")
    with database_server.database() as one, database_server.database() as two:
        beside = make.workspace(one.engine, tmp_path / "folder")
        expected = _chain(beside, tmp_path / "in")
        place = Workspace.open(
            Settings.load(
                env={
                    "SMCATALOG_HOME": str(tmp_path / "s3"),
                    "SMCATALOG_STORE": bucket.url,
                    "SMCATALOG_DATABASE_URL": two.url,
                }
            )
        )
        assert isinstance(place.store, S3Store)
        # the server is out of order now and then
        bucket.server.fail(
            *(
                Fault(kind, method, times=2, after=after)
                for kind, after in (("503", 2), ("cut", 7), ("lost", 12))
                for method in ("PUT", "GET")
            )
        )
        found = _chain(place, tmp_path / "in")
        assert found == expected

        # the bucket has all that is recorded, nothing else, nothing of it damaged
        assert [entry.key for entry in place.store.files()] == sorted(found)
        assert [entry.key for entry in FolderStore(beside.store.root).files()] == sorted(found)
        assert {key: place.store.checksum(key) for key in found} == found
        assert not (tmp_path / "s3" / "store").exists()
        assert list((tmp_path / "s3" / "work").iterdir()) == []

        again = produce(place, make.definition(), DAYS[10], DAYS[10])
        assert {day.outcome for day in again.days} == {"current"}
        # a model that is there is loaded from the bucket
        assert produce(place, make.definition(), DAYS[9], DAYS[9]).days[0].outcome == "made"
        _download(two, bucket, tmp_path, found)
        place.engine.dispose()


def _download(database: Database, bucket: Bucket, folder: Path, found: dict[str, str]) -> None:
    key = next(key for key in found if key.startswith("maps/") and "_soil_moisture_" in key)
    settings = ApiSettings(database.libpq_url("smcatalog_api"), bucket.url)
    log = folder / "server.log"
    with serving(settings, log) as url, httpx.Client(trust_env=False, timeout=60) as http:
        wanted = {"collections": "tiny", "datetime": f"{DAYS[10]}T12:00:00Z"}
        (item,) = http.get(f"{url}/search", params=wanted).json()["features"]
        address = item["assets"]["soil_moisture"]["href"]
        assert address == f"{url}/assets/{key}"
        whole = http.get(address)
        assert whole.status_code == 200
        assert not whole.history
        assert hashlib.sha256(whole.content).hexdigest() == found[key]
        assert whole.headers["etag"].strip('"') in key
        assert whole.headers["content-length"] == str(len(whole.content))
        part = http.get(
            address, headers={"Range": "bytes=100-299", "If-Range": whole.headers["etag"]}
        )
        assert (part.status_code, part.content) == (206, whole.content[100:300])
        assert part.headers["content-range"] == f"bytes 100-299/{len(whole.content)}"
        head = http.head(address)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-length"] == whole.headers["content-length"]
        seen = {"If-None-Match": whole.headers["etag"]}
        assert http.get(address, headers=seen).status_code == 304
        for absent in ("maps/none_0123456789abcdef.tif", next(k for k in found if "models/" in k)):
            assert http.get(f"{url}/assets/{absent}").status_code == 404
        with rasterio.open(f"/vsicurl/{address}") as source:
            assert source.scales == (0.0001,)
            assert source.read(1).shape == source.shape
        bucket.server.fail(Fault("403"))
        refused = http.get(address)
        assert refused.status_code == 503
        assert bucket.name not in refused.text
    for text in (log.read_text(), refused.text):
        assert SECRET not in text
        assert KEY not in text
    assert "check AWS_ACCESS_KEY_ID" in log.read_text()
