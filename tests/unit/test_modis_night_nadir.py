"""MYD21A1N and MCD43A4 on windows of a tile whose answer can be worked out by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ingest.granules import examine, read
from smcatalog.core.errors import RefusedInput
from smcatalog.core.raster import InputQuality, Raster
from smcatalog.core.time import Period
from tests.factories import granules as make
from tests.factories import modis
from tests.factories.modis import MCD43A4_NAME, MYD21A1N_NAME

DOUBTFUL = InputQuality.NOT_RECOMMENDED
NONE = 32767


def rasters(path: Path) -> dict[str, Raster]:
    return {raster.variable.name: raster for raster in read(examine(make.candidate(path)))}


def reason(path: Path) -> str:
    with pytest.raises(RefusedInput) as caught:
        rasters(path)
    return caught.value.reason


class TestNight:
    def test_values_and_quality(self, tmp_path):
        stored = np.array([[14000, 14000, 14000, 14000, 0, 13000]])
        # beyond the mandatory bits the word says why, which is another matter
        words = np.array([[0, 1, 2, 3, 0, 0b1100000000110000]])
        path = modis.night(tmp_path / MYD21A1N_NAME, stored, qc=words)
        (night,) = rasters(path).values()
        assert night.variable.name == "lst_night"
        np.testing.assert_allclose(
            night.values, [[280, 280, np.nan, np.nan, np.nan, 260]], rtol=1e-6
        )
        assert night.quality.tolist() == [[0, DOUBTFUL, 0, 0, 0, 0]]
        assert night.period == Period.of_day(night.period.day)
        granule = examine(make.candidate(path))
        assert granule.identity.subject == "MYD21A1N.A2020001.h18v05"

    @pytest.mark.parametrize(
        ("statements", "words"),
        [
            ({"qc": 2}, "holds no value at all"),
            ({"scale": 0.01}, "LST_1KM has steps of 0.01, expected 0.02"),
            ({"scale": 0.0}, "has steps of 0"),
            ({"days": 8}, "expected one day"),
            ({"stored": np.full((6, 8), 1000)}, "outside 180 to 360 K"),
        ],
    )
    def test_refusals(self, tmp_path, statements, words):
        assert words in reason(modis.night(tmp_path / MYD21A1N_NAME, **statements))


class TestNadir:
    def test_indices_of_bands(self, tmp_path):
        found = rasters(modis.nadir(tmp_path / MCD43A4_NAME))
        red, nir, _, _, _, b6, b7 = (number / 10_000 for number in modis.BANDS)
        assert set(found) == {
            "ndvi", "nmdi", "red", "nir", "blue", "green", "swir_1240", "swir_1640", "swir_2130",
        }  # fmt: skip
        np.testing.assert_allclose(found["ndvi"].values, (nir - red) / (nir + red), rtol=1e-5)
        nmdi = (nir - (b6 - b7)) / (nir + (b6 - b7))
        np.testing.assert_allclose(found["nmdi"].values, nmdi, rtol=1e-5)
        np.testing.assert_allclose(found["nir"].values, nir, rtol=1e-5)
        # made of 16 days around the one that the name says
        assert {r.period for r in found.values()} == {Period.of_day(found["nir"].period.day)}
        assert found["nir"].period.day.isoformat() == "2020-01-09"

    def test_each_band_has_a_quality_of_its_own(self, tmp_path):
        shape = (1, 4)
        red = np.array([[0, 1, 255, 0]])
        path = modis.nadir(
            tmp_path / MCD43A4_NAME,
            {2: np.array([[3000, 3000, 3000, NONE]])},
            qc={1: red, 2: np.zeros(shape, int)},
        )
        found = rasters(path)
        assert np.isnan(found["red"].values).tolist() == [[False, False, True, False]]
        assert found["red"].quality.tolist() == [[0, DOUBTFUL, 0, 0]]
        assert not found["nir"].quality.any()
        assert found["ndvi"].quality.tolist() == [[0, DOUBTFUL, 0, 0]]
        assert np.isnan(found["ndvi"].values).tolist() == [[False, False, True, True]]
        assert np.isnan(found["nmdi"].values).tolist() == [[False, False, False, True]]

    def test_bands_that_a_subset_left_out(self, tmp_path):
        found = rasters(modis.nadir(tmp_path / MCD43A4_NAME, left_out=(1, 3, 4, 5)))
        assert set(found) == {"nmdi", "nir", "swir_1640", "swir_2130"}

    @pytest.mark.parametrize(
        ("statements", "words"),
        [
            ({"scale": 0.001}, "Nadir_Reflectance_Band1 has steps of 0.001, expected 0.0001"),
            ({"qc": dict.fromkeys(range(1, 8), 255)}, "holds no value at all"),
            ({"bands": {1: np.full((6, 8), 25_000)}}, "values of red are outside"),
        ],
    )
    def test_refusals(self, tmp_path, statements, words):
        assert words in reason(modis.nadir(tmp_path / MCD43A4_NAME, **statements))
