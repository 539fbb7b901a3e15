"""Soil maps on tiny files whose answer can be worked out by hand: HWSD and the dataset of China."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
import rasterio

from ingest import windows
from ingest.files import walk
from ingest.granules import examine, read
from ingest.sources import hwsd
from ingest.sources.csdl import LAYERS, TOPSOIL
from smcatalog.core.errors import RefusedInput
from smcatalog.core.grids import Grid
from smcatalog.core.raster import InputQuality, Raster
from smcatalog.resample import layer_grid, mosaic, regrid
from tests.factories import granules as make
from tests.factories import soil

WATER, PARTIAL = int(InputQuality.WATER), int(InputQuality.PARTIAL_COVERAGE)


def _read(path: Path) -> dict[str, Raster]:
    found = list(read(examine(make.candidate(path))))
    assert len({raster.variable.name for raster in found}) == len(found)
    return {raster.variable.name: raster for raster in found}


def _reason(path: Path) -> str:
    with pytest.raises(RefusedInput) as caught:
        list(read(examine(make.candidate(path))))
    assert "\n" not in caught.value.reason
    return caught.value.reason


class TestHwsd:
    def test_a_units_value_is_the_mean_of_its_components_by_share(self, tmp_path):
        found = _read(soil.hwsd(tmp_path / "hwsd.bil"))
        assert list(found) == ["sand", "silt", "clay", "bulk_density"]
        by_hand = {
            "sand": {11000: (60 * 50 + 30 * 20) / 90 / 100, 11001: 0.9, 7001: 0.4},
            "silt": {11000: (60 * 30 + 30 * 40) / 90 / 100, 11001: 0.05, 7001: 0.4},
            "clay": {11000: (60 * 20 + 30 * 40) / 90 / 100, 11001: 0.05, 7001: 0.2},
            "bulk_density": {11000: (60 * 1400 + 30 * 1300) / 90, 11001: 1600, 7001: 1450},
        }
        for name, raster in found.items():
            expected = np.vectorize(lambda unit, of=by_hand[name]: of.get(unit, np.nan))(soil.UNITS)
            np.testing.assert_allclose(raster.values, expected, rtol=1e-6)
            assert raster.period is None
        whole = sum(found[name].values for name in ("sand", "silt", "clay"))
        np.testing.assert_allclose(whole[np.isfinite(whole)], 1, atol=1e-6)

    def test_quality_says_where_rock_or_water_is_in_the_unit(self, tmp_path):
        quality = _read(soil.hwsd(tmp_path / "hwsd.bil"))["sand"].quality
        expected = {11000: PARTIAL, 11001: 0, 7001: PARTIAL | WATER, 6997: 0, 0: 0}
        np.testing.assert_array_equal(quality, np.vectorize(expected.get)(soil.UNITS))

    def test_cells_are_those_of_the_globe_at_30_seconds(self, tmp_path):
        grid = _read(soil.hwsd(tmp_path / "hwsd.bil"))["sand"].grid
        assert grid.name.endswith("[6240:6243,34200:34204]")
        assert grid.bbox() == pytest.approx((105, 38 - 3 / 120, 105 + 4 / 120, 38), abs=1e-9)

    @pytest.mark.parametrize(
        ("main", "names"),
        [("hwsd.bil", ("HWSD.HDR", "hwsd_data.CSV")), ("HWSD.BIL", ("hwsd.Hdr", "HWSD_Data.csv"))],
    )
    def test_companions_may_be_written_in_any_case(self, tmp_path, main, names):
        plain = _read(soil.hwsd(tmp_path / "hwsd.bil"))["sand"]
        other = tmp_path / "other"
        other.mkdir()
        soil.hwsd(other / main, names=names)
        (candidate,) = walk([other])
        assert len(candidate.companions) == 2
        raster, *_ = read(examine(candidate))
        np.testing.assert_array_equal(raster.values, plain.values)

    def test_comes_out_of_a_zip_with_its_companions(self, tmp_path):
        folder = tmp_path / "made"
        folder.mkdir()
        soil.hwsd(folder / "hwsd.bil")
        plain = _read(folder / "hwsd.bil")
        with zipfile.ZipFile(tmp_path / "soil.zip", "w", zipfile.ZIP_DEFLATED) as out:
            for file in sorted(folder.iterdir()):
                out.write(file, f"HWSD v121/{file.name}")
        count = 0
        for candidate in walk([tmp_path / "soil.zip"]):
            count += 1
            granule = examine(candidate)
            assert (granule.identity.source, granule.identity.name) == ("HWSD", "hwsd")
            for raster in read(granule):
                np.testing.assert_array_equal(raster.values, plain[raster.variable.name].values)
        assert count == 1

    def test_a_change_of_the_table_is_another_granule(self, tmp_path):
        path = soil.hwsd(tmp_path / "hwsd.bil")
        (before,) = walk([tmp_path])
        soil.hwsd(path, text=soil.table(soil.COMPONENTS[:-1]))
        (after,) = walk([tmp_path])
        assert before.files == after.files
        soil.hwsd(path)
        first = before.sha256()
        soil.hwsd(path, text=soil.table(soil.COMPONENTS[:-1]))
        assert first != after.sha256()

    @pytest.mark.parametrize("separator", [";", "\t"])
    def test_an_offices_table_reads_the_same(self, tmp_path, separator):
        text = "\ufeff" + soil.table(separator=separator).replace("1.4", "1,4").replace(
            "\n", "\r\n"
        )
        plain = _read(soil.hwsd(tmp_path / "hwsd.bil"))
        (tmp_path / "HWSD_DATA.csv").write_text(text, encoding="utf-8", newline="")
        for name, raster in _read(tmp_path / "hwsd.bil").items():
            np.testing.assert_array_equal(raster.values, plain[name].values)

    def test_old_versions_have_the_reference_density_alone(self, tmp_path):
        text = soil.table().replace("T_BULK_DENSITY", "T_SOMETHING")
        found = _read(soil.hwsd(tmp_path / "hwsd.bil", text=text))
        dense = found["bulk_density"].values
        np.testing.assert_allclose(dense[np.isfinite(dense)], 1350, rtol=1e-6)

    def test_agrees_with_gdal_whatever_the_byte_order(self, tmp_path):
        for order in ("I", "M"):
            path = soil.hwsd(tmp_path / "hwsd.bil", BYTEORDER=order)
            grid = _read(path)["sand"].grid
            with rasterio.open(path) as file:
                np.testing.assert_array_equal(file.read(1), soil.UNITS)
                assert grid.transform.almost_equals(file.transform, precision=1e-9)

    def test_what_the_header_calls_nodata_is_none(self, tmp_path):
        units = np.where(soil.UNITS == 0, 65535, soil.UNITS)
        path = soil.hwsd(tmp_path / "hwsd.bil", units)
        assert "are of units that" in _reason(path)
        found = _read(soil.hwsd(path, units, NODATA=65535))
        np.testing.assert_array_equal(
            np.isnan(found["sand"].values), np.isin(soil.UNITS, [0, 6997])
        )

    def test_comes_in_blocks_of_ten_degrees_without_the_empty_ones(self, tmp_path):
        units = np.zeros((8, 1320), int)  # from 99.5 to 110.5 degrees east, across 40 north
        units[2, 30], units[6, 1300] = 11001, 11000
        path = soil.hwsd(tmp_path / "hwsd.bil", units, west=99.5, north=40 + 4 / 120)
        found = [r for r in read(examine(make.candidate(path))) if r.variable.name == "sand"]
        boxes = [tuple(round(edge, 6) for edge in raster.grid.bbox()) for raster in found]
        north, south = round(40 + 4 / 120, 6), round(40 - 4 / 120, 6)
        assert boxes == [(99.5, 40, 100, north), (110, south, 110.5, 40)]
        assert [int(np.isfinite(raster.values).sum()) for raster in found] == [1, 1]

    def test_the_tables_absence_is_told_with_how_to_get_it(self, tmp_path):
        path = soil.hwsd(tmp_path / "hwsd.bil")
        (tmp_path / "HWSD_DATA.csv").unlink()
        reason = _reason(path)
        assert "mdb-export HWSD.mdb HWSD_DATA > HWSD_DATA.csv" in reason
        soil.hwsd(path)
        (tmp_path / "hwsd.hdr").unlink()
        assert "has no header beside it (hwsd.hdr)" in _reason(path)

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            ({"text": soil.table(factor=0.01)}, "holds fractions where percent belong"),
            ({"text": soil.table().replace("90,5,5", "90,50,50")}, "do not add up to 100 %"),
            ({"text": soil.table().replace(",1.4,", ",1400,")}, "values of bulk_density are outside"),
            ({"text": soil.table().replace(",60,", ",-60,")}, "SHARE of HWSD_DATA.csv is not a percentage"),
            ({"text": soil.table().replace(",11001,", ",11001.5,")}, "MU_GLOBAL of HWSD_DATA.csv"),
            ({"text": soil.table().replace(",90,", ",ninety,")}, "T_SAND in row 5 .* is 'ninety', not a"),
            ({"text": soil.table()[:-30]}, "line 8 of HWSD_DATA.csv has .* fields, its header 13: cut"),
            ({"text": soil.table(soil.COMPONENTS[:3])}, "7 of 11 cells are of units that"),
            ({"text": "a,b\n1,2\n"}, "has no column MU_GLOBAL, SHARE, T_SAND, T_SILT, T_CLAY"),
            ({"text": ""}, "has no column MU_GLOBAL"),
            ({"west": 105 + 1 / 240}, r"not those of the global grid .* \(off by 0.50 cells\): shifted"),
            ({"XDIM": 0.01}, "not those of the global grid"),
            ({"west": 180 - 2 / 120}, "is not on the globe"),
            ({"NROWS": 4}, "has 24 bytes, and by its header 32"),
            ({"NBITS": 32}, "has 24 bytes, and by its header 48"),
            ({"units": np.full((3, 4), 6997)}, "holds no soil at all"),
            ({"units": np.zeros((3, 4), int)}, "holds no soil at all"),
        ],
    )  # fmt: skip
    def test_what_is_wrong_is_said(self, tmp_path, change, reason):
        with pytest.raises(RefusedInput, match=reason):
            list(read(examine(make.candidate(soil.hwsd(tmp_path / "hwsd.bil", **change)))))

    def test_a_cut_map_is_refused(self, tmp_path):
        path = soil.hwsd(tmp_path / "hwsd.bil")
        path.write_bytes(path.read_bytes()[:-2])
        assert "has 22 bytes, and by its header 24" in _reason(path)

    @pytest.mark.parametrize(
        ("name", "reason"),
        [("hwsd_china.bil", "is called hwsd_china.bil"), ("HWSD2.bil", "is HWSD 2")],
    )
    def test_another_name_is_refused_with_the_right_one(self, tmp_path, name, reason):
        assert reason in _reason(soil.hwsd(tmp_path / name, names=("hwsd.hdr", "HWSD_DATA.csv")))

    @pytest.mark.parametrize("name", ["hwsd.hdr", "HWSD_DATA.csv"])
    def test_damaged_companions_end_in_a_refusal_or_in_sound_values(self, tmp_path, name):
        path = soil.hwsd(tmp_path / "hwsd.bil")
        whole = (tmp_path / name).read_bytes()
        random = np.random.default_rng(5)
        refused = 0
        for _ in range(150):
            damaged = bytearray(whole)
            for place in random.integers(0, len(whole), random.integers(1, 5)):
                damaged[place] = random.integers(0, 256)
            (tmp_path / name).write_bytes(damaged)
            try:
                for raster in read(examine(make.candidate(path))):
                    finite = raster.values[np.isfinite(raster.values)]
                    assert not raster.variable.out_of_range(finite).any()
            except RefusedInput:
                refused += 1
        assert refused > 20


class TestCsdl:
    def test_the_topsoil_is_the_mean_by_thickness(self, tmp_path):
        layers = np.full((8, 4, 5), 90)
        layers[:4] = np.array([10, 20, 30, 40])[:, None, None]
        (raster,) = _read(soil.csdl(tmp_path / "SA.nc", layers)).values()
        by_hand = (10 * 0.045 + 20 * 0.046 + 30 * 0.075 + 40 * 0.123) / 0.289 / 100
        np.testing.assert_allclose(raster.values, by_hand, rtol=1e-6)
        assert (LAYERS[4], TOPSOIL) == (0.289, 0.289)
        assert raster.variable.name == "sand"
        assert not raster.quality.any()

    @pytest.mark.parametrize(
        ("stem", "variable"),
        [("SA", "sand"), ("SI", "silt"), ("CL", "clay"), ("SAND", "sand"), ("POR", "porosity"),
         ("GRAV", "rock_fragments")],
    )  # fmt: skip
    def test_each_property_becomes_its_variable(self, tmp_path, stem, variable):
        assert list(_read(soil.csdl(tmp_path / f"{stem}.nc"))) == [variable]

    @pytest.mark.parametrize(
        ("unit", "stored"),
        [("0.01g/cm3", 140), ("0.01 g/cm3", 140), ("g/cm3", 1.4), ("g cm-3", 1.4), ("kg/m3", 1400)],
    )
    def test_density_in_any_known_unit_is_the_same(self, tmp_path, unit, stored):
        layers = np.full((8, 4, 5), stored, float)
        (raster,) = _read(soil.csdl(tmp_path / "BD.nc", layers, unit=unit)).values()
        assert raster.variable.unit == "kg m-3"
        np.testing.assert_allclose(raster.values, 1400, rtol=1e-6)

    @pytest.mark.parametrize(
        ("unit", "stored"), [("cm3/cm3", 0.45), ("m3 m-3", 0.45), ("%", 45), ("% of volume", 45)]
    )
    def test_porosity_in_any_known_unit_is_the_same(self, tmp_path, unit, stored):
        layers = np.full((8, 4, 5), stored, float)
        (raster,) = _read(soil.csdl(tmp_path / "POR.nc", layers, unit=unit)).values()
        np.testing.assert_allclose(raster.values, 0.45, rtol=1e-6)

    def test_rows_that_run_upwards_are_turned(self, tmp_path):
        layers = np.broadcast_to(np.arange(1, 1441)[:, None] // 20 + 10, (8, 1440, 3)).copy()
        rows = 44 - (np.arange(1440) + 0.5) / 120
        whole = {}
        for name, order in (("down", slice(None)), ("up", slice(None, None, -1))):
            folder = tmp_path / name
            folder.mkdir()
            path = soil.csdl(folder / "SA.nc", layers[:, order], latitudes=rows[order])
            whole[name] = list(read(examine(make.candidate(path))))
        assert len(whole["up"]) == 2  # a block on either side of 40 degrees
        for one, other in zip(whole["down"], whole["up"], strict=True):
            assert one.grid == other.grid
            np.testing.assert_array_equal(one.values, other.values)
        values = np.concatenate([raster.values for raster in whole["up"]])
        np.testing.assert_allclose(values * 100, layers[0], rtol=1e-6)

    def test_layers_may_come_in_metres_or_from_below(self, tmp_path):
        layers = np.arange(10, 90, 10)[:, None, None] * np.ones((1, 4, 5), int)
        (plain,) = _read(soil.csdl(tmp_path / "SA.nc", layers)).values()
        metres = [depth / 100 for depth in soil.ENDS]
        turned = soil.csdl(tmp_path / "SA.nc", layers[::-1], depths=metres[::-1], depth_unit="m")
        (raster,) = _read(turned).values()
        np.testing.assert_allclose(raster.values, plain.values, rtol=1e-6)

    def test_shallow_soil_is_the_mean_of_what_is_there_and_marked(self, tmp_path):
        layers = np.full((8, 4, 5), 50)
        layers[:2] = 20
        layers[2:, 1, 1] = -999  # rock below 9.1 cm
        layers[:, 2, 2] = -999
        (raster,) = _read(soil.csdl(tmp_path / "CL.nc", layers)).values()
        assert raster.values[1, 1] == pytest.approx(0.2)
        assert np.argwhere(np.isnan(raster.values)).tolist() == [[2, 2]]
        assert np.argwhere(raster.quality == PARTIAL).tolist() == [[1, 1]]

    @pytest.mark.parametrize("fill", [-999, -100])
    def test_fill_that_is_not_declared_is_known(self, tmp_path, fill):
        layers = np.full((8, 4, 5), 50)
        layers[:, :3] = fill
        (raster,) = _read(soil.csdl(tmp_path / "SA.nc", layers, fill=None)).values()
        assert np.isnan(raster.values[:3]).all()
        np.testing.assert_allclose(raster.values[3], 0.5)

    def test_the_newer_format_reads_the_same(self, tmp_path):
        layers = np.full((8, 4, 5), 33, "i1")
        layers[:, 0] = -100
        path = soil.csdl_hdf5(tmp_path / "CL.nc", layers, units="%", missing_value=np.int8(-100))
        (raster,) = _read(path).values()
        np.testing.assert_allclose(raster.values[1:], 0.33, rtol=1e-6)
        assert np.isnan(raster.values[0]).all()

    def test_coordinates_of_32_bits_lie_on_the_lattice(self, tmp_path):
        columns = 73 + (np.arange(2000) + 0.5) / 120
        path = soil.csdl(tmp_path / "SA.nc", np.full((8, 4, 2000), 50), longitudes=columns)
        edges = [r.grid.bbox() for r in read(examine(make.candidate(path)))]
        assert [box[0] for box in edges] == pytest.approx([73, 80], abs=1e-9)
        assert edges[-1][2] == pytest.approx(73 + 2000 / 120, abs=1e-9)

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            ({"unit": "1"}, "the unit of SA is '1', not one of"),
            ({"unit": "g/kg"}, "the unit of SA is 'g/kg'"),
            ({"layers": np.full((8, 4, 5), 0.4)}, "such as fractions for percent"),
            ({"layers": np.full((8, 4, 5), 400)}, "values of sand are outside 0 to 1"),
            ({"layers": np.where(np.arange(5) < 1, 40, -32768) * np.ones((8, 4, 1), int)},
             "values of sand are outside 0 to 1 .*wrong fill value"),
            ({"layers": np.full((8, 4, 5), -999)}, "holds no value at all"),
            ({"depth_unit": "layer"}, "the unit of depth is 'layer', not cm or m"),
            ({"depth_unit": "m"}, "has a layer that ends at 4.5 m"),
            ({"depths": (5, 15, 30, 60, 100, 200), "layers": np.full((6, 4, 5), 40)}, "ends at 0.15 m"),
            ({"depths": soil.ENDS[4:], "layers": np.full((4, 4, 5), 40)}, "does not have each of the layers"),
            ({"depths": (4.5, 9.1, 16.6, 16.6), "layers": np.full((4, 4, 5), 40)}, "does not have each"),
            ({"latitudes": np.array([38, 37.9, 37.7, 37.6])}, "do not rise or fall evenly"),
            ({"latitudes": np.array([38, 37.9, np.nan, 37.7])}, "no list of degrees"),
            ({"longitudes": 10 + np.arange(5) / 120}, "not the soil of China"),
            ({"longitudes": np.linspace(-179, 179, 5)}, "GSDE"),
            ({"latitudes": 138 - np.arange(4) / 120}, "not on Earth"),
        ],
    )  # fmt: skip
    def test_what_is_wrong_is_said(self, tmp_path, change, reason):
        with pytest.raises(RefusedInput, match=reason):
            list(read(examine(make.candidate(soil.csdl(tmp_path / "SA.nc", **change)))))

    def test_density_in_another_unit_than_it_says_is_refused(self, tmp_path):
        light = soil.csdl(tmp_path / "BD.nc", np.full((8, 4, 5), 1.4), unit="0.01g/cm3")
        assert "values of bulk_density are outside" in _reason(light)
        heavy = soil.csdl(tmp_path / "BD.nc", np.full((8, 4, 5), 140), unit="g/cm3")
        assert "values of bulk_density are outside" in _reason(heavy)

    @pytest.mark.parametrize("dimensions", [("lat", "depth", "lon"), ("time", "lat", "lon")])
    def test_another_layout_is_not_ours(self, tmp_path, dimensions):
        path = soil.csdl(tmp_path / "SA.nc", np.full((8, 8, 8), 40), dimensions=dimensions,
                         latitudes=38 - np.arange(8) / 120)  # fmt: skip
        assert "of no known source" in _reason(path)

    def test_an_unknown_property_is_not_ours(self, tmp_path):
        assert "of no known source" in _reason(soil.csdl(tmp_path / "PH.nc", name="PH", unit="%"))


def test_a_large_file_comes_in_blocks(tmp_path):
    path = soil.csdl_hdf5(tmp_path / "SA.nc", np.full((8, 2400, 2400), 40, "i1"), units="%")
    shapes = [raster.grid.shape for raster in read(examine(make.candidate(path)))]
    # 18 to 38 degrees north and 105 to 125 east
    assert sorted(set(shapes)) == [
        (240, 600),
        (240, 1200),
        (960, 600),
        (960, 1200),
        (1200, 600),
        (1200, 1200),
    ]
    assert sum(rows * columns for rows, columns in shapes) == 2400**2


def test_blocks_make_the_layers_that_the_whole_map_would(tmp_path, monkeypatch):
    """No seam and no hole: cells of a kilometre that lie in two or four blocks are put together."""
    units = np.random.default_rng(2).choice([11000, 11001, 7001], (60, 80))
    path = soil.hwsd(tmp_path / "hwsd.bil", units, west=110 - 40 / 120, north=40 + 30 / 120)

    def layers() -> list[Raster]:
        found = [r for r in read(examine(make.candidate(path))) if r.variable.name == "sand"]
        return [regrid(raster, layer_grid(raster.grid), parts=True) for raster in found]

    parts = layers()
    assert len(parts) == 4
    monkeypatch.setattr(hwsd, "blocks", lambda _: [(slice(0, 60), slice(0, 80))])
    (whole,) = layers()
    values, quality = mosaic([regrid(part, whole.grid) for part in parts])
    expected, bits = mosaic([whole])
    np.testing.assert_array_equal(np.isnan(values), np.isnan(expected))
    # a part's size is kept in sixteenths of the cell
    np.testing.assert_allclose(values, expected, atol=0.05)
    assert (np.abs(values - expected) < 1e-5)[np.isfinite(expected)].mean() > 0.9
    wet = (quality & InputQuality.WATER) != 0
    np.testing.assert_array_equal(wet, (bits & InputQuality.WATER) != 0)


def test_blocks_cover_a_grid_once():
    for grid in (
        Grid.latlon(-180, 90, 0.5, (360, 720)),
        Grid.latlon(73.2, 53.7, 0.01, (3000, 6000)),
        Grid.latlon(9.995, 10.0, 0.01, (7, 3)),
    ):
        seen = np.zeros(grid.shape, np.uint8)
        for rows, columns in windows.blocks(grid):
            seen[rows, columns] += 1
            west, south, east, north = grid.window(rows, columns).bbox()
            assert max(east - west, north - south) <= 10 + max(grid.cell)
            assert (
                np.floor((west + 1e-6) / 10) == np.floor((east - 1e-6) / 10) or east - west < 0.02
            )
        assert (seen == 1).all()
