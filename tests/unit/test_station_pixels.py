"""What stations take of a map's covariates."""

from datetime import date

import numpy as np

from smcatalog.core.blocks import blocks, whole
from smcatalog.core.grids import grid
from smcatalog.core.time import Period
from smcatalog.database.series import StationDays
from smcatalog.methods import Covariates
from smcatalog.services.observed import StationPixels

FINE = grid("M01").crop((146.0, -35.5, 147.0, -34.5))
COARSE = grid("M36").crop((145.0, -36.5, 148.0, -33.5))
DAY = date(2020, 1, 1)


def station(number: int) -> StationDays:
    rng = np.random.default_rng(number)
    return StationDays(
        network="NET",
        station=str(number),
        longitude=rng.uniform(146.01, 146.99),
        latitude=rng.uniform(-35.49, -34.51),
        days=(DAY,),
        values=(0.01 * number,),
    )


def test_what_stations_take_does_not_depend_on_blocks(monkeypatch):
    stations = [station(number) for number in range(40)]
    values = np.random.default_rng(0).normal(size=(3, *FINE.shape)).astype(np.float32)
    values[1, :20] = np.nan

    def covariates(block):
        part = values[:, block.rows, block.columns]
        return Covariates(("a", "b", "c"), part, np.zeros(part.shape[1:], np.uint16), None)

    monkeypatch.setattr("smcatalog.core.blocks.TILE", 16)
    monkeypatch.setattr("smcatalog.core.blocks._PIXELS", 16 * 32)
    many = list(blocks(FINE))
    assert len({block.rows.start for block in many}) > 2
    assert len({block.columns.start for block in many}) > 2
    found = []
    for parts in ([whole(FINE)], many):
        pixels = StationPixels(FINE, COARSE, stations)
        for block in parts:
            pixels.take(Period.of_day(DAY), block, covariates(block))
        rows = pixels.rows()
        order = np.argsort(rows.stations)
        found.append(
            (rows.stations[order], rows.features[order], rows.observed[order], rows.groups[order])
        )
    for one, other in zip(*found, strict=True):
        assert np.array_equal(one, other)
    row, column, inside = FINE.locate(
        np.array([one.longitude for one in stations]), np.array([one.latitude for one in stations])
    )
    assert inside.all()
    known = row >= 20
    assert np.array_equal(found[0][0], np.flatnonzero(known))
    assert np.array_equal(found[0][1], values[:, row[known], column[known]].T)
    assert np.array_equal(found[0][2], 0.01 * np.flatnonzero(known))
