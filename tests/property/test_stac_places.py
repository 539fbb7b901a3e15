from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Transformer

from smcatalog.api.assets import find_asset
from smcatalog.core.grids import grid
from smcatalog.stac.footprint import footprint
from smcatalog.store import FolderStore

TO_DEGREES = Transformer.from_crs("EPSG:6933", "EPSG:4326", always_xy=True)


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(["M01", "M03", "M09", "M36", "M25"]),
    place=st.tuples(st.floats(0, 0.97), st.floats(0, 0.97)),
    size=st.tuples(st.integers(1, 400), st.integers(1, 400)),
)
def test_footprint_of_any_window_holds_its_cells_and_no_neighbours(
    name: str, place: tuple[float, float], size: tuple[int, int]
) -> None:
    rows, columns = grid(name).shape
    row, column = int(place[0] * rows), int(place[1] * columns)
    window = grid(name).window(slice(row, row + size[0]), slice(column, column + size[1]))
    outline = shapely.geometry.shape(footprint(window).geometry)
    assert outline.exterior.is_ccw
    x, y = window.centres()
    dx, dy = window.cell
    inside = [(x[0], y[0]), (x[-1], y[0]), (x[0], y[-1]), (x[-1], y[-1])]
    beside = [(x[0], y[0] + dy), (x[-1], y[-1] - dy)]
    beside += [(x[0] - dx, y[0])] if column > 0 else []
    for points, expected in ((inside, True), (beside, False)):
        longitude, latitude = TO_DEGREES.transform(*np.transpose(points))
        known = np.isfinite(longitude) & np.isfinite(latitude)  # beyond the poles there is nothing
        held = shapely.contains_xy(outline, longitude[known], latitude[known])
        assert (held == expected).all()


KEYS = st.one_of(
    st.text(),
    st.lists(
        st.sampled_from(
            [
                "maps",
                "..",
                ".",
                "",
                "secret_0123456789abcdef.tif",
                "link",
                "maps_0123abcd.tif",
                "\x00",
            ]
        )
        | st.text(max_size=5)
    ).map("/".join),
)


@settings(max_examples=300, deadline=None)
@given(key=KEYS)
def test_no_key_leads_out_of_the_maps(key: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "store"
        (root / "maps").mkdir(parents=True)
        for place in (root, root.parent):
            (place / "secret_0123456789abcdef.tif").write_text("secret")
        (root / "maps" / "maps_0123abcd.tif").write_text("map")
        (root / "maps" / "link").symlink_to(root.parent)
        found = find_asset(FolderStore(root), key)
        assert found is None or (root / found[0].key).read_text() == "map"
        direct = find_asset(FolderStore(root), "maps/maps_0123abcd.tif")
        assert direct is not None
        assert direct[1] == "0123abcd"
