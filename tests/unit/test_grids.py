import numpy as np
import pytest

from smcatalog.core.errors import NotFoundError, UsageError
from smcatalog.core.grids import EASE2_GRIDS, Grid, grid


@pytest.mark.parametrize(
    ("name", "shape", "cell"),
    [
        ("M36", (406, 964), 36032.22),
        ("M09", (1624, 3856), 9008.055),
        ("M03", (4872, 11568), 3002.685),
        ("M01", (14616, 34704), 1000.895),
        ("M25", (584, 1388), 25025.26),
    ],
)
def test_ease_grids_have_the_published_sizes(name, shape, cell):
    assert grid(name).shape == shape
    assert grid(name).cell == pytest.approx((cell, cell), abs=5e-3)
    assert grid(name).crs.epsg == 6933


@pytest.mark.parametrize(("name", "factor"), [("M36", 36), ("M09", 9), ("M03", 3)])
def test_ease_grids_nest_in_m01(name, factor):
    coarse, fine = grid(name), grid("M01")
    assert np.array(coarse.cell) == pytest.approx(np.array(fine.cell) * factor, rel=1e-12)
    assert (coarse.transform.c, coarse.transform.f) == (fine.transform.c, fine.transform.f)


def test_a_window_is_found_again_by_its_name():
    window = grid("M01").crop((146.0, -35.3, 147.0, -34.525))
    again = grid(window.name)
    assert again == window
    assert again.base == "M01"
    part = window.window(slice(3, 9), slice(10, 12))
    assert grid(part.name) == part
    assert (part.row, part.column) == (window.row + 3, window.column + 10)


def test_a_crop_covers_its_box_and_no_more():
    box = (146.0, -35.3, 147.0, -34.525)
    window = grid("M36").crop(box)
    west, south, east, north = window.bbox()
    assert west <= box[0]
    assert south <= box[1]
    assert east >= box[2]
    assert north >= box[3]
    inner = grid("M36").crop(box, whole_cells=True)
    west, south, east, north = inner.bbox()
    assert west >= box[0] - 1e-6
    assert south >= box[1] - 1e-6
    assert east <= box[2] + 1e-6
    assert north <= box[3] + 1e-6
    rows, columns = window.shape
    assert rows - 2 <= inner.shape[0] < rows
    assert columns - 2 <= inner.shape[1] < columns


def test_a_crop_of_a_windows_own_box_is_the_window():
    window = grid("M01").window(slice(1000, 1100), slice(2000, 2300))
    assert grid("M01").crop(window.bbox()) == window


@pytest.mark.parametrize("name", sorted(EASE2_GRIDS))
def test_centres_are_located_in_their_own_cells(name):
    window = grid(name).window(slice(40, 52), slice(70, 81))
    x, y = window.centres()
    box = grid("latlon(-180,90,1,1,360,180)")
    from pyproj import Transformer

    back = Transformer.from_crs("EPSG:6933", "EPSG:4326", always_xy=True)
    xx, yy = np.meshgrid(x, y)
    lon, lat = back.transform(xx.ravel(), yy.ravel())
    rows, columns, inside = window.locate(lon, lat)
    assert inside.all()
    assert np.array_equal(rows.reshape(window.shape), np.indices(window.shape)[0])
    assert np.array_equal(columns.reshape(window.shape), np.indices(window.shape)[1])
    assert box.locate(lon, lat)[2].all()


def test_points_outside_are_said_to_be_outside():
    window = grid("M01").crop((146.0, -35.3, 147.0, -34.525))
    _, _, inside = window.locate([146.5, 148.0], [-35.0, -35.0])
    assert inside.tolist() == [True, False]


def test_degree_grids_come_from_centres():
    latitudes = np.array([-34.65, -34.9, -35.15, -35.4])
    longitudes = np.array([145.8, 146.05, 146.3])
    found = Grid.from_centres(latitudes, longitudes)
    assert found.bbox() == pytest.approx((145.675, -35.525, 146.425, -34.525))
    assert grid(found.name) == found


@pytest.mark.parametrize("latitudes", [[-35.4, -35.15, -34.9], [-34.65, -34.9, -35.4], [-34.65]])
def test_uneven_or_upside_down_centres_are_refused(latitudes):
    with pytest.raises(UsageError):
        Grid.from_centres(np.array(latitudes), np.array([145.8, 146.05, 146.3]))


def test_unknown_grids_are_named_with_what_there_is():
    with pytest.raises(NotFoundError, match="M01, M03, M09, M25, M36"):
        grid("M02")


def test_boxes_that_miss_the_grid_are_refused():
    window = grid("M01").crop((146.0, -35.3, 147.0, -34.525))
    with pytest.raises(UsageError, match="does not meet"):
        window.crop((10.0, 10.0, 11.0, 11.0))
    with pytest.raises(UsageError, match="west, south, east, north"):
        grid("M01").crop((147.0, -35.3, 146.0, -34.5))
