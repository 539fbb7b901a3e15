"""A picture of a map beside the coarse cells that it came from."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smcatalog.core.encoding import asset_kinds, decode
from smcatalog.core.errors import NotFoundError, UsageError
from smcatalog.core.grids import grid
from smcatalog.core.maps import PublishedMap
from smcatalog.database.engine import transaction
from smcatalog.database.inputs import layers_of_map
from smcatalog.database.maps import live_maps, load_map
from smcatalog.database.products import product_version
from smcatalog.products import Definition
from smcatalog.services.covariates import mosaic
from smcatalog.services.layers import read_layer
from smcatalog.services.workspace import Workspace
from smcatalog.store import read_cog

__all__ = ["draw_map"]


def draw_map(workspace: Workspace, definition: Definition, day: date, out: Path) -> None:
    """Draw the live map of a day beside its coarse cells and its uncertainty, as a PNG.

    Raises
    ------
    NotFoundError
        When there is no map of that day.
    UsageError
        When matplotlib is not installed or the file cannot be written.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UsageError("pictures need matplotlib: pip install 'smcatalog[plot]'") from error
    kinds = [kind.name for kind in asset_kinds()]

    def find(connection: Any) -> tuple[PublishedMap, Any]:
        version = product_version(connection, definition.name)
        live = live_maps(connection, version.product_id, day, day).get(day)
        if live is None:
            raise NotFoundError(f"there is no map of {definition.name} dated {day}")
        return load_map(connection, live.id, kinds), layers_of_map(connection, live.id, "coarse")

    published, layers = transaction(workspace.engine, find)
    where = published.grid
    fine, spread = (
        decode(read_cog(workspace.store.path(file.key), bands=[1])[0])
        for file in published.files[:2]
    )
    coarse_grid = grid(definition.coarse.grid).crop(where.bbox())
    coarse = mosaic([read_layer(workspace.store, layer, coarse_grid) for layer in layers])[0]
    low, high = _limits(fine, coarse)
    figure = Figure(figsize=(15, 4.6), layout="constrained")
    panels = figure.subplots(1, 3)
    drawn = (
        (coarse, coarse_grid, f"{definition.coarse.source}", "viridis_r", (low, high)),
        (fine, where, "map at 1 km", "viridis_r", (low, high)),
        (spread, where, "standard uncertainty", "magma", (0.0, None)),
    )
    box = where.geobox.boundingbox
    for panel, (values, place, title, colours, limits) in zip(panels, drawn, strict=True):
        extent = place.geobox.boundingbox
        image = panel.imshow(
            values,
            extent=tuple(x / 1000 for x in (extent.left, extent.right, extent.bottom, extent.top)),
            cmap=colours,
            vmin=limits[0],
            vmax=limits[1],
            interpolation="nearest",
        )
        panel.set_xlim(box.left / 1000, box.right / 1000)
        panel.set_ylim(box.bottom / 1000, box.top / 1000)
        panel.set_title(title)
        panel.set_xlabel("EASE-Grid 2.0 x, km")
        figure.colorbar(image, ax=panel, label="m³ m⁻³", shrink=0.85)
    panels[0].set_ylabel("EASE-Grid 2.0 y, km")
    figure.suptitle(f"{published.item_id}: {published.period}")
    try:
        figure.savefig(out, dpi=110, metadata={"Software": None})
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot write {out}: {error}") from error


def _limits(fine: NDArray[np.floating], coarse: NDArray[np.floating]) -> tuple[float, float]:
    """Return colour limits that hold every coarse value and nearly every fine one."""
    ends = [values for values in (fine, coarse) if np.isfinite(values).any()]
    if not ends:
        return 0.0, 0.6
    low = min(float(np.nanpercentile(values, 1)) for values in ends)
    return low, max(float(np.nanpercentile(values, 99)) for values in ends)
