"""The reader of SRTM's tiles: place, size, void and what is refused."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
import rasterio

from ingest.files import walk
from ingest.granules import examine, read
from ingest.sources.srtm import READERS
from smcatalog.core.errors import RefusedInput
from smcatalog.core.grids import EASE2_GRIDS
from smcatalog.core.raster import Raster
from smcatalog.resample import layer_grid, regrid
from tests.factories import granules as make

THREE, ONE = READERS


def _read(path: Path, reader=THREE, name: str | None = None) -> Raster:
    identity = reader.identify(path, name or path.name)
    assert identity is not None
    return next(iter(reader.read(path, identity)))


def _ramp(nodes: int = 1201) -> np.ndarray:
    """Heights that say where they are: row + column / 10, in whole metres."""
    return np.arange(nodes)[:, None] + np.arange(nodes)[None, :] // 10


def test_nodes_lie_on_whole_arc_seconds(tmp_path):
    raster = _read(make.srtm(tmp_path / "N37E105.hgt", _ramp()))
    x, y = raster.grid.centres()
    assert raster.grid.shape == (1201, 1201)
    assert (x[0], x[-1], y[0], y[-1]) == pytest.approx((105, 106, 38, 37), abs=1e-9)
    assert raster.variable.name == "elevation"
    assert raster.period is None
    np.testing.assert_array_equal(raster.values, _ramp())


@pytest.mark.parametrize(
    ("name", "corner"),
    [
        ("N37E105.hgt", (105, 37)),
        ("S02W070.hgt", (-70, -2)),
        ("N00E000.hgt", (0, 0)),
        ("n59w001.HGT", (-1, 59)),
        ("S56E010.hgt", (10, -56)),
    ],
)
def test_agrees_with_gdal_about_the_place(tmp_path, name, corner):
    path = make.srtm(tmp_path / "tile", _ramp())
    raster = _read(path, name=name)
    gdal = path.rename(tmp_path / name.upper().replace("HGT", "hgt"))
    with rasterio.open(gdal) as file:
        assert file.driver == "SRTMHGT"
        assert raster.grid.transform.almost_equals(file.transform, precision=1e-9)
        np.testing.assert_array_equal(raster.values, file.read(1))
    x, y = raster.grid.centres()
    assert (x[0], y[-1]) == pytest.approx(corner, abs=1e-9)


def test_a_tile_of_one_arc_second_is_another_source(tmp_path):
    path = make.srtm(tmp_path / "N37E105.hgt", _ramp(3601) % 4000, nodes=3601)
    assert THREE.identify(path, path.name) is None
    raster = _read(path, ONE)
    x, y = raster.grid.centres()
    assert raster.grid.shape == (3601, 3601)
    assert (x[0], x[-1], y[0], y[-1]) == pytest.approx((105, 106, 38, 37), abs=1e-9)
    assert raster.values[12, 345] == 12 + 34


@pytest.mark.parametrize(
    ("name", "columns", "first"),
    [("N10W180.hgt", slice(1, None), -180), ("N10E179.hgt", slice(-1), 179)],
)
def test_nothing_lies_across_the_antimeridian(tmp_path, name, columns, first):
    raster = _read(make.srtm(tmp_path / name, _ramp()))
    west, _, east, _ = raster.grid.bbox()
    assert -180 <= west < east <= 180
    np.testing.assert_array_equal(raster.values, _ramp()[:, columns])
    x, _ = raster.grid.centres()
    assert x[0] == pytest.approx(first + (columns.start or 0) / 1200, abs=1e-9)
    assert layer_grid(raster.grid).base == "M01"


def test_voids_are_missing_and_a_few_impossible_heights_too(tmp_path):
    heights = _ramp()
    heights[3, 4], heights[5, 6] = -32768, 20_000
    values = _read(make.srtm(tmp_path / "N37E105.hgt", heights)).values
    assert np.argwhere(np.isnan(values)).tolist() == [[3, 4], [5, 6]]


def test_goes_to_the_kilometre_by_the_cells_centres(tmp_path):
    """Each kilometre cell is the plain mean of the heights whose nodes lie in it."""
    raster = _read(make.srtm(tmp_path / "N37E105.hgt", _ramp()))
    target = EASE2_GRIDS["M01"].crop((105.4, 37.4, 105.45, 37.45))
    layer = regrid(raster, target)
    x, y = raster.grid.centres()
    longitude, latitude = np.meshgrid(x, y)
    rows, columns, inside = target.locate(longitude.ravel(), latitude.ravel())
    for row, column in ((1, 1), (2, 3)):
        here = inside & (rows == row) & (columns == column)
        assert here.sum() > 100
        expected = raster.values.ravel()[here].mean()
        assert layer.values[row, column] == pytest.approx(expected, abs=1e-2)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("elevation.hgt", "does not say where it is"),
        ("N37E105_copy.hgt", "does not say where it is"),
        ("N60E105.hgt", "there is no such tile"),
        ("S57E105.hgt", "there is no such tile"),
        ("N37E180.hgt", "there is no such tile"),
        ("N37W181.hgt", "there is no such tile"),
    ],
)
def test_impossible_names_are_refused(tmp_path, name, reason):
    path = make.srtm(tmp_path / name)
    with pytest.raises(RefusedInput, match=reason):
        THREE.identify(path, name)
    with pytest.raises(RefusedInput, match=reason):
        examine(make.candidate(path))


@pytest.mark.parametrize("size", [0, 2 * 1201**2 - 1, 2 * 1201**2 + 1, 2 * 3601**2 - 2])
def test_wrong_sizes_are_refused_saying_what_is_right(tmp_path, size):
    path = tmp_path / "N37E105.hgt"
    path.write_bytes(b"\1" * size)
    for reader in READERS:
        with pytest.raises(RefusedInput, match=f"has {size} bytes; .* 2884802 .* 25934402"):
            reader.identify(path, path.name)


def test_unfit_heights_are_refused(tmp_path):
    path = make.srtm(tmp_path / "N37E105.hgt", np.full((1201, 1201), -32768))
    with pytest.raises(RefusedInput, match="nothing but void"):
        list(read(examine(make.candidate(path))))
    path.write_bytes(np.full((1201, 1201), 300, "<i2").tobytes())  # the wrong byte order
    with pytest.raises(RefusedInput, match=r"values of elevation are outside -500 to 9000 m"):
        list(read(examine(make.candidate(path))))


def test_a_file_of_another_name_is_none_of_ours(tmp_path):
    path = make.srtm(tmp_path / "N37E105.bin")
    assert all(reader.identify(path, path.name) is None for reader in READERS)


def test_the_providers_zip_is_walked(tmp_path):
    tile = make.srtm(tmp_path / "tile", _ramp())
    with zipfile.ZipFile(tmp_path / "N37E105.SRTMGL3.hgt.zip", "w", zipfile.ZIP_DEFLATED) as out:
        out.write(tile, "N37E105.hgt")
    tile.unlink()
    names = []
    for candidate in walk([tmp_path]):
        granule = examine(candidate)
        names.append((granule.identity.source, granule.identity.name))
        raster, *_ = read(granule)
        np.testing.assert_array_equal(raster.values, _ramp())
    assert names == [("SRTMGL3", "N37E105")]
