"""Soil maps of the simulated world beside what the world knows of its soil."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import rasterio
from scipy.io import netcdf_file

from ingest.files import walk
from ingest.granules import examine, read
from ingest.sources import cscd_writer, csdl_writer, hwsd_writer
from ingest.world.soil import around, bulk_density, survey, under_water
from smcatalog.core.grids import Grid
from smcatalog.core.raster import InputQuality, Raster
from tests.factories.probes import small_land, written

GDALINFO = shutil.which("gdalinfo")
LAND = small_land()
MAKERS = {
    "HWSD": hwsd_writer.WRITER,
    "CSCD": cscd_writer.WRITER,
    "CSDL": csdl_writer.WRITER,
}
ROUNDING = {"HWSD": 0.0201, "CSCD": 0.00051, "CSDL": 0.00501}
"""Half a step of what is stored: units differ by 4 %, fields by 0.1 % and 1 %."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("world")
    for name, make in MAKERS.items():
        written(make, root / name, LAND, days=2)
    return root


def _read(folder: Path) -> dict[str, list[Raster]]:
    found: dict[str, list[Raster]] = {}
    for candidate in walk([folder]):
        for raster in read(examine(candidate)):
            found.setdefault(raster.variable.name, []).append(raster)
    return found


def _whole(parts: list[Raster], grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Put blocks together on a grid of 30 seconds; a cell belongs to one block."""
    values, quality = np.full(grid.shape, np.nan), np.zeros(grid.shape, int)
    west, _, _, north = grid.bbox()
    for part in parts:
        left, _, _, top = part.grid.bbox()
        row, column = round((north - top) * 120), round((left - west) * 120)
        place = slice(row, row + part.grid.shape[0]), slice(column, column + part.grid.shape[1])
        assert np.isnan(values[place]).all()
        values[place], quality[place] = part.values, part.quality
    return values, quality


@pytest.mark.parametrize("source", MAKERS)
def test_the_reader_finds_what_the_survey_says(folder, source):
    grid = around(LAND.grid.bbox(), 120)
    told, wet = survey(LAND, grid, source), under_water(LAND, grid)
    assert 0 < wet.sum() < wet.size
    found = _read(folder / source)
    expected = {"sand", "clay"} if source == "CSCD" else {"sand", "silt", "clay", "bulk_density"}
    if source == "CSDL":
        density, pores = (_whole(found.pop(name), grid)[0] for name in ("bulk_density", "porosity"))
        rocks, _ = _whole(found.pop("rock_fragments"), grid)
        np.testing.assert_allclose(pores, 1 - density / 2650, atol=0.0075)
        assert np.array_equal(np.isnan(rocks), wet)
        assert 0.02 < np.nanmin(rocks) < np.nanmax(rocks) <= 0.6
        assert np.abs(density - bulk_density(told["sand"]))[~wet].max() < 12
        expected -= {"bulk_density"}
    assert set(found) == expected
    for name in expected - {"bulk_density"}:
        values, quality = _whole(found[name], grid)
        np.testing.assert_array_equal(np.isnan(values), wet)
        # silt is what the others leave: it may be off by both
        most = ROUNDING[source] * (2 if name == "silt" else 1)
        error = np.abs(values - told[name])[~wet]
        assert (error > most).mean() < 0.001, (name, error.max())
        if source == "HWSD":
            assert ((quality & InputQuality.WATER) != 0)[wet].all()
            assert (quality[~wet] == InputQuality.PARTIAL_COVERAGE).all()
    if "bulk_density" in expected:
        density, _ = _whole(found["bulk_density"], grid)
        step = 10 + 334 * ROUNDING[source]  # [kg m-3]: what is stored, and what sand makes of it
        assert np.abs(density - bulk_density(told["sand"]))[~wet].max() <= step


@pytest.mark.parametrize("source", MAKERS)
def test_each_map_is_near_the_soil_but_not_the_soil(folder, source):
    grid = around(LAND.grid.bbox(), 120)
    sand, clay = LAND.ground.texture(grid)
    found = _read(folder / source)
    for name, true in (("sand", sand), ("clay", clay)):
        values, _ = _whole(found[name], grid)
        known = ~np.isnan(values)
        assert 0.01 < np.std((values - true)[known]) < 0.06
        assert np.corrcoef(values[known], true[known])[0, 1] > 0.7


@pytest.mark.parametrize("source", MAKERS)
def test_the_same_seed_gives_the_same_bytes_and_another_one_others(folder, tmp_path, source):
    first = {p.name: p.read_bytes() for p in (folder / source).iterdir()}
    again = written(MAKERS[source], tmp_path / "again", LAND, days=2)
    assert {p.name: p.read_bytes() for p in again.values()} == first
    other = written(MAKERS[source], tmp_path / "other", small_land(seed=2))
    same = {name for name, path in other.items() if path.read_bytes() == first[name]}
    assert same <= {"hwsd.hdr"}


def test_surveys_make_mistakes_of_their_own():
    grid = around(LAND.grid.bbox(), 120)
    one, other = (survey(LAND, grid, name)["sand"] for name in ("HWSD", "CSDL"))
    true, _ = LAND.ground.texture(grid)
    assert abs(np.corrcoef((one - true).ravel(), (other - true).ravel())[0, 1]) < 0.6


def test_every_unit_of_the_map_is_in_the_table_with_a_whole_area(folder):
    with (folder / "HWSD" / "HWSD_DATA.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    units = np.unique(np.fromfile(folder / "HWSD" / "hwsd.bil", "<u2"))
    assert {int(row["MU_GLOBAL"]) for row in rows} == set(units.tolist())
    for unit in units:
        own = [row for row in rows if int(row["MU_GLOBAL"]) == unit]
        assert sum(int(row["SHARE"]) for row in own) == 100
        for row in own:
            if row["ISSOIL"] == "1":
                assert sum(int(row[f"T_{part}"]) for part in ("SAND", "SILT", "CLAY")) == 100
            else:
                assert row["T_SAND"] == row["T_BULK_DENSITY"] == ""


def test_deeper_layers_are_others(folder):
    with netcdf_file(folder / "CSDL" / "SA.nc", mmap=False) as file:
        assert file.variables["SA"].dimensions == ("depth", "lat", "lon")
        assert file.variables["SA"].units == b"% of weight"
        sand = file.variables["SA"].data.astype(int)
    assert sand.shape[0] == 8
    known = sand[0] != -999
    assert (sand[:4, known] == sand[0, known]).all()
    assert (sand[4:, known] < sand[0, known]).mean() > 0.99


@pytest.mark.skipif(GDALINFO is None, reason="the system has no gdalinfo")
def test_the_systems_gdal_opens_the_map_by_its_header(folder):
    path = folder / "HWSD" / "hwsd.bil"
    done = subprocess.run(
        [GDALINFO, "-json", path], capture_output=True, text=True, check=True,
        env={"GDAL_PAM_ENABLED": "NO"},
    )  # fmt: skip
    told = json.loads(done.stdout)
    grid = around(LAND.grid.bbox(), 120)
    assert told["driverShortName"] == "EHdr"
    assert told["size"] == list(reversed(grid.shape))
    assert told["bands"][0]["type"] == "UInt16"
    west, south, east, north = grid.bbox()
    assert told["cornerCoordinates"]["upperLeft"] == pytest.approx([west, north], abs=1e-6)
    assert told["cornerCoordinates"]["lowerRight"] == pytest.approx([east, south], abs=1e-6)
    with rasterio.open(path) as file:
        np.testing.assert_array_equal(file.read(1), np.fromfile(path, "<u2").reshape(grid.shape))
