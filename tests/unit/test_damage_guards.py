"""What is looked at before a library opens a file: damage that it does not see, or does not survive."""

from __future__ import annotations

import struct

import h5py
import numpy as np
import pytest
import rasterio
from affine import Affine
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox

from ingest.hdf4_directory import check_whole as hdf4_whole
from ingest.hdf5 import check_chunks
from ingest.netcdf import netcdf
from ingest.places import check_on_earth
from ingest.refusal import legible
from ingest.tiff import check_whole as tiff_whole
from smcatalog.core.errors import RefusedInput
from smcatalog.core.grids import Grid
from tests.factories import granules as make
from tests.factories import modis


def _grid(
    crs: str, corner: tuple[float, float], cell: float, shape: tuple[int, int] = (4, 5)
) -> Grid:
    box = GeoBox(shape, Affine(cell, 0, corner[0], 0, -cell, corner[1]), CRS(crs))
    return Grid(f"{crs[:12]}({corner[0]},{corner[1]})", box)


HOMOLOSINE = "+proj=igh +lat_0=0 +lon_0=0 +datum=WGS84 +units=m +no_defs"


@pytest.mark.parametrize(("crs", "corner", "cell", "shape"), [
    ("EPSG:4326", (146.0, -34.0), 0.001, (4, 5)),
    ("EPSG:4283", (146.0, -34.0), 0.001, (4, 5)),
    ("EPSG:32755", (300_000.0, 6_200_000.0), 30.0, (4, 5)),
    ("EPSG:6933", (-17_367_530.0, 7_314_540.0), 36_032.0, (406, 964)),
    ("EPSG:3857", (16_000_000.0, -4_000_000.0), 250.0, (4, 5)),
    # all corners of the globe lie in gaps of this projection
    (HOMOLOSINE, (-20_037_500.0, 8_673_500.0), 250_000.0, (60, 160)),
])  # fmt: skip
def test_places_on_earth_pass(crs, corner, cell, shape):
    check_on_earth(_grid(crs, corner, cell, shape))


@pytest.mark.parametrize(("crs", "corner", "cell", "reason"), [
    ("EPSG:4326", (200.0, 0.0), 0.1, "counted from 0 to 360"),
    ("EPSG:4283", (615_000.0, 6_200_000.0), 30.0, "not on Earth"),
    ("EPSG:32755", (146.0, -34.0), 0.001, "these are degrees"),
    ("EPSG:32755", (9e8, 9e8), 30.0, "nowhere on Earth"),
    ("+proj=longlat +R=3396190 +no_defs", (146.0, -34.0), 0.001, "nobody knows the way"),
])  # fmt: skip
def test_places_elsewhere_do_not(crs, corner, cell, reason):
    with pytest.raises(RefusedInput, match=reason):
        check_on_earth(_grid(crs, corner, cell))


@pytest.mark.parametrize(
    "profile", [{}, {"BIGTIFF": "YES"}, {"ENDIANNESS": "BIG"}, {"tiled": True}]
)
def test_a_tiff_is_whole_or_not_in_every_layout(profile, tmp_path):
    path = make.geotiff(tmp_path / "a.tif", np.ones((300, 300), "f4"), nodata=-9999, **profile)
    tiff_whole(path)
    # whatever GDAL makes of a shorter one: only what lies in the file is read
    whole = path.read_bytes()
    with rasterio.open(path) as file:
        expected = file.crs, file.nodata
    refused = 0
    for length in range(20, 700, 7):
        path.write_bytes(whole[:length])
        try:
            tiff_whole(path)
        except RefusedInput:
            refused += 1
            continue
        with rasterio.Env(GDAL_PAM_ENABLED="NO"), rasterio.open(path) as file:
            assert (file.crs, file.nodata) == expected
    assert refused > 20


def test_an_hdf4_directory_that_is_cut_or_runs_in_a_circle_is_refused(tmp_path):
    path = modis.lst(tmp_path / modis.MOD11A1_NAME)
    hdf4_whole(path)
    whole = path.read_bytes()
    for length in (5, 30, 1000, len(whole) - 2):
        path.write_bytes(whole[:length])
        with pytest.raises(RefusedInput, match=r"broken or truncated HDF4 file .*has"):
            hdf4_whole(path)
    count, _ = struct.unpack_from(">HI", whole, 4)
    path.write_bytes(whole[:4] + struct.pack(">HI", count, 4) + whole[10:])
    with pytest.raises(RefusedInput, match="runs in a circle"):
        hdf4_whole(path)


def test_a_chunk_shorter_than_its_checksum_is_refused_before_the_library_breaks_down(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        data = file.create_dataset(
            "a", data=np.arange(48).reshape(6, 8).astype("i2"), fletcher32=True
        )
        check_chunks(data)
        (offset, size) = data.id.get_chunk_info(0)[2:]
    raw = path.read_bytes()
    entry = struct.pack("<II", size, 0)
    assert raw.count(entry) == 1
    path.write_bytes(raw.replace(entry, struct.pack("<II", 0, 0)))
    assert offset
    with netcdf(path) as file, pytest.raises(RefusedInput, match="shorter than their checksum"):
        file.values("a")


def test_a_damaged_list_of_dimensions_takes_no_memory_and_is_not_needed(tmp_path):
    path = make.era5(tmp_path / make.ERA5_NAME)
    with netcdf(path) as file:
        assert file.dimensions("swvl1") == ("valid_time", "latitude", "longitude")
        assert file.dimensions("expver") == ("valid_time",)
        assert file.dimensions("latitude") == ("latitude",)
    with h5py.File(path, "r+") as file:
        del file["swvl1"].attrs["DIMENSION_LIST"]
    with netcdf(path) as file:
        assert file.dimensions("swvl1") == ("valid_time", "latitude", "longitude")


def test_texts_of_strangers_become_legible_and_alphabets_stay():
    for kept in ("plain.hdf", "данные 土壌 رطوبة 🛰️", "a\u3000b\u00a0c"):
        assert legible(kept) == kept
    strange = b"\xff\xb5".decode("utf-8", "surrogateescape") + "\x1b[31m\n\0\u2028"
    assert legible(strange) == r"\xff\xb5\x1b[31m\x0a\x00\u2028"
