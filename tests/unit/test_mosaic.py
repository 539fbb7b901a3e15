"""Tiles that were brought to a grid one by one make the same as the whole that they were cut from."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from smcatalog.core.grids import EASE2_GRIDS, Grid, sinusoidal_tile
from smcatalog.core.raster import SHARES, InputQuality, Raster, part_of, with_part
from smcatalog.core.time import Period
from smcatalog.core.variables import variable
from smcatalog.resample import layer_grid, mosaic, regrid

PARTIAL = InputQuality.PARTIAL_COVERAGE
TARGET = EASE2_GRIDS["M01"].crop((100.0, 35.0, 100.3, 35.3))
DAY = Period.of_day(date(2020, 1, 1))


def fine(kind: str) -> Grid:
    """Return a grid around the target of which the second or first mechanism is asked for."""
    step = {"similar": 0.0091, "fine": 0.00083}[kind]
    west, north, south, east = 99.95, 35.35, 34.95, 100.35
    shape = (round((north - south) / step), round((east - west) / step))
    return Grid.latlon(west, north, step, shape)


def quarters(raster: Raster, place: tuple[int, int] = (3, 4)) -> list[Raster]:
    """Cut a raster into four tiles that meet near the middle."""
    height, width = raster.grid.shape
    at = (height // 2 + place[0], width // 2 + place[1])
    rows = (slice(0, at[0]), slice(at[0], height))
    columns = (slice(0, at[1]), slice(at[1], width))
    tiles = []
    for r in rows:
        for c in columns:
            t = raster.grid.transform
            west, north = t * (c.start, r.start)
            part = Grid.latlon(west, north, (t.a, -t.e), (r.stop - r.start, c.stop - c.start))
            tiles.append(
                Raster(
                    raster.variable, part, raster.values[r, c], raster.quality[r, c], raster.period
                )
            )
    return tiles


def laid(tiles: list[Raster]) -> list[Raster]:
    """Bring tiles to layers and the layers to the target."""
    layers = [regrid(tile, layer_grid(tile.grid), parts=True) for tile in tiles]
    return [regrid(layer, TARGET) for layer in layers]


def field(kind: str, name: str, missing: float = 0.0) -> Raster:
    rng = np.random.default_rng(3)
    place = fine(kind)
    kinds = {
        "lst_day": lambda: rng.normal(300, 5, place.shape),
        "vv": lambda: rng.uniform(-20, -5, place.shape),
        "aspect": lambda: rng.uniform(0, 60, place.shape),
        "land_cover_igbp": lambda: np.kron(rng.integers(1, 5, (-(-place.shape[0] // 40), -(-place.shape[1] // 40))),
                                           np.ones((40, 40)))[: place.shape[0], : place.shape[1]],
    }  # fmt: skip
    values = kinds[name]().astype(np.float32)
    values[rng.random(place.shape) < missing] = np.nan
    return Raster.good(variable(name), place, values, DAY)


@pytest.mark.parametrize("kind", ["similar", "fine"])
@pytest.mark.parametrize(("name", "near"), [("lst_day", 0.6), ("vv", 0.6), ("aspect", 4.0)])
def test_four_tiles_make_the_whole(kind, name, near):
    whole = field(kind, name)
    expected = regrid(whole, TARGET)
    values, quality = mosaic(laid(quarters(whole)))
    assert np.isfinite(expected.values).all()
    assert np.isfinite(values).all()  # where four tiles meet too
    # parts are counted in sixteenths; everywhere else nothing differs
    np.testing.assert_allclose(values, expected.values, atol=near)
    same = np.isclose(values, expected.values, atol=1e-3)
    assert same.mean() > 0.9
    assert not part_of(quality).any()
    assert not (quality & PARTIAL).any()


def test_without_parts_the_cell_where_four_tiles_meet_is_empty():
    whole = field("similar", "lst_day")
    empty = []
    for place in np.ndindex(4, 4):
        tiles = quarters(whole, place)
        values, _ = mosaic([regrid(regrid(t, layer_grid(t.grid)), TARGET) for t in tiles])
        empty.append(np.isnan(values).any())
        assert np.isfinite(mosaic(laid(tiles))[0]).all()
    assert any(empty)


def test_half_a_cell_must_be_covered_by_all_tiles_together():
    tiles = laid(quarters(field("similar", "lst_day")))
    every = np.isfinite(mosaic(tiles)[0])
    for missing in range(4):
        left = [tile for n, tile in enumerate(tiles) if n != missing]
        values, quality = mosaic(left)
        held = np.sum([np.where(np.isfinite(t.values), np.where(part_of(t.quality) > 0, part_of(t.quality), SHARES), 0)
                       for t in left], axis=0)  # fmt: skip
        np.testing.assert_array_equal(np.isfinite(values), held >= SHARES / 2)
        assert not np.isfinite(values).all()
        assert every.all()
        incomplete = np.isfinite(values) & (held < SHARES - 1)
        assert ((quality[incomplete] & PARTIAL) != 0).all()


def test_classes_are_those_of_the_largest_part():
    whole = field("similar", "land_cover_igbp")
    expected = regrid(whole, TARGET).values
    values, _ = mosaic(laid(quarters(whole)))
    assert set(np.unique(values)) <= {1, 2, 3, 4}
    assert (values == expected).mean() > 0.97


def test_clouds_at_a_seam_are_no_value():
    """What another tile would say of a cell is not made up for by a corner of this one."""
    whole = field("similar", "lst_day", missing=0.5)
    values, _ = mosaic(laid(quarters(whole)))
    expected = regrid(whole, TARGET).values
    differ = np.isfinite(values) != np.isfinite(expected)
    assert differ.mean() < 0.05  # at half a cell, by rounding to sixteenths


def test_times_are_averaged_after_their_tiles_are_joined():
    first, second = field("similar", "lst_day"), field("similar", "lst_day")
    later = Raster.good(
        second.variable, second.grid, second.values + 10, Period.of_day(date(2020, 1, 2))
    )
    one, _ = mosaic(laid(quarters(first)))
    two, _ = mosaic(laid(quarters(later)))
    both, _ = mosaic(laid(quarters(first)) + laid(quarters(later)))
    np.testing.assert_allclose(both, (one.astype("f8") + two) / 2, atol=1e-3)


def test_a_tile_that_covers_the_cell_counts_more_than_parts():
    cell = EASE2_GRIDS["M01"].window(slice(3000, 3001), slice(25000, 25001))
    zero = np.zeros((1, 1), np.uint16)

    def one(value: float, part: int) -> Raster:
        quality = with_part(zero | np.uint16(PARTIAL if part else 0), zero + part)
        return Raster(variable("lst_day"), cell, np.full((1, 1), value, np.float32), quality, DAY)

    values, quality = mosaic([one(300, 0), one(280, 9)])
    assert (values[0, 0], quality[0, 0]) == (300, 0)
    values, quality = mosaic([one(300, 4), one(280, 12)])
    assert (values[0, 0], quality[0, 0]) == (285, 0)
    values, quality = mosaic([one(300, 5), one(280, 5)])
    assert (values[0, 0], quality[0, 0]) == (290, PARTIAL)
    assert np.isnan(mosaic([one(300, 7)])[0]).all()


@pytest.mark.parametrize("tile", [(35, 10), (0, 10), (25, 2), (10, 2), (19, 0), (17, 17)])
def test_tiles_over_the_antimeridian_have_a_place(tile):
    # a part of its rows: near the poles a whole tile goes half around the world
    place = sinusoidal_tile(*tile).window(slice(500, 700), slice(0, 1200))
    west, south, east, north = place.bbox()
    assert -180 <= west < east <= 180
    assert -90 <= south < north <= 90
    window = layer_grid(place)
    assert window.base == "M01"
    # no cell on the other side of the world: the tile is at most 40 degrees wide up to 70 degrees
    if abs(south + north) < 140:
        assert window.shape[1] < 34704 * 41 / 360
    values = np.full(place.shape, 300, np.float32)
    layer = regrid(Raster.good(variable("lst_day"), place, values, DAY), window)
    covered = np.isfinite(layer.values)
    assert covered.any()
    np.testing.assert_allclose(layer.values[covered], 300, rtol=1e-5)
