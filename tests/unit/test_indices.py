"""Spectral indices: values worked out by hand, and where there is none."""

from __future__ import annotations

import numpy as np
import pytest

from ingest import indices

RED, NIR, BLUE, GREEN, SWIR6, SWIR7 = (
    np.array([value], np.float32) for value in (0.1, 0.3, 0.05, 0.08, 0.2, 0.15)
)


@pytest.mark.parametrize(
    ("found", "by_hand"),
    [
        (indices.ndvi(RED, NIR), 0.2 / 0.4),
        (indices.evi(RED, NIR, BLUE), 2.5 * 0.2 / (0.3 + 0.6 - 0.375 + 1)),
        (indices.ndwi(GREEN, NIR), -0.22 / 0.38),
        (indices.lswi(NIR, SWIR6), 0.1 / 0.5),
        (indices.nsdsi(SWIR6, SWIR7), 0.25),
        (indices.nmdi(NIR, SWIR6, SWIR7), 0.25 / 0.35),
    ],
    ids=["ndvi", "evi", "ndwi", "lswi", "nsdsi", "nmdi"],
)
def test_values_by_hand(found, by_hand):
    assert found.dtype == np.float32
    assert found[0] == pytest.approx(by_hand, rel=1e-6)


def test_missing_negative_and_black_bands_have_no_index():
    one = np.array([0.1, np.nan, -0.01, 0.0, 0.0, 0.2], np.float32)
    other = np.array([np.nan, 0.1, 0.2, 0.0, 0.2, -0.001], np.float32)
    for formula in (indices.ndvi, indices.ndwi, indices.lswi):
        found = formula(one, other)
        assert np.isnan(found).tolist() == [True, True, True, True, False, True]
        assert abs(found[4]) == 1


def test_what_leaves_the_range_is_none():
    dark, bright = np.array([0.01, 0.01], np.float32), np.array([0.019, 0.03], np.float32)
    np.testing.assert_allclose(indices.nsdsi(dark, bright), [-0.9, np.nan], rtol=1e-5)
    snow = [np.array([value], np.float32) for value in (0.60, 0.62, 0.75)]
    assert np.isnan(indices.evi(*snow)).all()
    assert np.isnan(indices.nmdi(*(np.array([v], np.float32) for v in (0.3, 0.1, 0.15)))).all()
