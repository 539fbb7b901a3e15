"""Whatever happens to a file's bytes, a reader refuses it or reads it; it never breaks."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.files import walk
from ingest.granules import examine, read
from smcatalog.core.errors import RefusedInput
from smcatalog.core.raster import Raster
from smcatalog.core.stations import StationSeries
from tests.factories.corruptions import contents, every
from tests.factories.granules import SAMPLES, Sample

# one sample for each format and declaration suffices: the other GeoTIFFs share all their code
KEPT = [
    s
    for s in SAMPLES
    if every(s)
    if not s.name.endswith(".tif") or s.name.startswith(("DEM", "ANUClimate_v2-0_rain"))
    if not s.source.startswith("MYD")  # the code of the other satellite's
    if not s.source.startswith("GMTED2010-")
]
SLOW = {"SRTMGL3", "SPL3SMP_E", "SPL4SMGP"}
"""Tiles and global fields; the code is hardly other than that of smaller samples."""
FAMILIES = {
    "MOD11A1",
    "SPL2SMP",
    "VNP13A2",
    "ERA5",
    "DEM-100m",
    "ISMN",
    "station-table",
    "basins.shp",
}
Damage = Callable[[st.DataObject, bytes], bytes]


@pytest.fixture(params=KEPT, ids=str, scope="module")
def sample(request) -> Sample:
    return request.param


def _campaign(damage: Damage, sample: Sample, folder: Path, examples: int) -> None:
    """Damage one file of a sample in many ways, each time the same ones, and look what becomes of it."""
    files = contents(sample)
    main, *others = (folder / name for name in files)
    if sample.source in SLOW:
        examples = min(examples, 8)

    @settings(max_examples=examples, deadline=None, derandomize=True, database=None)
    @given(data=st.data())
    def run(data: st.DataObject) -> None:
        for name, content in files.items():
            (folder / name).write_bytes(content)
        target = data.draw(st.sampled_from([main, *others]))
        target.write_bytes(damage(data, files[target.name]))
        _refused_or_sound(main)

    run()


def _refused_or_sound(path: Path, room: Path | None = None) -> None:
    for candidate in walk([path], workspace=room):
        try:
            values = list(read(examine(candidate)))
        except RefusedInput as error:
            _legible(error.reason)
            continue
        assert values
        for value in values:
            if isinstance(value, Raster):
                finite = value.values[~np.isnan(value.values)]
                assert finite.size
                assert not value.variable.out_of_range(finite).any()
            elif isinstance(value, StationSeries):
                assert np.isfinite(value.values).all()
                assert ((value.values >= 0) & (value.values <= 1))[value.good].all()


def _legible(reason: str) -> None:
    assert reason.encode()
    assert not {"\n", "\0", "\x1b"} & set(reason)


def _flips(data: st.DataObject, content: bytes) -> bytes:
    damaged = bytearray(content)
    # headers are where a flip is not just another number
    limit = data.draw(st.sampled_from([min(512, len(content)), len(content)]))
    for _ in range(data.draw(st.integers(1, 6))):
        damaged[data.draw(st.integers(0, limit - 1))] = data.draw(st.integers(0, 255))
    return bytes(damaged)


def _cut(data: st.DataObject, content: bytes) -> bytes:
    return content[: data.draw(st.integers(0, len(content)))]


def _hole(data: st.DataObject, content: bytes) -> bytes:
    start = data.draw(st.integers(0, len(content) - 1))
    length = data.draw(st.integers(1, 256))
    piece = data.draw(st.sampled_from([b"\0", b"\xff", b"<html>"])) * length
    return content[:start] + piece[:length] + content[start + length :]


def _shift(data: st.DataObject, content: bytes) -> bytes:
    """Leave some bytes out, or put some in: all that follows lies elsewhere than it should."""
    start = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        return content[:start] + content[start + data.draw(st.integers(1, 64)) :]
    return content[:start] + data.draw(st.binary(min_size=1, max_size=64)) + content[start:]


def _block(data: st.DataObject, content: bytes) -> bytes:
    """Put one block of the file in another one's place, or nothing, as a file system does that loses it."""
    size = data.draw(st.sampled_from([64, 512, 4096]))
    start, other = (data.draw(st.integers(0, len(content) // size)) * size for _ in range(2))
    block = bytes(size) if data.draw(st.booleans()) else content[other : other + size]
    return (content[:start] + block + content[start + size :])[: len(content)]


def test_flipped_bytes(sample, tmp_path, repetitions):
    _campaign(_flips, sample, tmp_path, repetitions(60))


def test_truncation(sample, tmp_path, repetitions):
    _campaign(_cut, sample, tmp_path, repetitions(40))


def test_a_hole_of_zeros_or_a_foreign_piece(sample, tmp_path, repetitions):
    _campaign(_hole, sample, tmp_path, repetitions(40))


def test_bytes_lost_or_put_in(sample, tmp_path, repetitions):
    _campaign(_shift, sample, tmp_path, repetitions(40))


def test_lost_blocks(sample, tmp_path, repetitions):
    _campaign(_block, sample, tmp_path, repetitions(20))


@pytest.mark.parametrize("damage", [_flips, _cut, _hole, _shift])
def test_damaged_zips(damage, tmp_path, repetitions):
    """A zip of one small file of each family: what comes out whole is read, the rest is named."""
    path, room = tmp_path / "a.zip", tmp_path / "room"
    room.mkdir()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for sample in KEPT:
            if sample.source in FAMILIES or sample.name in FAMILIES:
                for name, content in contents(sample).items():
                    archive.writestr(f"{sample.source}/{name}", content)
    whole = path.read_bytes()

    @settings(max_examples=repetitions(25), deadline=None, derandomize=True, database=None)
    @given(data=st.data())
    def run(data: st.DataObject) -> None:
        path.write_bytes(damage(data, whole))
        _refused_or_sound(path, room)
        assert list(room.iterdir()) == []

    run()
