"""What every store promises, in a folder and on S3; and how one on S3 bears a server that fails."""

from __future__ import annotations

import hashlib
import logging
import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.windows import Window

from smcatalog.core.errors import StoreError
from smcatalog.core.grids import grid
from smcatalog.store import CogBand, FolderStore, Store, open_store, validate_cog, write_cog
from smcatalog.store.retries import Retries
from tests.factories.objects import KEY, SECRET, TOKEN, Fault
from tests.fixtures.objects import IMPATIENT, Bucket

GRID = grid("M01").window(slice(5000, 5600), slice(20000, 20700))
VALUES = np.random.default_rng(0).integers(0, 6000, GRID.shape).astype(np.int16)


def write_map(path: Path) -> None:
    band = CogBand(VALUES, "sm", 0.0001, 0.0, "m3 m-3")
    write_cog(path, [band], GRID, nodata=-9999, resampling="average")


def writes(content: bytes) -> Callable[[Path], Any]:
    return lambda path: path.write_bytes(content)


@dataclass(frozen=True)
class Case:
    """A store, and ways past it."""

    store: Store
    work: Path
    spoil: Callable[[str, bytes], None]
    """Put other content under a key."""

    def keys(self) -> list[str]:
        return [entry.key for entry in self.store.files()]

    def add(self, stem: str, content: bytes = b"content", suffix: str = ".bin") -> Any:
        with self.store.work() as work:
            return self.store.add(stem, suffix, writes(content), work=work)


@pytest.fixture(params=["folder", "s3"])
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Case:
    if request.param == "folder":
        store = FolderStore(tmp_path / "store")

        def spoil(key: str, content: bytes) -> None:
            (store.root / key).write_bytes(content)

        return Case(store, tmp_path, spoil)
    bucket: Bucket = request.getfixturevalue("bucket")
    return Case(bucket.store(tmp_path / "work", IMPATIENT), tmp_path / "work", bucket.put)


@pytest.fixture
def s3(bucket: Bucket, tmp_path: Path) -> Case:
    return Case(bucket.store(tmp_path / "work", IMPATIENT), tmp_path / "work", bucket.put)


# --- both ---------------------------------------------------------------------------------------


def test_a_file_is_named_by_its_content_and_put_once(case: Case):
    assert case.keys() == []
    first = case.add("maps/a/x")
    (before,) = case.store.files()
    again = case.add("maps/a/x")
    assert first == again
    sha256 = hashlib.sha256(b"content").hexdigest()
    assert (first.key, first.sha256, first.size) == (f"maps/a/x_{sha256[:16]}.bin", sha256, 7)
    other = case.add("maps/a/x", b"other")
    assert list(case.store.files())[case.keys().index(first.key)] == before
    assert case.keys() == sorted([first.key, other.key])
    assert datetime.now(UTC) - before.modified < timedelta(minutes=5)
    assert before.modified.tzinfo is not None


def test_a_damaged_file_is_put_again(case: Case):
    first = case.add("maps/x")
    for wrong in (b"c0ntent", b"half", b""):
        case.spoil(first.key, wrong)
        assert case.store.checksum(first.key) != first.sha256
        assert case.add("maps/x") == first
        assert case.store.checksum(first.key) == first.sha256


def test_files_are_found_listed_read_and_removed(case: Case):
    content = np.random.default_rng(1).bytes(20_000_000)  # more than two pieces of a stream
    added = case.add("models/m", content)
    assert case.store.exists(added.key)
    assert case.store.find(added.key) == next(case.store.files())
    assert case.store.checksum(added.key) == added.sha256
    assert b"".join(case.store.stream(added.key)) == content
    for start, stop in (
        (0, 1),
        (8 << 20, (8 << 20) + 1),
        (5, 19_999_999),
        (19_999_990, 30_000_000),
    ):
        assert b"".join(case.store.stream(added.key, start, stop)) == content[start:stop]
    case.store.remove(added.key)
    case.store.remove(added.key)
    assert not case.store.exists(added.key)
    assert case.store.find(added.key) is None
    assert case.keys() == []
    with pytest.raises(StoreError, match=f"cannot read {added.key} in the store"):
        case.store.checksum(added.key)
    with pytest.raises(StoreError, match=f"cannot read .*{Path(added.key).name} in the store"):
        case.store.read(added.key)


def test_files_come_in_the_order_of_their_keys(case: Case):
    stems = ["maps/b", "maps/a/x", "maps/a-b", "maps/a.b", "layers/z", "maps/B"]
    keys = [case.add(stem).key for stem in stems]
    case.spoil("maps/a/.hidden", b"nothing of ours")
    assert case.keys() == sorted(keys)
    assert case.store.sweep() == 0


def test_a_file_that_fails_its_check_or_is_not_written_leaves_nothing(case: Case):
    def refuse(path: Path) -> None:
        assert path.read_bytes() == b"content"
        raise StoreError(f"{path.name} is not good")

    def die(path: Path) -> None:
        path.write_bytes(b"half")
        raise RuntimeError("in the middle")

    with case.store.work() as work:
        with pytest.raises(StoreError, match="not good"):
            case.store.add("maps/x", ".bin", writes(b"content"), work=work, check=refuse)
        with pytest.raises(RuntimeError, match="in the middle"):
            case.store.add("maps/x", ".bin", die, work=work)
        assert [path.name for path in work.iterdir()] == ["lock"]
    assert case.keys() == []


@pytest.mark.parametrize(
    "key", ["/etc/passwd", "../x", "maps/../x", ".work/a", "", "a/.x", "a//b", "a\0"]
)
def test_keys_stay_inside(case: Case, key: str):
    def local() -> None:
        with case.store.local(key, ""):
            pass

    for use in (
        lambda: case.store.address(key),
        lambda: case.store.find(key),
        lambda: case.store.exists(key),
        lambda: case.store.checksum(key),
        lambda: case.store.remove(key),
        lambda: case.store.read(key),
        local,
    ):
        with pytest.raises(StoreError, match="not a key"):
            use()


def test_gdal_opens_the_address_whole_and_by_window(case: Case):
    with case.store.work() as work:
        added = case.store.add("maps/m", ".tif", write_map, work=work, check=validate_cog)
    with case.store.gdal(), rasterio.open(case.store.address(added.key)) as source:
        assert source.crs.to_epsg() == 6933
        assert source.overviews(1) == [2]
        assert np.array_equal(source.read(1), VALUES)
        window = source.read(1, window=Window(500, 10, 70, 50))
    assert np.array_equal(window, VALUES[10:60, 500:570])
    part = case.store.read(added.key, rows=slice(10, 60), columns=slice(500, 570), bands=[1])
    assert np.array_equal(part[0], window)


def test_a_file_that_came_back_is_read(case: Case):
    with case.store.work() as work:
        added = case.store.add("maps/m", ".tif", write_map, work=work)
        case.store.remove(added.key)
        with pytest.raises(StoreError, match="cannot read"):
            case.store.read(added.key)
        case.store.add("maps/m", ".tif", write_map, work=work)
    assert np.array_equal(case.store.read(added.key)[0], VALUES)
    case.spoil(added.key, b"II*\0 no tiff at all")
    with pytest.raises(StoreError, match="cannot read"):
        case.store.read(added.key)


def test_a_local_copy_is_compared_with_its_checksum(case: Case):
    added = case.add("models/m", b"good", ".json")
    with case.store.local(added.key, added.sha256) as path:
        assert path.read_bytes() == b"good"
        assert path.suffix == ".json"
    case.spoil(added.key, b"evil")
    with pytest.raises(StoreError, match="damaged"), case.store.local(added.key, added.sha256):
        pass
    case.store.remove(added.key)
    with pytest.raises(StoreError, match="cannot read"), case.store.local(added.key, added.sha256):
        pass
    assert list(case.work.glob("*/*.json")) == []


def test_what_is_taken_is_there_once_and_the_rest_is_gone(case: Case):
    there = case.add("maps/x", b"x")
    before = case.store.find(there.key)
    with case.store.work() as work:
        stage = FolderStore(work / "stage")
        same, new, left = (
            stage.add(f"maps/{name}", ".bin", writes(name.encode()), work=work) for name in "xyz"
        )
        for key in (same.key, new.key):
            case.store.take(stage, key)
        assert [entry.key for entry in stage.files()] == [left.key]
    assert case.keys() == sorted([there.key, new.key])
    assert case.store.find(there.key) == before
    assert case.store.checksum(new.key) == new.sha256
    with pytest.raises(StoreError, match="cannot write"):
        case.store.take(stage, left.key)


def test_threads_that_race_agree(case: Case):
    barrier = Barrier(6)

    def race(number: int) -> Any:
        with case.store.work() as work:
            barrier.wait(20)
            return case.store.add("maps/x", ".bin", writes(b"%d" % (number % 2)), work=work)

    with ThreadPoolExecutor(6) as pool:
        found = set(pool.map(race, range(6)))
    assert len(found) == 2
    assert case.keys() == sorted(file.key for file in found)
    for file in found:
        assert case.store.checksum(file.key) == file.sha256


def _race(location: Path | str, work: Path, barrier: Any, results: Any) -> None:
    store = open_store(location, work=work)
    with store.work() as folder:
        barrier.wait(60)
        results.put(store.add("maps/x", ".bin", writes(b"x" * 3_000_000), work=folder))


def test_processes_that_race_agree(case: Case):
    context = multiprocessing.get_context("spawn")  # as fresh as workers on other machines
    barrier, results = context.Barrier(2), context.Queue()
    racers = [
        context.Process(target=_race, args=(case.store.location, case.work, barrier, results))
        for _ in range(2)
    ]
    for racer in racers:
        racer.start()
    first, second = (results.get(timeout=90) for _ in racers)
    for racer in racers:
        racer.join()
    assert first == second
    assert case.keys() == [first.key]
    assert case.store.checksum(first.key) == first.sha256


# --- on S3 --------------------------------------------------------------------------------------


def test_a_store_on_s3_is_opened_by_its_address(bucket: Bucket, tmp_path: Path):
    store = open_store(f"{bucket.url}/", work=tmp_path)
    assert store.location == bucket.url
    assert store.address("maps/x.tif") == f"/vsis3/{bucket.name}/catalogue/one/maps/x.tif"
    assert isinstance(open_store(str(tmp_path)), FolderStore)
    with store.work() as work:
        assert work.parent == tmp_path
        stored = store.add("maps/x", ".bin", writes(b"x"), work=work)
    answer = bucket.server.get(bucket.name, f"catalogue/one/{stored.key}")
    assert answer.headers["x-amz-meta-sha256"] == stored.sha256
    # the same bucket under another prefix is another store
    assert list(open_store(f"s3://{bucket.name}/catalogue", work=tmp_path).files())
    assert list(open_store(f"s3://{bucket.name}/cat", work=tmp_path).files()) == []


def test_a_put_never_replaces_what_another_has_put(s3: Case, bucket: Bucket):
    added = s3.add("maps/x")
    bucket.server.fail()
    assert s3.add("maps/x") == added
    requests = [line.split()[0] for line in bucket.server.seen]
    assert requests.count("PUT") == 1  # refused by the server: If-None-Match
    assert "POST" not in requests  # no upload in parts


@pytest.mark.long
@pytest.mark.slow
def test_more_objects_than_a_page_of_the_list_holds(bucket: Bucket, tmp_path: Path):
    keys = [f"maps/{number:04}.tif" for number in range(1005)]
    for key in keys:
        bucket.put(key, b"x")
    bucket.server.fail(Fault("503", "GET", "list-type", times=1, after=1))
    assert [entry.key for entry in bucket.store(tmp_path).files()] == keys


@pytest.mark.parametrize("kind", ["500", "503", "429", "cut", "lost", "hang"])
def test_what_passes_is_not_noticed(s3: Case, bucket: Bucket, kind: str):
    bucket.server.fail(
        Fault(kind, "PUT", times=1), Fault(kind, "HEAD", times=1), Fault(kind, "GET", times=1)
    )
    with s3.store.work() as work:
        added = s3.store.add("maps/m", ".tif", write_map, work=work)
    assert np.array_equal(s3.store.read(added.key)[0], VALUES)
    bucket.server.fail(Fault(kind, "GET", times=1))
    assert s3.store.checksum(added.key) == added.sha256
    bucket.server.fail(Fault(kind, "GET", times=1))
    assert s3.keys() == [added.key]
    bucket.server.fail(Fault(kind, "POST", times=1), Fault(kind, "DELETE", times=1))
    s3.store.remove(added.key)
    bucket.server.fail()
    assert s3.keys() == []


@pytest.mark.parametrize("kind", ["500", "503", "hang", "cut", "403"])
def test_what_lasts_is_said_without_secrets(
    bucket: Bucket, tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.DEBUG)
    store = bucket.store(tmp_path, Retries(1.0, 0.02, 0.2, 0.4))
    with store.work() as work:
        added = store.add("maps/m", ".tif", write_map, work=work)
    fault = Fault("500" if kind == "cut" else kind)
    uses: dict[str, Callable[[], Any]] = {
        "write": lambda: _add(store),
        "read": lambda: store.read(added.key),
        "look for": lambda: store.find(added.key),
        "list": lambda: list(store.files()),
        "remove": lambda: store.remove(added.key),
    }
    for name, use in uses.items():
        bucket.server.fail(
            *([Fault("cut", "PUT")] if kind == "cut" and name == "write" else [fault])
        )
        begun = time.monotonic()
        with pytest.raises(StoreError) as failure:
            use()
        assert time.monotonic() - begun < 12
        said = str(failure.value)
        assert said.startswith(f"cannot {name}")
        assert bucket.url in said
        assert "check AWS_" in said
        _has_no_secret(failure.getrepr(style="native"))
    _has_no_secret(caplog.text)
    bucket.server.fail()
    assert [entry.key for entry in store.files()] == [added.key]
    assert [path.name for path in tmp_path.iterdir()] == []


def _add(store: Store) -> None:
    with store.work() as work:
        store.add("maps/x", ".bin", writes(b"x" * 100_000), work=work)


def _has_no_secret(text: object) -> None:
    for secret in (SECRET, TOKEN, KEY, "Signature="):
        assert secret not in str(text)


def test_no_server_at_all_and_no_bucket_say_what_to_do(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    missing = open_store("s3://not-there-at-all/x", work=tmp_path)
    for use in (lambda: list(missing.files()), lambda: _add(missing)):
        with pytest.raises(StoreError, match=r"bucket.*SMCATALOG_STORE"):
            use()
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    store = bucket.store(tmp_path, Retries(0.5, 0.02, 0.2, 0.5))
    with pytest.raises(StoreError, match=r"does not answer, \d+ times; check AWS_ENDPOINT_URL"):
        store.find("maps/x.tif")


def test_a_writer_that_dies_in_its_put_leaves_nothing_to_see(s3: Case, bucket: Bucket):
    bucket.server.fail(Fault("hang", "PUT"))
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(1), context.Queue()
    writer = context.Process(
        target=_race, args=(s3.store.location, s3.work, barrier, results)
    )  # fmt: skip
    writer.start()
    try:
        bucket.server.wait_for("PUT", "maps/x")
        assert s3.keys() == []
        assert s3.store.sweep() == 0
    finally:
        os.kill(writer.pid, signal.SIGKILL)
        writer.join()
    assert s3.store.sweep() == 1
    assert list(s3.work.iterdir()) == []
    bucket.server.fail()
    assert s3.keys() == []


def test_a_put_whose_answer_was_lost_is_found_done(s3: Case, bucket: Bucket):
    bucket.server.fail(Fault("lost", "PUT", times=1))
    added = s3.add("maps/x")
    assert [line.split()[0] for line in bucket.server.seen].count("PUT") == 2
    assert s3.keys() == [added.key]
    assert s3.store.checksum(added.key) == added.sha256
