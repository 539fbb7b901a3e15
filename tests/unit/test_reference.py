"""Reference products: models of the land surface, learned soil moisture, finer SMAP, and the drought index."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
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


def values_of(path: Path) -> tuple[Identity, list[Raster]]:
    granule = examine(make.candidate(path))
    return granule.identity, list(read(granule))


def refusal(path: Path) -> str:
    with pytest.raises(RefusedInput) as caught:
        list(read(examine(make.candidate(path))))
    return caught.value.reason


class TestLandModels:
    def test_water_on_an_area_becomes_a_share_of_the_layer(self, tmp_path):
        layers = {
            "SoilMoi0_10cm_inst": 21.0,
            "SoilMoi10_40cm_inst": 75.0,
            "SoilMoi40_100cm_inst": 120.0,
            "SoilMoi100_200cm_inst": 300.0,
        }
        identity, rasters = values_of(coarse.ldas(tmp_path / coarse.GLDAS_NAME, layers))
        assert identity.source == "GLDAS-Noah"
        found = {raster.variable.name: float(raster.values.mean()) for raster in rasters}
        assert found == pytest.approx(
            {"sm_0_10cm": 0.21, "sm_10_40cm": 0.25, "sm_40_100cm": 0.2, "sm_100_200cm": 0.3}
        )
        assert {raster.grid.base for raster in rasters} == {"latlon(-180,90,0.25,0.25,1440,720)"}
        assert rasters[0].grid.bbox() == pytest.approx((105, 37, 106.25, 38))

    def test_an_instant_stands_for_the_three_hours_around_it(self, tmp_path):
        for hour in (0, 3, 21):
            instant = datetime(2020, 1, 2, hour, tzinfo=UTC)
            path = coarse.ldas(
                tmp_path / f"GLDAS_NOAH025_3H.A20200102.{hour:02d}00.021.nc4", instant=instant
            )
            period = values_of(path)[0].period
            assert period == Period(
                instant - timedelta(minutes=90), instant + timedelta(minutes=90)
            )
            assert period.day == date(2020, 1, 2)

    def test_months(self, tmp_path):
        month = Period.of_days(date(2020, 1, 1), date(2020, 1, 31))
        identity, _ = values_of(
            coarse.ldas(
                tmp_path / coarse.GLDAS_MONTH_NAME,
                instant=datetime(2020, 1, 1, tzinfo=UTC),
                increment="1",
            )
        )
        assert identity.period == month
        identity, rasters = values_of(coarse.fldas(tmp_path / coarse.FLDAS_NAME))
        assert (identity.source, identity.period) == ("FLDAS-Noah", month)
        assert [(r.variable.name, round(float(r.values.max()), 3)) for r in rasters] == [
            ("sm_0_10cm", 0.21),
            ("sm_100_200cm", 0.32),
        ]
        assert rasters[0].grid.base == "latlon(-180,90,0.1,0.1,3600,1800)"

    def test_the_final_run_replaces_the_early_one(self, tmp_path):
        early = coarse.GLDAS_NAME.replace("3H", "3H_EP")
        first, second = (
            values_of(coarse.ldas(tmp_path / name))[0] for name in (early, coarse.GLDAS_NAME)
        )
        assert first.subject == second.subject
        assert first.production < second.production

    def test_names_may_be_lost_and_subsets_are_read(self, tmp_path):
        assert values_of(coarse.ldas(tmp_path / "soil.nc4"))[0].name == "soil"
        identity, _ = values_of(coarse.ldas(tmp_path / f"{coarse.GLDAS_NAME}.SUB.nc4"))
        assert identity.name == coarse.GLDAS_NAME.removesuffix(".nc4")
        path = coarse.ldas(tmp_path / "soil.nc4", increment="1")
        assert "does not say whether it is of three hours or of a month" in refusal(path)

    def test_unfit_files_are_refused(self, tmp_path):
        top = "SoilMoi0_10cm_inst"
        for i, (kwargs, reason) in enumerate((
            ({"unit": "%"}, "is in '%', expected"),
            ({"instant": datetime(2020, 1, 2, 6, tzinfo=UTC)}, "its name says 202001020300, its time 2020-01-02 06:00"),
            ({"layers": {top: 2100.0}}, "outside 0 to 1 m3 m-3"),
            ({"layers": {top: -9999.0}}, "sm_0_10cm of 2020-01-02…2020-01-02 holds no value at all"),
            ({"layers": {"SoilMoi10_20cm_inst": 1.0}}, "has SoilMoi10_20cm_inst, which is no layer of Noah's"),
            ({"step": 1.0}, "cells are not those of the global grid of 1/4 degree"),
            ({"corner": (105.1, 38.0)}, "cells are not those of the global grid of 1/4 degree"),
        )):  # fmt: skip
            (tmp_path / str(i)).mkdir()
            assert reason in refusal(
                coarse.ldas(tmp_path / str(i) / coarse.GLDAS_NAME, **kwargs)
            ), kwargs


class TestScenes:
    def test_both_resolutions_lie_in_their_global_grids(self, tmp_path):
        identity, (three, one) = values_of(coarse.scene(tmp_path / coarse.SCENE_NAME))
        assert identity.source == "SPL2SMAP_S"
        assert identity.period.start == datetime(
            2020, 1, 2, 22, 25, 12, tzinfo=UTC
        )  # SMAP's pass, not the image
        assert (three.variable.name, three.grid.name) == ("sm", "M03[960:962,9150:9153]")
        assert (one.variable.name, one.grid.name) == ("sm_1km", "M01[2880:2886,27450:27459]")
        for raster in (three, one):
            assert np.argwhere(np.isnan(raster.values)).tolist() == [[0, 1]]
            rows, columns = raster.grid.shape
            assert np.argwhere(raster.quality).tolist() == [[rows - 1, columns - 1]]
            assert raster.quality.max() == InputQuality.NOT_RECOMMENDED
        assert layer_grid(three.grid) == three.grid  # three times coarser than a map

    def test_one_of_them_is_enough(self, tmp_path):
        _, (raster,) = values_of(coarse.scene(tmp_path / coarse.SCENE_NAME, groups=("3km",)))
        assert raster.variable.name == "sm"

    @pytest.mark.parametrize(
        ("kwargs", "reason"),
        [({"shift": 0.03}, "beside the centres of the 3 km grid"), ({"shift": 0.008, "groups": ("1km",)}, "centres of the 1 km grid"),
         ({"twice": True}, "a cell more than once")],
    )  # fmt: skip
    def test_cells_that_contradict_their_places_are_refused(self, tmp_path, kwargs, reason):
        assert reason in refusal(coarse.scene(tmp_path / coarse.SCENE_NAME, **kwargs))

    def test_times_must_be_told_once(self, tmp_path):
        other = coarse.SCENE_NAME.replace("T222512", "T112512")
        assert "contradicts itself on its times" in refusal(coarse.scene(tmp_path / other))
        assert "does not say its times" in refusal(
            coarse.scene(tmp_path / "SMAP_L2_SM_SP_scene.h5", name=None)
        )


class TestFinerSmap:
    def test_both_passes(self, tmp_path):
        am = np.full((6, 7), 0.21, "f4")
        am[0, :] = np.nan
        identity, (morning, evening) = values_of(
            coarse.smap_1km(tmp_path / coarse.SMAP_1KM_NAME, am)
        )
        assert (identity.source, identity.period) == ("SMAP-1km", Period.of_day(coarse.DAY))
        assert (morning.variable.name, evening.variable.name) == ("sm_am", "sm_pm")
        assert morning.grid.name == "M01[2881:2886,27450:27457]"
        assert evening.grid.name == "M01[2880:2886,27450:27457]"
        assert (evening.values == 0.25).all()

    def test_blocks_join_to_the_whole(self, tmp_path):
        values = np.random.default_rng(1).uniform(0.1, 0.4, (20, 30)).astype("f4")
        # both axes cross a multiple of 1200
        _, rasters = values_of(
            coarse.smap_1km(tmp_path / coarse.SMAP_1KM_NAME, values, values, corner=(2390, 27590))
        )
        whole = np.full(grid("M01").shape, np.nan, "f4")[2390:2410, 27590:27620]
        parts = [raster for raster in rasters if raster.variable.name == "sm_am"]
        assert len(parts) == 4
        for part in parts:
            rows, columns = part.grid.row - 2390, part.grid.column - 27590
            whole[rows : rows + part.grid.shape[0], columns : columns + part.grid.shape[1]] = (
                part.values
            )
        np.testing.assert_array_equal(whole, values)

    def test_unfit_files_are_refused(self, tmp_path):
        path = tmp_path / coarse.SMAP_1KM_NAME
        nothing, percent = np.full((6, 7), np.nan), np.full((6, 7), 21.0)
        assert "holds no soil moisture at all" in refusal(coarse.smap_1km(path, nothing, nothing))
        assert "outside 0 to 1 m3 m-3" in refusal(coarse.smap_1km(path, percent))
        assert "not those of the EASE-Grid 2.0 of 1 km" in refusal(
            coarse.smap_1km(path, corner=(2880.4, 27450))
        )
        make.geotiff(path)
        assert "has 1 bands, expected 2" in refusal(path)


class TestLearned:
    def test_days_of_a_layer(self, tmp_path):
        values = np.stack([np.full((3, 4), 0.2), np.full((3, 4), np.nan), np.full((3, 4), 0.3)])
        identity, rasters = values_of(coarse.somo(tmp_path / coarse.SOMO_NAME, values))
        assert identity.period == Period.of_days(date(2020, 1, 1), date(2020, 1, 3))
        assert [(r.variable.name, r.period.day, round(float(r.values.mean()), 2)) for r in rasters] == [
            ("sm_10_30cm", date(2020, 1, 1), 0.2), ("sm_10_30cm", date(2020, 1, 3), 0.3),
        ]  # fmt: skip
        # the cells are those of ERA5
        assert rasters[0].grid.bbox() == pytest.approx((104.875, 37.375, 105.875, 38.125))

    @pytest.mark.parametrize(
        ("kwargs", "reason"),
        [({"layer": "layer1"}, "its name says layer2 of 2020, inside it is layer1"), ({"first": date(2019, 12, 30)}, "files mixed up"),
         ({"unit": "kg m-2"}, "is in 'kg m-2', expected"), ({"values": np.full((2, 3, 4), np.nan)}, "holds no soil moisture at all"),
         ({"values": np.full((2, 3, 4), 21.0)}, "outside 0 to 1")],
    )  # fmt: skip
    def test_unfit_files_are_refused(self, tmp_path, kwargs, reason):
        assert reason in refusal(coarse.somo(tmp_path / coarse.SOMO_NAME, **kwargs))


class TestDrought:
    @pytest.mark.parametrize("name", ["PDSI", "pdsi"])
    def test_months(self, tmp_path, name):
        identity, rasters = values_of(coarse.pdsi(tmp_path / coarse.PDSI_NAME, name=name))
        assert identity.source == "TerraClimate"
        assert [(r.variable.name, r.period, float(r.values.mean())) for r in rasters] == [
            ("pdsi", Period.of_days(date(2020, 1, 1), date(2020, 1, 31)), -2.5),
            ("pdsi", Period.of_days(date(2020, 2, 1), date(2020, 2, 29)), 1.25),
        ]
        assert rasters[0].grid.shape == (4, 6)
        assert rasters[0].grid.bbox() == pytest.approx((105, 38 - 4 / 24, 105.25, 38))
        np.testing.assert_allclose(
            rasters[0].variable.decode(rasters[0].variable.encode(rasters[0].values)),
            -2.5,
            atol=1e-3,
        )

    @pytest.mark.parametrize(
        ("kwargs", "reason"),
        [({"scale": None}, "has steps of None, expected 0.1"), ({"scale": 1.0}, "has steps of 1.0"), ({"first": date(2019, 12, 1)}, "its name says 2020"),
         ({"corner": (105.01, 38.0)}, "cells are not those of the global grid of 1/24 degree"), ({"values": np.full((1, 4, 6), -99.0)}, "outside -20 to 20"),
         ({"values": np.full((1, 4, 6), np.nan)}, "holds no value at all")],
    )  # fmt: skip
    def test_unfit_files_are_refused(self, tmp_path, kwargs, reason):
        assert reason in refusal(coarse.pdsi(tmp_path / coarse.PDSI_NAME, **kwargs))

    def test_the_years_before_layers_are_told_as_such(self, tmp_path):
        path = coarse.pdsi(tmp_path / "TerraClimate_PDSI_1960.nc", first=date(1960, 1, 1))
        assert "begins in 1960-01; months before 1970 are not kept" in refusal(path)

    def test_a_whole_globe_is_read_in_strips_that_join(self, tmp_path):
        path = tmp_path / "TerraClimate_PDSI_2020.nc"
        rows, columns = 1000, 12  # more rows than are read at once
        values = np.broadcast_to(np.linspace(-5, 5, rows)[None, :, None], (1, rows, columns)).round(
            2
        )
        coarse.pdsi(path, values, corner=(105, 60))
        _, (raster,) = values_of(path)
        np.testing.assert_allclose(raster.values, values[0], atol=1e-6)

    def test_two_months_of_one_name_are_refused(self, tmp_path):
        path = coarse.pdsi(tmp_path / coarse.PDSI_NAME)
        with h5py.File(path, "r+") as file:
            file["time"][1] = file["time"][0] + 5
        assert "the same month more than once" in refusal(path)
