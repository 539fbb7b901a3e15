"""Leaf area and reflectance at 500 m: readers on hand-made granules, writers through the readers, GDAL."""

from __future__ import annotations

import hashlib
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest

from ingest import indices
from ingest.sources import modis_lai_writer, modis_reflectance_writer
from ingest.world.composites import Best, Views, beginnings
from ingest.world.landscape import Landscape, landscape
from ingest.world.presets import preset
from ingest.world.reflectance import absorbed, leaf_area, reflectances
from ingest.world.tiles import tile_views
from smcatalog.core.grids import sinusoidal_tile
from smcatalog.core.raster import InputQuality
from smcatalog.core.time import Period
from tests.factories import modis
from tests.factories.tiles import data_sets, gdal_field, half, inside, on_state, rasters, reason
from tests.factories.world import flat_state

DAY = date(2018, 6, 10)  # day 161 of the year: the first of a composite
LAI_NAME = "MOD15A2H.A2018161.h26v05.061.2018169000000.hdf"
BANDS_NAME = "MOD09A1.A2018161.h26v05.061.2018169000000.hdf"
REAL = "MOD09A1.A2017193.h18v04.006.2017202035302.hdf"
DOUBTFUL, WATER, FROZEN = InputQuality.NOT_RECOMMENDED, InputQuality.WATER, InputQuality.FROZEN
NUMBERS = {
    "red": 1,
    "nir": 2,
    "blue": 3,
    "green": 4,
    "swir_1240": 5,
    "swir_1640": 6,
    "swir_2130": 7,
}
INDICES = {"ndwi", "lswi", "nsdsi", "ndvi", "evi"}


@pytest.fixture(scope="module")
def land() -> Landscape:
    return landscape(preset("rao2022"), 3, 60.0)


@pytest.fixture
def lai(tmp_path) -> Path:
    return tmp_path / modis.MOD15A2H_NAME


@pytest.fixture
def bands(tmp_path) -> Path:
    return tmp_path / modis.MOD09A1_NAME


def test_kinds_of_surface_are_no_leaf_area(lai):
    modis.lai(lai, [[0, 25, 100, 249, 250, 251, 252, 253, 254, 255]])
    found = rasters(lai)
    assert set(found) == {"lai", "fapar"}
    np.testing.assert_allclose(found["lai"].values[0, :3], [0.0, 2.5, 10.0], rtol=1e-6)
    np.testing.assert_allclose(found["fapar"].values[0, :3], [0.0, 0.25, 1.0], rtol=1e-6)
    for raster in found.values():
        assert np.isnan(raster.values[0, 3:]).all()
        assert raster.period == Period.of_days(date(2020, 1, 1), date(2020, 1, 8))
        tile = sinusoidal_tile(18, 5, 2400)
        assert raster.grid == tile.window(slice(0, 1), slice(0, 10))


def test_the_algorithm_decides_over_leaf_area(lai):
    main, saturated, geometry, backup, none = (n << 5 for n in range(5))
    qc = [[main, saturated, geometry | 1, backup | 1, none | 1, main | 1, main | 0b11110, 255]]
    modis.lai(lai, np.full((1, 8), 30), qc=np.array(qc))
    for raster in rasters(lai).values():
        assert np.isnan(raster.values).tolist() == [[0, 0, 0, 0, 1, 0, 0, 1]]
        assert raster.quality.tolist() == [[0, 0, DOUBTFUL, DOUBTFUL, 0, DOUBTFUL, 0, 0]]


def test_snow_and_water_under_leaf_area(lai):
    extra = [[0b0, 0b01, 0b10, 0b11, 0b100, 0b110, 0b1111_1000, 255]]
    modis.lai(lai, np.full((1, 8), 30), extra=np.array(extra))
    expected = [[0, 0, WATER, WATER, FROZEN, FROZEN | WATER, 0, 0]]
    for raster in rasters(lai).values():
        assert raster.quality.tolist() == expected


def test_indices_are_those_of_the_bands(bands):
    modis.reflectance(bands)
    found = rasters(bands)
    assert list(found) == ["ndwi", "lswi", "nsdsi", "ndvi", "evi", *NUMBERS]
    means = {name: float(raster.values.mean()) for name, raster in found.items()}
    stored = {name: modis.BANDS[number - 1] / 10_000 for name, number in NUMBERS.items()}
    expected = stored | {
        "ndwi": -2.2 / 3.8,
        "lswi": 0.2,
        "nsdsi": 0.25,
        "ndvi": 0.5,
        "evi": 0.5 / 1.525,
    }
    assert means == pytest.approx(expected, rel=1e-5)
    assert not any(raster.quality.any() for raster in found.values())


def test_clouds_hide_and_their_neighbours_are_doubtful(bands):
    land = modis.LAND
    states = [
        (land, 0, False), (land | 0b01, 0, True), (land | 0b10, DOUBTFUL, False), (land | 0b11, 0, False),
        (land | 1 << 2, DOUBTFUL, False), (land | 0b10 << 6, 0, False), (land | 0b11 << 6, DOUBTFUL, False),
        (land | 0b01 << 8, 0, False), (land | 0b10 << 8, DOUBTFUL, False), (land | 1 << 10, 0, True),
        (land | 1 << 12, FROZEN, False), (land | 1 << 13, DOUBTFUL, False), (land | 1 << 15, FROZEN, False),
        (3 << 3, WATER, False), (2 << 3, 0, False), (4 << 3, 0, False), (7 << 3, WATER, False), (65535, 0, True),
    ]  # fmt: skip
    state, quality, hidden = (np.array([list(column)]) for column in zip(*states, strict=True))
    modis.reflectance(bands, {1: np.full(state.shape, 1000)}, state=state)
    for raster in rasters(bands).values():
        np.testing.assert_array_equal(np.isnan(raster.values), hidden)
        np.testing.assert_array_equal(raster.quality, quality)


def test_a_bad_band_spoils_only_what_is_made_of_it(bands):
    dead, unprocessed = 0b1000, 0b1111
    qc = [[1 << 30, dead << 22, unprocessed << 22, 1 << 30 | 0b01, 0b10, 0xFFFFFFFF]]
    modis.reflectance(bands, {1: np.full((1, 6), 1000)}, qc=np.array(qc))
    found = rasters(bands)
    spoilt = {"lswi", "nsdsi", "swir_1640"}
    for name, raster in found.items():
        touched = name in spoilt
        assert np.isnan(raster.values).tolist() == [[0, 0, touched, 0, 1, 1]], name
        assert raster.quality.tolist() == [[0, DOUBTFUL if touched else 0, 0, 0, 0, 0]], name


def test_fill_and_negative_reflectances(bands):
    green = np.full((20, 20), 800)
    green[0, 0], green[0, 1] = -28672, -50
    modis.reflectance(bands, {4: green})
    found = rasters(bands)
    assert np.isnan(found["green"].values).sum() == 1
    assert found["green"].values[0, 1] == pytest.approx(-0.005)
    assert np.isnan(found["ndwi"].values[0, :3]).tolist() == [True, True, False]
    assert np.isfinite(found["lswi"].values).all()


def test_a_subset_of_bands_gives_what_it_can(bands):
    modis.reflectance(bands, left_out=(1, 3, 5, 6, 7))
    assert list(rasters(bands)) == ["ndwi", "nir", "green"]


@pytest.mark.parametrize(
    ("statements", "words"),
    [
        ({"scale": 0.001}, "sur_refl_b04 has steps of 0.001, expected 0.0001"),
        ({"state": modis.LAND | 1}, "every pixel is cloudy or was not processed"),
        ({"left_out": (1, 2, 3, 4, 5, 6, 7)}, "has no band of reflectance"),
        ({"bands": {2: np.full((6, 8), 30_000)}}, "values of nir are outside -0.01 to 1.6"),
        ({"tile": (18, 6)}, "says tile h18v05, inside it is h18v06"),
        ({"corner": (2400, 0)}, "its corners lie in tile h19v05"),
        ({"corner": (0.5, 0)}, "not those of the sinusoidal grid"),
        ({"pixels": 1234}, "not those of the sinusoidal grid"),
    ],
)
def test_reflectances_that_are_refused(bands, statements, words):
    modis.reflectance(bands, **statements)
    assert words in reason(bands)


@pytest.mark.parametrize(
    ("statements", "words"),
    [
        ({"scale": 1.0}, "Lai_500m has steps of 1.0, expected 0.1"),
        ({"stored": np.full((6, 8), 253)}, "holds no value at all"),
        ({"qc": 4 << 5}, "holds no value at all"),
        ({"corner": (0, 2398)}, "its metadata say h18v05"),
    ],
)
def test_leaf_areas_that_are_refused(lai, statements, words):
    modis.lai(lai, **statements)
    assert words in reason(lai)


def test_flags_that_are_no_bits_are_refused(lai):
    values = np.full((6, 8), 20, np.uint8)
    flags = np.zeros((6, 8), np.int16)
    data = {name: (values, {"_FillValue": 255, "scale_factor": step})
            for name, step in (("Lai_500m", 0.1), ("Fpar_500m", 0.01))}  # fmt: skip
    data |= {"FparLai_QC": (flags, {}), "FparExtra_QC": (flags, {})}
    modis.write(lai, data, name=lai.name, days=8, pixels=2400)
    assert "FparLai_QC holds int16 where bits belong" in reason(lai)


def test_reflectances_have_the_indices_of_the_state(land):
    rows, columns = land.grid.shape
    ndvi = np.broadcast_to(np.linspace(0.1, 0.8, columns, dtype=np.float32), (rows, columns))
    evi = 0.02 + 0.66 * ndvi**1.25
    dry, wet = (
        reflectances(flat_state(land, DAY, ndvi=ndvi, evi=evi, before=w, after=w), 10.5)
        for w in (0.05, 0.35)
    )
    ground = ~land.water
    for found in (dry, wet):
        assert np.abs(indices.ndvi(found["red"], found["nir"]) - ndvi)[ground].max() < 1e-5
        assert (
            np.abs(indices.evi(found["red"], found["nir"], found["blue"]) - evi)[ground].max()
            < 1e-4
        )
        assert all((band > 0).all() and (band < 0.7).all() for band in found.values())

    def grows(formula, *names: str) -> float:
        first, second = (formula(*(found[n] for n in names)) for found in (dry, wet))
        return float((second - first)[ground].min())

    # the shortwave infrared sees water; bare soil shows more of it than what plants hide
    assert grows(indices.lswi, "nir", "swir_1640") > 0.01
    assert grows(indices.nsdsi, "swir_1640", "swir_2130") > 0.01
    assert grows(indices.ndwi, "green", "nir") > 0.0
    assert (indices.ndwi(dry["green"], dry["nir"])[~ground] > 0).all()


def test_snow_is_bright_but_in_the_shortwave_infrared(land):
    found = reflectances(flat_state(land, DAY, snow=20.0, ndvi=0.02, evi=0.025), 10.5)
    ground = ~land.water
    assert (found["green"][ground] > 0.5).all()
    assert (found["swir_1640"][ground] < 0.2).all()


def test_leaf_area_and_absorbed_light_grow_with_ndvi():
    ndvi = np.linspace(-0.1, 0.95, 22, dtype=np.float32)
    lai, fapar = leaf_area(ndvi), absorbed(ndvi)
    assert (np.diff(lai) >= 0).all()
    assert (np.diff(fapar) >= 0).all()
    assert lai[0] == 0
    assert lai[-1] == pytest.approx(6.0, abs=0.01)  # -2 ln 0.05
    assert (fapar[0], fapar[-1]) == (0.0, pytest.approx(0.963, abs=1e-3))


def test_the_better_view_is_kept():
    best = Best(3)
    for day, score, value in ((1, [1, 0, -np.inf], 10), (2, [0, 1, -np.inf], 20)):
        views = Views(np.array(score, np.float32), lambda at, v=value: {"x": np.full(len(at), v)})
        best.take(views, date(2018, 1, day))
    assert best.fields["x"].tolist() == [10, 20, 0]
    assert best.day.tolist() == [1, 2, 0]
    assert best.seen.tolist() == [True, True, False]


def test_composites_of_eight_days():
    assert beginnings(DAY, 8) == [DAY]
    assert beginnings(DAY + timedelta(days=7), 8) == [DAY]
    assert beginnings(date(2019, 1, 3), 8) == [date(2018, 12, 27), date(2019, 1, 1)]


def test_leaf_area_comes_back(land, tmp_path):
    writer = modis_lai_writer.WRITER(land, tmp_path)
    rows, columns = land.grid.shape
    ndvi = np.broadcast_to(np.linspace(0.2, 0.7, columns, dtype=np.float32), (rows, columns))
    for n in range(8):
        writer.day(flat_state(land, DAY + timedelta(days=n), ndvi=ndvi if n == 5 else ndvi - 0.1))
        assert (len(list(tmp_path.iterdir())) == 1) is (n == 7)
    writer.end()
    found = rasters(tmp_path / LAI_NAME)
    assert found["lai"].period == Period.of_days(DAY, DAY + timedelta(days=7))
    assert found["lai"].grid == sinusoidal_tile(26, 5, 2400)
    for name, formula, tolerance in (("lai", leaf_area, 0.1), ("fapar", absorbed, 0.03)):
        error = inside(on_state(found[name], land) - formula(ndvi))
        assert abs(np.nanmean(error)) < tolerance / 4
        assert np.nanstd(error) < tolerance
    (view,) = tile_views(land, 2400)
    kept = np.isfinite(found["lai"].values).ravel()[view.pixels]
    np.testing.assert_array_equal(kept, ~view.nearest(land.water))
    water = (found["lai"].quality.ravel() & WATER) != 0
    np.testing.assert_array_equal(water[view.pixels], view.nearest(land.water))


def test_clouds_and_snow_over_leaf_area(land, tmp_path):
    writer = modis_lai_writer.WRITER(land, tmp_path)
    writer.day(flat_state(land, DAY, ndvi=0.02, snow=20.0, cloud_day=half(land)))
    writer.end()
    lai = rasters(tmp_path / LAI_NAME)["lai"]
    columns = land.grid.shape[1]
    assert np.isnan(on_state(lai, land)[:, : columns // 2 - 2]).all()
    clear = np.isfinite(lai.values)
    assert ((lai.quality[clear] & FROZEN) != 0).all()
    doubtful = (lai.quality & DOUBTFUL) != 0
    assert 0.01 < doubtful[clear].mean() < 0.3
    assert not doubtful[~clear].any()


def test_reflectances_come_back(land, tmp_path):
    writer = modis_reflectance_writer.WRITER(land, tmp_path)
    state = flat_state(land, DAY, ndvi=0.3, evi=0.18)
    writer.day(state)
    writer.end()
    found = rasters(tmp_path / BANDS_NAME)
    assert set(found) == INDICES | set(NUMBERS)
    truth = reflectances(state, 10.5)
    truth["ndwi"] = indices.ndwi(truth["green"], truth["nir"])
    truth["lswi"] = indices.lswi(truth["nir"], truth["swir_1640"])
    truth["nsdsi"] = indices.nsdsi(truth["swir_1640"], truth["swir_2130"])
    truth["ndvi"] = indices.ndvi(truth["red"], truth["nir"])
    truth["evi"] = indices.evi(truth["red"], truth["nir"], truth["blue"])
    for name, raster in found.items():
        error = inside(on_state(raster, land) - truth[name])[~inside(land.water)]
        assert abs(error.mean()) < 0.005, name
        assert error.std() < 0.04, name
        assert raster.period == Period.of_days(DAY, DAY + timedelta(days=7))
    ndvi = indices.ndvi(found["red"].values, found["nir"].values)
    assert np.nanmedian(ndvi) == pytest.approx(0.3, abs=0.005)


def test_the_clearest_view_is_taken_and_haze_is_told(land, tmp_path):
    writer = modis_reflectance_writer.WRITER(land, tmp_path)
    for n in range(8):
        # the eastern half is clear on the third day alone, the western never
        cloud = half(land) if n == 2 else True
        writer.day(flat_state(land, DAY + timedelta(days=n), cloud_day=cloud))
    found = rasters(tmp_path / BANDS_NAME)
    columns = land.grid.shape[1]
    for name in ("ndwi", "blue"):
        brought = on_state(found[name], land)
        assert np.isnan(brought[:, : columns // 2 - 2]).all()
        assert np.isfinite(inside(brought)[:, columns // 2 :]).all()
    doubtful = (found["blue"].quality & DOUBTFUL) != 0
    clear = np.isfinite(found["blue"].values)
    assert 0.01 < doubtful[clear].mean() < 0.2
    assert (
        found["blue"].values[doubtful & clear].std() > found["blue"].values[clear & ~doubtful].std()
    )


def test_what_no_clear_day_shows_is_not_written(land, tmp_path):
    for module in (modis_lai_writer, modis_reflectance_writer):
        writer = module.WRITER(land, tmp_path)
        writer.day(flat_state(land, DAY, cloud_day=True))
        writer.end()
    assert not list(tmp_path.iterdir())


def _write(land: Landscape, folder: Path) -> dict[str, str]:
    for module in (modis_lai_writer, modis_reflectance_writer):
        writer = module.WRITER(land, folder)
        writer.day(flat_state(land, DAY, cloud_day=half(land)))
        writer.end()
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def written(land, tmp_path_factory) -> tuple[Path, dict[str, str]]:
    folder = tmp_path_factory.mktemp("granules")
    return folder, _write(land, folder)


def test_the_same_seed_gives_the_same_bytes(land, written, tmp_path):
    assert sorted(written[1]) == [BANDS_NAME, LAI_NAME]
    assert _write(land, tmp_path / "another folder") == written[1]
    other = _write(landscape(preset("rao2022"), 4, 60.0), tmp_path / "b")
    assert all(other[name] != written[1][name] for name in other)


FIELDS = [
    (LAI_NAME, "MOD_Grid_MOD15A2H", "Lai_500m", "Byte", 255),
    (LAI_NAME, "MOD_Grid_MOD15A2H", "FparExtra_QC", "Byte", 255),
    (BANDS_NAME, "MOD_Grid_500m_Surface_Reflectance", "sur_refl_b06", "Int16", -28672),
    (BANDS_NAME, "MOD_Grid_500m_Surface_Reflectance", "sur_refl_qc_500m", "UInt32", 4294967295),
]


@pytest.mark.parametrize(("name", "grid", "field", "kind", "fill"), FIELDS)
def test_gdal_opens_and_places_them(written, tmp_path, name, grid, field, kind, fill):
    found = gdal_field(written[0] / name, grid, field, tmp_path / "out.tif")
    tile = sinusoidal_tile(26, 5, 2400)
    assert found.transform.almost_equals(tile.transform, 0.01)
    assert found.values.shape == (2400, 2400)
    assert (found.dtype, found.nodata) == (kind, fill)
    assert "Sinusoidal" in found.wkt
    if field == "Lai_500m":
        ours = rasters(written[0] / name)["lai"].values
        kept = np.isfinite(ours)
        np.testing.assert_allclose(found.values[kept] * 0.1, ours[kept], rtol=1e-6)


def test_a_real_granule_is_read_as_gdal_reads_it(real_data, tmp_path):
    path = real_data / "modis" / REAL
    found = rasters(path)
    assert set(found) == INDICES | set(NUMBERS)

    def gdal(field: str) -> np.ndarray:
        read = gdal_field(
            path, "MOD_Grid_500m_Surface_Reflectance_463", field, tmp_path / "out.tif"
        )
        assert found["red"].grid.transform.almost_equals(read.transform, 0.01)  # a centimetre
        return read.values

    state = gdal("sur_refl_state_500m")
    hidden = ((state & 0b11) == 1) | ((state >> 10) & 1 == 1)
    assert 0.01 < hidden.mean() < 0.1
    stored = {}
    for name, number in NUMBERS.items():
        stored[name] = gdal(f"sur_refl_b{number:02d}") * 0.0001
        values = found[name].values
        np.testing.assert_array_equal(np.isnan(values), hidden)
        np.testing.assert_allclose(values[~hidden], stored[name][~hidden], rtol=1e-5)
    green, nir = stored["green"][~hidden], stored["nir"][~hidden]
    np.testing.assert_allclose(
        found["ndwi"].values[~hidden], (green - nir) / (green + nir), rtol=1e-5
    )
    # the detectors of band 5 are dead in part, and only there
    quality = gdal("sur_refl_qc_500m").astype(np.int64)
    dead = (quality >> 18) & 0xF == 0b1000
    assert ((found["swir_1240"].quality & DOUBTFUL)[dead] != 0).all()
    assert 0 < (found["swir_1240"].quality != found["swir_1640"].quality).sum() <= dead.sum()
    assert found["ndwi"].period == Period.of_days(date(2017, 7, 12), date(2017, 7, 19))


def test_data_sets_are_those_of_a_real_granule(written, real_data):
    ours, theirs = data_sets(written[0] / BANDS_NAME), data_sets(real_data / "modis" / REAL)
    assert list(ours) == list(theirs)
    for field, (kind, _, attributes, _) in theirs.items():
        assert ours[field][0] == kind, field
        assert ours[field][2] == attributes, field
