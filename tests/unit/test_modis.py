"""Readers of MODIS tiles: what is inside counts, and everything inside must agree."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pytest

from ingest.files import walk
from ingest.granules import examine, read
from ingest.hdf4 import hdf4
from ingest.hdfeos import inventory, structure
from smcatalog.core.errors import RefusedInput
from smcatalog.core.grids import sinusoidal_tile
from smcatalog.core.raster import InputQuality
from smcatalog.core.time import Period
from tests.factories import granules as make
from tests.factories import modis
from tests.factories.tiles import gdal_field, rasters, reason

GOOD, DOUBTFUL = 0, InputQuality.NOT_RECOMMENDED


@pytest.fixture
def lst(tmp_path) -> Path:
    return tmp_path / modis.MOD11A1_NAME


@pytest.fixture
def vi(tmp_path) -> Path:
    return tmp_path / modis.MOD13A2_NAME


def test_mandatory_bits_decide_over_temperatures(lst):
    stored = np.full((1, 6), 15000)
    stored[0, 5] = 0
    modis.lst(lst, stored, qc=np.array([[0, 0b01000001, 0b10, 0b11, 0b01010001, 0]]))
    found = rasters(lst)
    assert set(found) == {"lst_day", "lst_night"}
    for raster in found.values():
        np.testing.assert_array_equal(np.isnan(raster.values), [[0, 0, 1, 1, 0, 1]])
        assert np.nanmax(np.abs(raster.values - 300.0)) < 1e-4
        assert raster.quality.tolist() == [[0, DOUBTFUL, 0, 0, DOUBTFUL, 0]]
        assert raster.period == Period.of_day(date(2020, 1, 1))


def test_a_window_of_a_tile_lies_where_its_corner_says(lst):
    modis.lst(lst, np.full((5, 7), 15000), corner=(30, 40))
    tile = sinusoidal_tile(18, 5)
    expected = tile.window(slice(40, 45), slice(30, 37))
    assert rasters(lst)["lst_day"].grid == expected


def test_a_night_behind_clouds_is_left_out(lst):
    modis.lst(lst, night=np.zeros((6, 8)))
    assert list(rasters(lst)) == ["lst_day"]


def test_nothing_but_fill_is_refused(lst, vi):
    modis.lst(lst, np.zeros((6, 8)))
    assert "holds no value at all" in reason(lst)
    modis.vi(vi, rank=3)
    assert "holds no value at all" in reason(vi)


def test_ranks_and_water_of_vegetation_indices(vi):
    land, shore, lake, sea = (kind << 11 for kind in (1, 2, 3, 7))
    ndvi = np.array([[5000, 5000, 5000, 5000, -3000, 5000, 5000, -3000]])
    rank = np.array([[0, 1, 2, 3, -1, 0, 0, -1]])
    modis.vi(vi, ndvi, rank=rank, quality=[[land, land, land, land, 65535, lake, shore, sea]])
    found = rasters(vi)
    frozen, water = InputQuality.FROZEN, InputQuality.WATER
    for name, value in (("ndvi", 0.5), ("evi", 0.25)):
        raster = found[name]
        np.testing.assert_array_equal(np.isnan(raster.values), [[0, 0, 0, 1, 1, 0, 0, 1]])
        assert np.nanmax(np.abs(raster.values - value)) < 1e-6
        assert raster.quality.tolist() == [[0, DOUBTFUL, frozen, 0, 0, water, 0, water]]
        assert raster.period == Period.of_days(date(2020, 1, 1), date(2020, 1, 16))


def test_a_file_without_evi_has_ndvi(vi):
    modis.vi(vi, evi=False)
    assert list(rasters(vi)) == ["ndvi"]


def test_a_renamed_file_is_known_by_its_inside(lst, tmp_path):
    modis.lst(lst)
    renamed = lst.rename(tmp_path / "temperature.hdf")
    granule = examine(make.candidate(renamed))
    assert granule.identity.source == "MOD11A1"
    assert granule.identity.name == modis.MOD11A1_NAME.removesuffix(".hdf")


@pytest.mark.parametrize(
    ("delivered", "words"),
    [
        (modis.MOD11A1_NAME.replace("h18v05", "h18v06"), "its name says tile|mixed up"),
        (modis.MOD11A1_NAME.replace("A2020001", "A2020002"), "says MOD11A1 of 2020002"),
        (modis.MYD11A1_NAME, "says MYD11A1 of 2020001, inside it is MOD11A1"),
        ("renamed_h17v05.hdf", "says tile h17v05, inside it is h18v05"),
    ],
)
def test_a_name_that_contradicts_the_inside_is_refused(lst, delivered, words):
    modis.lst(lst)
    with pytest.raises(RefusedInput, match=words):
        rasters(lst, delivered)


@pytest.mark.parametrize(
    ("statements", "words"),
    [
        ({"tile": (18, 6)}, "says tile h18v05, inside it is h18v06"),
        ({"corner": (1200, 0)}, "its corners lie in tile h19v05, its metadata say h18v05"),
        ({"corner": (1195, 0)}, "its metadata say h18v05"),
        ({"corner": (0.4, 0)}, "not those of the sinusoidal grid (off by 0.40 pixels)"),
        ({"structure": "END\n"}, "describes 0 grids"),
        ({"core": 'OBJECT = SHORTNAME\nVALUE = "MOD11A1"\nEND_OBJECT = SHORTNAME\n'}, "LOCALGRANULEID"),
        ({"days": 2}, "covers 2020-01-01…2020-01-02, expected one day"),
        ({"scale": 0.01}, "has steps of 0.01, expected 0.02 K"),
        ({"core": "END\n"}, "does not say which product it is"),
        ({"product": "MOD11A9"}, "is a granule of MOD11A9, which is not read yet"),
    ],
)  # fmt: skip
def test_what_contradicts_itself_is_refused(lst, statements, words):
    modis.lst(lst, **statements)
    assert words in reason(lst)


def test_a_grid_of_another_projection_is_refused(lst, tmp_path):
    modis.lst(lst)
    with hdf4(lst) as file:
        text = file.text("StructMetadata")
    modis.lst(lst, structure=text.replace("GCTP_SNSOID", "GCTP_GEO"))
    assert "its grid is GCTP_GEO" in reason(lst)


def test_missing_data_sets_are_named(vi):
    values = np.full((6, 8), 5000, np.int16)
    data = {"1 km 16 days NDVI": (values, {"_FillValue": -3000, "scale_factor": 10000.0})}
    modis.write(vi, data, name=vi.name, days=16)
    assert "has no data set '1 km 16 days pixel reliability'" in reason(vi)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_truncated_files_are_refused(lst, share):
    noise = np.random.default_rng(1).integers(14000, 16000, (200, 200))
    whole = modis.lst(lst, noise).read_bytes()
    lst.write_bytes(whole[: int(share * len(whole))])
    assert "truncated" in reason(lst)
    # and the library is not confused by it for the next file of that name
    lst.write_bytes(whole)
    assert np.isfinite(rasters(lst)["lst_day"].values).all()


def test_a_file_that_makes_the_library_abort_is_refused(lst, monkeypatch):
    """Found by flipping bytes: with these the library frees memory twice and ends its process.

    The look at the file's directory beforehand finds most of them; here it is left out.
    """
    monkeypatch.setattr("ingest.hdf4.check_whole", lambda path: None)
    whole = bytearray(modis.lst(lst).read_bytes())
    aborted = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        damaged = whole.copy()
        for at in rng.integers(0, 512, 3):
            damaged[at] = rng.integers(0, 256)
        lst.write_bytes(damaged)
        try:
            rasters(lst)
        except RefusedInput as error:
            aborted.append("aborts" in error.reason)
    assert any(aborted)
    lst.write_bytes(whole)
    assert np.isfinite(rasters(lst)["lst_day"].values).all()


def test_texts_of_the_provider():
    text = (
        'OBJECT = INPUTPOINTER\n NUM_VAL = 2\n VALUE = ("a.hdf", "\n    b.hdf")\nEND_OBJECT = INPUTPOINTER\n'
        'OBJECT = SHORTNAME\n  NUM_VAL = 1\n  VALUE = "MOD11A1"\nEND_OBJECT = SHORTNAME\n'
        'OBJECT = C\nOBJECT = ADDITIONALATTRIBUTENAME\nCLASS = "1"\nVALUE = "TileID"\n'
        'END_OBJECT = ADDITIONALATTRIBUTENAME\nOBJECT = PARAMETERVALUE\nVALUE = "51"\n'
        "END_OBJECT = PARAMETERVALUE\nEND_OBJECT = C\n"
    )
    found = inventory(text)
    assert (found["SHORTNAME"], found["TileID"]) == ("MOD11A1", "51")
    with pytest.raises(RefusedInput, match="incompletely"):
        structure('\tGROUP=GRID_1\n\t\tGridName="x"\n')


REAL = [
    ("MOD11A1.A2021227.h11v05.061.2021228105320.hdf", "MODIS_Grid_Daily_1km_LST",
     {"lst_day": ("LST_Day_1km", 0.02), "lst_night": ("LST_Night_1km", 0.02)}),
    ("MOD11A1_renamed_h14v09.hdf", "MODIS_Grid_Daily_1km_LST",
     {"lst_day": ("LST_Day_1km", 0.02), "lst_night": ("LST_Night_1km", 0.02)}),
    ("MOD13A2.A2021225.h11v06.061.2021320163717.hdf", "MODIS_Grid_16DAY_1km_VI",
     {"ndvi": ("1 km 16 days NDVI", 1e-4), "evi": ("1 km 16 days EVI", 1e-4)}),
    ("MYD13A2.A2025009.h18v09.061.2025030154035.hdf", "MODIS_Grid_16DAY_1km_VI",
     {"ndvi": ("1 km 16 days NDVI", 1e-4), "evi": ("1 km 16 days EVI", 1e-4)}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "grid", "fields"), REAL, ids=lambda p: p[:16] if isinstance(p, str) else ""
)
def test_real_granules_are_read_as_gdal_reads_them(real_data, tmp_path, name, grid, fields):
    path = real_data / "modis" / name
    found = rasters(path)
    assert set(found) == set(fields)
    for variable, (field, scale) in fields.items():
        raster = found[variable]
        theirs = gdal_field(path, grid, field, tmp_path / "field.tif")
        stored = theirs.values
        assert raster.grid.transform.almost_equals(theirs.transform, 0.01)  # a centimetre
        kept = np.isfinite(raster.values)
        assert kept.sum() > 5000
        np.testing.assert_allclose(raster.values[kept], stored[kept] * scale, rtol=1e-6)
        if variable.startswith("lst"):
            name = "QC_" + field.split("_")[1]
            quality = gdal_field(path, grid, name, tmp_path / "qc.tif").values
            np.testing.assert_array_equal(kept, (stored > 0) & (quality & 0b11 < 2))
            np.testing.assert_array_equal(raster.quality != 0, kept & (quality & 0b11 == 1))
        else:
            name = "1 km 16 days pixel reliability"
            rank = gdal_field(path, grid, name, tmp_path / "rank.tif").values
            # GDAL before 3.7 reads signed bytes as unsigned ones
            rank = rank.astype(np.uint8).view(np.int8)
            np.testing.assert_array_equal(kept, (rank >= 0) & (rank <= 2))
            doubtful = raster.quality & InputQuality.NOT_RECOMMENDED != 0
            np.testing.assert_array_equal(doubtful, rank == 1)


def test_all_real_files_are_read_or_refused_with_what_they_are(real_data):
    read_, refused = {}, {}
    for candidate in walk([real_data / "modis"]):
        try:
            granule = examine(candidate)
            read_[candidate.delivered] = (granule.identity, list(read(granule)))
        except RefusedInput as error:
            refused[candidate.delivered[:20]] = error.reason
    assert sorted(identity.source for identity, _ in read_.values()) == (
        ["MOD09A1"] + ["MOD11A1"] * 2 + ["MOD13A2"] * 4 + ["MYD13A2"] * 2 + ["VNP13A2"]
    )
    identity, values = read_["MOD11A1_renamed_h14v09.hdf"]
    assert identity.name == "MOD11A1.A2019305.h14v09.006.2019306084028"
    assert values[0].period == Period.of_day(date(2019, 11, 1))
    identity, values = read_["MYD13A2.A2025009.h18v09.061.2025030154035.hdf"]
    assert identity.period == Period.of_days(date(2025, 1, 9), date(2025, 1, 24))
    said = {
        "MOD11B2.A2017001.h14": "is a granule of MOD11B2",
        "MOD13A2.A2016145.h18": "does not say which product it is",
        "MOD11A1.061.2017001_": "HDF5/NetCDF file of no known source",
    }
    assert set(refused) == set(said)
    for name, words in said.items():
        assert words in refused[name]
