import errno
import multiprocessing
import os
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import rasterio

from smcatalog.core.errors import StoreError
from smcatalog.core.grids import grid
from smcatalog.store import CogBand, FolderStore, read_cog, validate_cog, write_cog

GRID = grid("M01").window(slice(5000, 5600), slice(20000, 20700))


def band(seed: int = 0) -> CogBand:
    values = np.random.default_rng(seed).integers(0, 6000, GRID.shape).astype(np.int16)
    values[:50, :50] = -9999
    return CogBand(values, "sm", 0.0001, 0.0, "m3 m-3")


def write(path: Path, seed: int = 0) -> None:
    write_cog(path, [band(seed)], GRID, nodata=-9999, resampling="average")


def keys(store: FolderStore) -> list[str]:
    return [entry.key for entry in store.files()]


def test_a_file_is_named_by_its_content_and_written_once(tmp_path):
    store = FolderStore(tmp_path)
    with store.work() as work:
        first = store.add("maps/x/x_2018214_sm", ".tif", write, work=work, check=validate_cog)
        before = store.path(first.key).stat()
        again = store.add("maps/x/x_2018214_sm", ".tif", write, work=work, check=validate_cog)
        other = store.add("maps/x/x_2018214_sm", ".tif", lambda p: write(p, 1), work=work)
    assert first == again != other
    assert first.key == f"maps/x/x_2018214_sm_{first.sha256[:16]}.tif"
    after = store.path(first.key).stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert keys(store) == sorted([first.key, other.key])
    assert not list((tmp_path / ".work").iterdir())


def test_a_file_that_fails_its_check_leaves_nothing(tmp_path):
    store = FolderStore(tmp_path)

    def refuse(path: Path) -> None:
        raise StoreError(f"{path.name} is not good")

    with store.work() as work, pytest.raises(StoreError, match="not good"):
        store.add("maps/x", ".tif", write, work=work, check=refuse)
    assert list(store.files()) == []


def test_what_is_taken_from_another_store_is_there_once_and_the_rest_is_gone(tmp_path):
    store = FolderStore(tmp_path)
    with store.work() as work:
        there = store.add("maps/x", ".tif", write, work=work)
        before = store.path(there.key).stat()
        stage = FolderStore(work / "stage")
        same, new, left = (
            stage.add(f"maps/{name}", ".tif", lambda p, n=seed: write(p, n), work=work)
            for name, seed in (("x", 0), ("y", 1), ("z", 2))
        )
        for key in (same.key, new.key):
            store.take(stage, key)
        assert keys(stage) == [left.key]
    assert keys(store) == sorted([there.key, new.key])
    assert (store.path(there.key).stat().st_ino, same.key) == (before.st_ino, there.key)
    with store.local(new.key, new.sha256) as path:
        assert path == store.path(new.key)
    with pytest.raises(StoreError, match="cannot write"):
        store.take(stage, left.key)


def test_gdal_and_others_read_what_was_written(tmp_path):
    path = tmp_path / "a.tif"
    write(path)
    validate_cog(path)
    with rasterio.open(path) as source:
        assert source.crs.to_epsg() == 6933
        assert source.transform == GRID.transform
        assert source.scales == (0.0001,)
        assert source.units == ("m3 m-3",)
        assert source.nodata == -9999
        assert source.overviews(1) == [2]
        assert np.array_equal(source.read(1), band().values)
    window = read_cog(path, rows=slice(10, 60), columns=slice(20, 90))
    assert np.array_equal(window[0], band().values[10:60, 20:90])


@pytest.mark.parametrize("compression", ["DEFLATE", "ZSTD"])
@pytest.mark.parametrize("dtype", ["int16", "uint16"])
def test_the_same_content_gives_the_same_bytes_whatever_the_number_of_threads(
    tmp_path, monkeypatch, dtype, compression
):
    where = grid("M01").window(slice(5000, 6500), slice(20000, 21700))
    smooth = np.add.outer(np.arange(1500), np.arange(1700))
    noise = np.random.default_rng(1).integers(0, 40, where.shape)
    bands = [CogBand((smooth + noise * k).astype(dtype), f"b{k}") for k in (1, 2)]
    files = set()
    for threads in ("1", "2", "5"):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        path = tmp_path / f"{threads}.tif"
        write_cog(path, bands, where, nodata=0, resampling="average", compression=compression)
        files.add(path.read_bytes())
    assert len(files) == 1


def test_what_is_no_cog_is_refused(tmp_path):
    path = tmp_path / "a.tif"
    profile = {"driver": "GTiff", "height": 600, "width": 700, "count": 1, "dtype": "int16",
               "crs": "EPSG:6933", "transform": GRID.transform}  # fmt: skip
    with rasterio.open(path, "w", **profile) as out:
        out.write(band().values, 1)
    with pytest.raises(StoreError, match="not a valid COG"):
        validate_cog(path)
    path.write_bytes(b"II*\0 no tiff at all")
    with pytest.raises(StoreError, match="cannot be reopened"):
        validate_cog(path)
    with pytest.raises(StoreError, match="cannot read"):
        read_cog(path)


def test_bands_that_do_not_fit_are_refused(tmp_path):
    odd = CogBand(np.zeros((3, 3), np.int16), "odd")
    for bands in ([], [odd], [band(), CogBand(np.zeros(GRID.shape, np.uint16), "q")]):
        with pytest.raises(StoreError):
            write_cog(tmp_path / "a.tif", bands, GRID, nodata=0, resampling="nearest")


def test_damage_is_noticed(tmp_path):
    store = FolderStore(tmp_path)
    with store.work() as work:
        stored = store.add("models/m", ".bin", lambda p: p.write_bytes(b"good"), work=work)
    with store.local(stored.key, stored.sha256) as path:
        assert path.read_bytes() == b"good"
    store.path(stored.key).write_bytes(b"evil")
    with pytest.raises(StoreError, match="damaged"), store.local(stored.key, stored.sha256):
        pass
    store.path(stored.key).unlink()
    with pytest.raises(StoreError, match="cannot read"), store.local(stored.key, stored.sha256):
        pass


@pytest.mark.parametrize(
    "key",
    [
        "/etc/passwd",
        "../x",
        "maps/../../x",
        ".work/a",
        "",
        "maps/.x",
        "maps//x",
        "./x",
        "a\nb",
        "x/",
    ],
)
def test_keys_stay_inside_the_store(tmp_path, key):
    with pytest.raises(StoreError, match="not a key"):
        FolderStore(tmp_path).path(key)


def _hold(root: Path, ready: multiprocessing.Event) -> None:
    with FolderStore(root).work() as work:
        (work / "half.tif").write_bytes(b"half")
        ready.set()
        time.sleep(60)


def test_a_dead_writers_files_are_swept_and_a_living_ones_are_not(tmp_path):
    context = multiprocessing.get_context("fork")
    ready = context.Event()
    writer = context.Process(target=_hold, args=(tmp_path, ready))
    writer.start()
    try:
        assert ready.wait(20)
        store = FolderStore(tmp_path)
        assert store.sweep() == 0
        assert len(list((tmp_path / ".work").iterdir())) == 1
    finally:
        os.kill(writer.pid, signal.SIGKILL)
        writer.join()
    assert store.sweep() == 1
    assert list((tmp_path / ".work").iterdir()) == []


def test_a_folder_that_cannot_be_written_says_so(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    with (
        pytest.raises(StoreError, match="cannot write to the store"),
        FolderStore(blocked / "x").work(),
    ):
        pass


def test_what_the_disk_says_comes_with_advice(tmp_path):
    store = FolderStore(tmp_path)

    def full(path: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    def closed(path: Path) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    with store.work() as work:
        for write_badly, said in (
            (full, "No space left.*make room"),
            (closed, "give this process"),
        ):
            with pytest.raises(StoreError, match=said):
                store.add("maps/x", ".tif", write_badly, work=work)
    assert keys(store) == []


def test_a_disk_that_is_full_when_gdal_writes_is_told_as_that(tmp_path, monkeypatch):
    store = FolderStore(tmp_path)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=0))

    def refuse(path: Path) -> None:
        raise StoreError(f"{path.name} is not a valid COG: it ends early")

    with store.work() as work, pytest.raises(StoreError, match=r"ends early.*is full: make room"):
        store.add("maps/x", ".tif", write, work=work, check=refuse)


def test_links_are_no_files_of_the_store_but_its_first_folders_may_be(tmp_path):
    disk = tmp_path / "disk"
    (disk / "2020").mkdir(parents=True)
    (disk / "2020" / "a.tif").write_text("a")
    root = tmp_path / "store"
    root.mkdir()
    (root / "maps").symlink_to(disk)
    (tmp_path / "secret").write_text("secret")
    (disk / "2020" / "b.tif").symlink_to(tmp_path / "secret")
    store = FolderStore(root)
    assert keys(store) == ["maps/2020/a.tif"]
    assert store.exists("maps/2020/a.tif")
    assert not store.exists("maps/2020/b.tif")
    assert not store.exists("maps/2020")
    assert not store.exists("maps/2020/a.tif/c")
