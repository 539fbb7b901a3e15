"""Esri ASCII grids and maps of classes, declared by name: what is read, in blocks, and what is refused."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine

from ingest import esri
from ingest.files import walk
from ingest.granules import examine, read
from ingest.sources import rasters
from ingest.sources.rasters import declared
from smcatalog.core.errors import DefinitionError, RefusedInput
from smcatalog.core.grids import EASE2_GRIDS
from smcatalog.core.raster import InputQuality, Raster
from smcatalog.core.variables import Kind, variable
from smcatalog.resample import layer_grid, regrid
from tests.factories import granules as make
from tests.factories import soil

WATER = int(InputQuality.WATER)


def _read(path: Path) -> list[Raster]:
    return list(read(examine(make.candidate(path))))


def _reason(path: Path) -> str:
    with pytest.raises(RefusedInput) as caught:
        _read(path)
    return caught.value.reason


class TestAsciiGrid:
    def test_heights_lie_where_the_header_says_and_terrain_is_made(self, tmp_path):
        values = 500 + 10.0 * np.arange(60)[:, None] * np.ones(50)  # rises to the south
        found = {r.variable.name: r for r in _read(soil.ascii_grid(tmp_path / "be30_grd", values))}
        assert set(found) == {"elevation", "slope", "aspect", "northness", "eastness"}
        raster = found["elevation"]
        np.testing.assert_array_equal(raster.values, values)
        assert raster.grid.bbox() == pytest.approx((105, 37, 105 + 50 / 120, 37.5), abs=1e-6)
        np.testing.assert_allclose(found["aspect"].values, 0, atol=1e-3)

    @pytest.mark.parametrize(
        ("name", "source"),
        [
            ("be30_grd", "GMTED2010"), ("be75_grd.asc", "GMTED2010"), ("be15_grd.txt", "GMTED2010"),
            ("mn30_grd", "GMTED2010-mean"), ("md15_grd.asc", "GMTED2010-median"),
        ],
    )  # fmt: skip
    def test_each_statistic_is_a_source_of_its_own(self, tmp_path, name, source):
        granule = examine(make.candidate(soil.ascii_grid(tmp_path / name)))
        assert granule.identity.source == source
        assert granule.identity.name == name.partition(".")[0]

    @pytest.mark.parametrize("name", ["mi30_grd", "mx75_grd.asc", "sd15_grd", "ds30_grd"])
    def test_what_is_no_elevation_on_the_whole_is_refused(self, tmp_path, name):
        assert "not the ground on the whole" in _reason(soil.ascii_grid(tmp_path / name))

    def test_another_name_is_told_as_what_the_file_is(self, tmp_path):
        reason = _reason(soil.ascii_grid(tmp_path / "heights.asc"))
        assert "is an Esri ASCII grid whose name matches none" in reason

    def test_a_zip_holds_it_too(self, tmp_path):
        soil.ascii_grid(tmp_path / "be30_grd")
        with zipfile.ZipFile(tmp_path / "heights.zip", "w") as out:
            out.write(tmp_path / "be30_grd", "be30_grd")
        plain, *_ = _read(tmp_path / "be30_grd")
        for candidate in walk([tmp_path / "heights.zip"]):
            raster, *_ = read(examine(candidate))
            np.testing.assert_array_equal(raster.values, plain.values)
            break
        else:
            pytest.fail("the zip was passed over")

    @pytest.mark.parametrize("nodata", ["-9999", "nan", None])
    def test_missing_heights_are_none(self, tmp_path, nodata):
        values = 1200.0 + np.arange(20).reshape(4, 5)
        values[1, 1] = np.nan if nodata in {"nan", None} else -9999
        raster, *_ = _read(soil.ascii_grid(tmp_path / "be30_grd", values, nodata=nodata))
        assert np.argwhere(np.isnan(raster.values)).tolist() == [[1, 1]]

    @pytest.mark.parametrize("ends", ["\n", "\r\n"])
    def test_lines_may_be_broken_anywhere(self, tmp_path, ends):
        path = soil.ascii_grid(tmp_path / "be30_grd")
        plain, *_ = _read(path)
        header, numbers = path.read_text().split("\n")[:6], path.read_text().split("\n")[6:]
        words = " ".join(numbers).split()
        body = ["  ".join(words[:7]), *words[7:12], " ".join(words[12:])]
        path.write_text("\n".join([*header, *body]), newline=ends)
        raster, *_ = _read(path)
        np.testing.assert_array_equal(raster.values, plain.values)

    def test_numbers_are_counted_across_the_pieces_in_which_they_are_read(
        self, tmp_path, monkeypatch
    ):
        path = soil.ascii_grid(tmp_path / "be30_grd")
        for size in (1, 2, 3, 7, 64):
            monkeypatch.setattr(esri, "_CHUNK", size)
            assert len(_read(path)) == 5

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            (lambda t: t[: t.rindex("1216")], "holds 16 numbers, and by its header 5 x 4 = 20: cut off"),
            (lambda t: t + "1 2 3\n", "holds 23 numbers"),
            (lambda t: t.replace("1207", "12o7"), "holds something else than numbers"),
            (lambda t: t.replace("1207", "<b>"), "holds something else than numbers"),
            (lambda t: t.replace("1207", "99999"), "1 of 20 values of elevation are outside"),
            (lambda t: t.replace("ncols 5", "ncols 50000").replace("nrows 4", "nrows 50000"), "holds 20 num"),
            (lambda t: t.replace("xllcorner 105", "xllcorner 305"), "not on Earth"),
            (lambda t: t.replace("cellsize 0.0", "cellsize -0.0"), "is a broken|run from west|not on Earth"),
            (lambda t: t.replace("yllcorner", "yllkorner"), "broken or truncated Esri ASCII grid|georef|something"),
        ],
    )  # fmt: skip
    def test_damage_is_refused(self, tmp_path, change, reason):
        path = soil.ascii_grid(tmp_path / "be30_grd")
        path.write_text(change(path.read_text()))
        with pytest.raises(RefusedInput, match=reason):
            _read(path)


class TestClimateZones:
    def test_sea_is_water_and_nodata_is_nothing(self, tmp_path):
        classes = np.array([[0, 0, 8, 8], [255, 14, 14, 8]], "u1")
        path = make.geotiff(tmp_path / "koppen_subset.tif", classes, nodata=255)
        (raster,) = _read(path)
        assert (raster.variable.name, raster.variable.kind) == ("climate_zone", Kind.CLASSES)
        np.testing.assert_array_equal(raster.values, [[np.nan, np.nan, 8, 8], [np.nan, 14, 14, 8]])
        np.testing.assert_array_equal(raster.quality == WATER, classes == 0)

    def test_a_kilometre_cell_has_the_class_of_most_of_it_and_never_a_mean(self, tmp_path):
        classes = np.where(np.arange(60)[:, None] < 30, 8, 27).astype("u1") * np.ones(60, "u1")
        path = make.geotiff(
            tmp_path / "koppen_cut.tif", classes, transform=Affine(1 / 120, 0, 105, 0, -1 / 120, 37)
        )
        (raster,) = _read(path)
        target = layer_grid(raster.grid)
        assert target.base == EASE2_GRIDS["M01"].name
        values = regrid(raster, target).values
        assert set(np.unique(values[np.isfinite(values)])) == {8, 27}

    @pytest.mark.parametrize(
        ("name", "reason"),
        [
            ("Beck_KG_V1_future_0p5.tif", "projected for 2071-2100"),
            ("Beck_KG_V1_future_0p0083_china.tif", "projected for 2071-2100"),
            ("Beck_KG_V1_present_conf_0p0083.tif", "how sure the climate zones are"),
            ("Beck_KG_V1_future_conf_0p5.tif", "how sure the climate zones are"),
            ("koppen_future.tif", "projected for 2071-2100"),
            ("sand2.tif", "the soil of 30 to 100 cm"),
        ],
    )
    def test_what_is_no_input_is_refused_with_the_reason(self, tmp_path, name, reason):
        assert reason in _reason(make.geotiff(tmp_path / name, np.full((4, 5), 14, "u1")))

    def test_a_class_that_there_is_not_is_refused(self, tmp_path):
        path = make.geotiff(tmp_path / "koppen_cut.tif", np.full((4, 5), 31, "u1"))
        assert "values of climate_zone are outside 1 to 30" in _reason(path)
        path = make.geotiff(tmp_path / "koppen_cut.tif", np.zeros((4, 5), "u1"))
        assert "holds no value at all" in _reason(path)

    def test_large_maps_come_in_blocks_and_give_the_same(self, tmp_path, monkeypatch):
        random = np.random.default_rng(3)
        classes = random.integers(0, 31, (150, 260)).astype("u1")
        classes[:50, :100] = 0
        for upwards in (False, True):
            transform = Affine(0.1, 0, 100, 0, -0.1, 45)
            if upwards:
                transform = Affine(0.1, 0, 100, 0, 0.1, 30)
            path = make.geotiff(
                tmp_path / "koppen_cut.tif",
                classes[::-1] if upwards else classes,
                transform=transform,
            )
            monkeypatch.setattr(rasters, "_AT_ONCE", 1 << 40)
            (whole,) = _read(path)
            monkeypatch.setattr(rasters, "_AT_ONCE", 1000)
            parts = _read(path)
            assert len(parts) == 5  # of six one is sea
            seen = np.zeros(classes.shape, bool)
            for part in parts:
                place = (
                    slice(part.grid.row, part.grid.row + part.grid.shape[0]),
                    slice(part.grid.column, part.grid.column + part.grid.shape[1]),
                )
                np.testing.assert_array_equal(part.values, whole.values[place])
                np.testing.assert_array_equal(part.quality, whole.quality[place])
                assert not seen[place].any()
                seen[place] = True
            np.testing.assert_array_equal(
                ~seen, np.pad(np.ones((50, 100), bool), ((0, 100), (0, 160)))
            )


def test_density_of_soilgrids_comes_in_kilograms(tmp_path):
    path = make.geotiff(
        tmp_path / "bdod_0-5cm_mean_china.tif", np.full((4, 5), 135, "i2"), nodata=-32768
    )
    (raster,) = _read(path)
    np.testing.assert_allclose(raster.values, 1350)
    fractions = make.geotiff(tmp_path / "bdod_0-5cm_mean.tif", np.full((4, 5), 1.35, "f4"))
    assert "values of bulk_density are outside" in _reason(fractions)


def test_soil_of_china_as_geotiff_is_in_percent(tmp_path):
    stored = np.full((4, 5), 52, "f4")
    stored[0] = -9999
    (raster,) = _read(make.geotiff(tmp_path / "Sand1.tif", stored, crs=None))
    assert raster.grid.crs.epsg == 4326
    np.testing.assert_allclose(raster.values[1:], 0.52, rtol=1e-6)
    assert np.isnan(raster.values[0]).all()


def test_rasters_of_no_declared_system_still_need_their_own(tmp_path):
    path = make.geotiff(tmp_path / "koppen_cut.tif", np.full((4, 5), 8, "u1"), crs=None)
    assert "has no coordinate reference system" in _reason(path)


def test_a_wrong_pattern_of_refused_files_is_a_mistake_of_the_declaration():
    text = """
    [[source]]
    name = "x"
    title = "y"
    [[source.raster]]
    pattern = 'a\\.tif'
    variable = "sand"
    unit = "1"
    valid = [0.0, 1.0]
    covers = "static"
    [[source.refused]]
    pattern = '(a'
    reason = "b"
    """
    with pytest.raises(DefinitionError, match=r"rasters\.toml"):
        declared(text)


def test_layers_hold_the_new_variables_without_loss():
    for name, step in (("bulk_density", 0.1), ("climate_zone", 1.0)):
        kind = variable(name)
        values = np.arange(kind.valid_min, kind.valid_max, step, dtype=np.float32)
        np.testing.assert_allclose(kind.decode(kind.encode(values)), values, atol=step / 2)


def test_gdal_reads_the_same_heights(tmp_path):
    path = soil.ascii_grid(tmp_path / "be30_grd")
    raster, *_ = _read(path)
    with rasterio.open(path) as file:
        np.testing.assert_array_equal(file.read(1), raster.values)
