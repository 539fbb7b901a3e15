"""Soil moisture merged from many satellites, and that of AMSR: what is read of it, and what is refused."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import h5py
import numpy as np
import pytest

from ingest.granules import examine, read
from ingest.reader import Identity
from smcatalog.core.errors import RefusedInput
from smcatalog.core.grids import grid
from smcatalog.core.raster import InputQuality, Raster
from smcatalog.core.time import Period
from smcatalog.resample import layer_grid
from tests.factories import coarse
from tests.factories import granules as make

CELLS = {(80, 760): 0.21, (82, 763): 0.32}
FROZEN, DOUBTFUL = InputQuality.FROZEN, InputQuality.NOT_RECOMMENDED
DAY = coarse.DAY


def values_of(path: Path) -> tuple[Identity, list[Raster]]:
    granule = examine(make.candidate(path))
    return granule.identity, list(read(granule))


def one(path: Path) -> Raster:
    (raster,) = values_of(path)[1]
    return raster


def refusal(path: Path) -> str:
    with pytest.raises(RefusedInput) as caught:
        list(read(examine(make.candidate(path))))
    return caught.value.reason


class TestMerged:
    FLAGS = np.array([[0, 1, 2, 3], [0, 1, 2, 16]])
    VALUES = np.array([[0.1, 0.2, 0.3, 0.4], [np.nan, np.nan, np.nan, 0.15]])
    QUALITY = np.array([[0, FROZEN, DOUBTFUL, FROZEN | DOUBTFUL], [0, FROZEN, 0, DOUBTFUL]])

    def test_retrievals_lie_on_the_globes_grid_with_their_flags(self, tmp_path):
        raster = one(coarse.cci(tmp_path / coarse.COMBINED_NAME, self.VALUES, self.FLAGS))
        assert raster.variable.name == "sm"
        assert raster.grid.base == "latlon(-180,90,0.25,0.25,1440,720)"
        assert raster.grid.bbox() == pytest.approx((105.0, 37.5, 106.0, 38.0))
        assert layer_grid(raster.grid) is raster.grid  # kept at its own resolution
        np.testing.assert_allclose(raster.values, self.VALUES, atol=1e-6)
        np.testing.assert_array_equal(raster.quality, self.QUALITY)

    @pytest.mark.parametrize(
        ("kind", "meanings"),
        [
            ("flag_masks", {1: "snow_coverage_or_temperature_below_zero", 2: "dense_vegetation", 16: "weight_of_measurement_below_threshold"}),
            ("flag_values", {1: "snow_coverage_or_temperature_below_zero", 2: "dense_vegetation", 3: "others_no_convergence_in_the_model_thus_no_valid_sm_estimates",
                             4: "soil_moisture_value_exceeds_physical_boundary", 5: "weight_of_measurement_below_threshold"}),
            ("flag_other", {1: "nothing"}),
        ],
        ids=["masks", "numbers of bits", "not told"],
    )  # fmt: skip
    def test_flags_mean_the_same_however_a_release_tells_them(self, tmp_path, kind, meanings):
        path = coarse.cci(
            tmp_path / coarse.COMBINED_NAME, self.VALUES, self.FLAGS, kind=kind, meanings=meanings
        )
        np.testing.assert_array_equal(one(path).quality, self.QUALITY)

    def test_bits_are_those_that_the_file_tells(self, tmp_path):
        told = {1: "dense_vegetation", 2: "snow_coverage_or_temperature_below_zero"}
        path = coarse.cci(
            tmp_path / coarse.COMBINED_NAME,
            np.full((1, 2), 0.2),
            np.array([[1, 2]]),
            kind="flag_masks",
            meanings=told,
        )
        assert refusal(path).startswith("its latitudes")  # a row alone makes no grid
        path = coarse.cci(
            tmp_path / coarse.COMBINED_NAME,
            np.full((2, 2), 0.2),
            np.array([[1, 2], [0, 0]]),
            kind="flag_masks",
            meanings=told,
        )
        assert one(path).quality.tolist() == [[DOUBTFUL, FROZEN], [0, 0]]

    def test_a_file_from_the_south_on_is_turned(self, tmp_path):
        values = np.arange(1, 21).reshape(4, 5) / 50
        one_way, other = (
            one(coarse.cci(tmp_path / coarse.COMBINED_NAME, values, rising=rising))
            for rising in (False, True)
        )
        np.testing.assert_array_equal(one_way.values, other.values)
        assert one_way.grid == other.grid

    def test_only_the_part_that_holds_something_is_kept(self, tmp_path):
        values, flags = np.full((720, 1440), np.nan), np.zeros((720, 1440))
        values[100, 300:303], flags[99, 299] = 0.2, 1
        raster = one(coarse.cci(tmp_path / coarse.COMBINED_NAME, values, flags, corner=(-180, 90)))
        assert (raster.grid.row, raster.grid.column, raster.grid.shape) == (99, 299, (2, 4))
        assert np.isfinite(raster.values).sum() == 3

    def test_scatterometers_measure_shares_of_saturation(self, tmp_path):
        identity, (raster,) = values_of(
            coarse.cci(tmp_path / coarse.ACTIVE_NAME, name=coarse.ACTIVE_NAME)
        )
        assert (identity.source, raster.variable.name) == ("ESACCI-SM-ACTIVE", "sm_saturation")
        assert (raster.values == 45).all()

    def test_a_day_is_from_noon_to_noon_around_its_midnight_unless_the_file_says_otherwise(
        self, tmp_path
    ):
        path = tmp_path / coarse.COMBINED_NAME
        period = values_of(coarse.cci(path))[0].period
        assert period == Period(
            datetime(2020, 1, 1, 12, tzinfo=UTC), datetime(2020, 1, 2, 12, tzinfo=UTC)
        )
        assert period.day == DAY
        for ends in (
            ("2020-01-02T00:00:00Z", "2020-01-02T23:59:59Z"),
            ("20200102T000000Z", "20200103T000000Z"),
        ):
            told = dict(zip(("time_coverage_start", "time_coverage_end"), ends, strict=True))
            assert values_of(coarse.cci(path, attributes=told))[0].period == Period.of_day(DAY)
        wild = {"time_coverage_start": "1978-11-01", "time_coverage_end": "2021-12-31"}
        assert values_of(coarse.cci(path, attributes=wild))[0].period == period

    def test_newer_releases_have_later_productions_of_one_subject(self, tmp_path):
        stems = {
            "ESACCI-SOILMOISTURE-L3S-SSMV-COMBINED-20200102000000-fv{}.nc": ("04.5", "04.7", "06.1", "09.1", "10.0"),
            "C3S-SOILMOISTURE-L3S-SSMV-COMBINED-DAILY-20200102000000-{}.nc": (
                "TCDR-v201912.0.0", "ICDR-v202012.0.0", "TCDR-v202012.0.0", "TCDR-v202212.0.0"),
        }  # fmt: skip
        for stem, releases in stems.items():
            names = [stem.format(release) for release in releases]
            found = [values_of(coarse.cci(tmp_path / name, name=name))[0] for name in names]
            assert len({identity.subject for identity in found}) == 1
            productions = [identity.production for identity in found]
            assert productions == sorted(productions)
            assert len(set(productions)) == len(releases)

    def test_the_name_inside_is_enough(self, tmp_path):
        identity, _ = values_of(coarse.cci(tmp_path / "renamed.nc"))
        assert f"{identity.name}.nc" == coarse.COMBINED_NAME
        identity, _ = values_of(coarse.cci(tmp_path / coarse.PASSIVE_NAME, name=""))
        assert identity.source == "ESACCI-SM-PASSIVE"

    def test_unfit_images_are_refused(self, tmp_path):
        path = tmp_path / coarse.COMBINED_NAME
        other = coarse.COMBINED_NAME.replace("20200102", "20200103")
        fit = coarse.cci(tmp_path / "fit.nc")
        assert one(fit).values.shape == (4, 5)
        for kwargs, reason in (
            ({"day": date(2020, 1, 3)}, "its name says 2020-01-02, its time 2020-01-03"),
            (
                {"name": other, "day": date(2020, 1, 3)},
                "COMBINED of 20200102, inside it is COMBINED of 20200103: files mixed up",
            ),
            ({"name": coarse.PASSIVE_NAME}, "its name says COMBINED"),
            ({"unit": "percentage (%)"}, "is in 'percentage (%)', expected m"),
            ({"values": np.full((4, 5), 21.0)}, "outside 0 to 1 m3 m-3"),
            ({"values": np.full((4, 5), np.nan)}, "holds no soil moisture at all"),
            ({"corner": (105.1, 38.0)}, "cells are not those of the global grid of 1/4 degree"),
            ({"flags": np.full((4, 5), -3)}, "where bits belong"),
        ):
            assert reason in refusal(coarse.cci(path, **kwargs)), kwargs

    def test_means_of_longer_times_and_other_kinds_are_told_as_such(self, tmp_path):
        for word, reason in (
            ("DEKADAL", "is a mean of more than a day (dekadal)"),
            ("MONTHLY", "fetch the daily images"),
        ):
            name = coarse.C3S_NAME.format("COMBINED").replace("DAILY", word)
            assert reason in refusal(coarse.cci(tmp_path / name, name=name))
        name = coarse.COMBINED_NAME.replace("COMBINED", "COMBINED_ADJUSTED")
        assert "of kind COMBINED_ADJUSTED, which is not read" in refusal(
            coarse.cci(tmp_path / name, name=name)
        )

    def test_an_image_cut_of_its_flags_is_refused(self, tmp_path):
        path = coarse.cci(tmp_path / coarse.COMBINED_NAME)
        with h5py.File(path, "r+") as file:
            del file["flag"]
        assert "lacks flag: fetch the whole image" in refusal(path)

    def test_pictures_cut_by_others_are_a_source_of_their_own(self, tmp_path):
        values = np.full((10, 8), np.nan, "f4")
        values[2, 3] = 0.21
        identity, (raster,) = values_of(coarse.cci_picture(tmp_path / coarse.CCI_TIFF_NAME, values))
        assert (identity.source, identity.period.day) == ("ESACCI-SM-cut", DAY)
        np.testing.assert_array_equal(raster.values, values)


class TestNetwork:
    @pytest.mark.parametrize("how", [{}, {"turned": True}, {"south_first": True}, {"turned": True, "south_first": True}],
                             ids=str)  # fmt: skip
    def test_retrievals_lie_in_their_cells_whichever_way_they_are_written(self, tmp_path, how):
        identity, (raster,) = values_of(coarse.nn(tmp_path / coarse.NN_NAME, CELLS, **how))
        assert (identity.source, identity.period) == ("AMSR-NN", Period.of_day(DAY))
        assert raster.grid.name == "M36[80:83,760:764]"
        for (row, column), value in CELLS.items():
            assert raster.values[row - 80, column - 760] == pytest.approx(value)
        assert np.isfinite(raster.values).sum() == 2

    def test_a_geotiff_gives_the_same(self, tmp_path):
        raster = one(coarse.nn_picture(tmp_path / coarse.NN_TIFF_NAME))
        assert raster.grid.name == "M36[80:83,760:764]"
        assert (raster.values == np.float32(0.21)).all()
        assert "not those of the EASE-Grid 2.0 of 36 km" in refusal(
            coarse.nn_picture(tmp_path / coarse.NN_TIFF_NAME, shift=0.5)
        )

    @pytest.mark.parametrize(
        ("name", "reason"),
        [
            ("NNsm-FY-2013001.nc", "of FengYun's radiometer"),
            ("NNsm-AMSR2-2020002_A.nc", "northward pass, in the afternoon"),
            ("NNsm-AMSR-2019366.nc", "impossible day"),
            ("soil.nc", "does not say which day"),
        ],
    )
    def test_other_radiometers_passes_and_days_are_refused(self, tmp_path, name, reason):
        assert reason in refusal(coarse.nn(tmp_path / name))

    def test_unfit_fields_are_refused(self, tmp_path):
        path = tmp_path / coarse.NN_NAME
        for kwargs, reason in (
            ({"unit": "%"}, "is in '%', expected"),
            ({"cells": {(80, 760): 21.0}}, "outside 0 to 1 m3 m-3"),
            ({"cells": {(80, 760): -9999.0}}, "holds no soil moisture at all"),
            ({"shift": 0.1}, "beside the centres of the 36 km grid"),
        ):
            assert reason in refusal(coarse.nn(path, **kwargs)), kwargs


class TestJaxa:
    @pytest.mark.parametrize("per_degree", [4, 10])
    @pytest.mark.parametrize("start", [0, -180])
    def test_the_land_tells_where_columns_begin(self, tmp_path, per_degree, start):
        name = coarse.JAXA_NAME if per_degree == 10 else coarse.JAXA_COARSE_NAME
        cell = (52 * per_degree, 285 * per_degree)  # 38 degrees north, 105 degrees east
        path = coarse.jaxa(
            tmp_path / name, {cell: 21.0}, per_degree=per_degree, name=name, start=start
        )
        identity, (raster,) = values_of(path)
        assert (identity.source, raster.variable.name) == ("AMSR2-L3-SM", "sm")
        assert (
            raster.grid.base
            == f"latlon(-180,90,{1 / per_degree:g},{1 / per_degree:g},{360 * per_degree},{180 * per_degree})"
        )
        rows, columns, inside = raster.grid.locate([105.01, 20.01], [37.99, -0.01])
        assert inside.all()
        assert raster.values[rows, columns].tolist() == pytest.approx([0.21, 0.30])
        assert np.isfinite(raster.values).sum() == 2

    def test_a_release_replaces_an_older_one(self, tmp_path):
        names = [coarse.JAXA_NAME.replace("3300300", version) for version in ("2210210", "3300300")]
        old, new = (values_of(coarse.jaxa(tmp_path / name, name=name))[0] for name in names)
        assert old.subject == new.subject
        assert old.production < new.production

    @pytest.mark.parametrize(
        ("name", "kwargs", "reason"),
        [
            (coarse.JAXA_NAME.replace("EQMD", "EQMA"), {}, "northward pass, in the afternoon"),
            (coarse.JAXA_NAME.replace("0102_01D", "0100_01M"), {}, "mean of a month"),
            (
                coarse.JAXA_NAME,
                {"quantity": "Sea Surface Temperature"},
                "inside it is one of Sea Surface Temperature",
            ),
            (
                coarse.JAXA_NAME,
                {"began": "2020-01-05T00:00:00.000Z"},
                "inside it began on 2020-01-05",
            ),
            (
                coarse.JAXA_NAME,
                {"percent": {(5, y): 121.0 for y in range(50)}},
                "outside 0 to 1 m3 m-3",
            ),
            (coarse.JAXA_NAME, {"code": -5}, "outside 0 to 1 m3 m-3"),
        ],
    )
    def test_unfit_maps_are_refused(self, tmp_path, name, kwargs, reason):
        assert reason in refusal(coarse.jaxa(tmp_path / name, **({"name": name} | kwargs)))

    def test_another_maps_name_is_seen_through(self, tmp_path):
        path = coarse.jaxa(tmp_path / coarse.JAXA_NAME.replace("20200102", "20200103"))
        assert "inside it is GW1AM2_20200102_01D_EQMD_L3SGSMCHA: files mixed up" in refusal(path)

    def test_other_steps_are_refused(self, tmp_path):
        path = coarse.jaxa(tmp_path / coarse.JAXA_NAME)
        with h5py.File(path, "r+") as file:
            file["Geophysical Data"].attrs["SCALE FACTOR"] = np.array([0.01], "f4")
        assert "has steps of 0.009" in refusal(path)


def test_coarse_grids_meet_the_output_grid():
    """What the presets need: layers of these grids stay apart from the fine one."""
    assert layer_grid(grid("M36")) == grid("M36")
