"""The live maps of a product and what lies beside them, for those who look at them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from smcatalog.core.encoding import asset_kinds, decode
from smcatalog.core.grids import Grid
from smcatalog.core.maps import PublishedMap
from smcatalog.database.engine import transaction
from smcatalog.database.inputs import LayerRecord
from smcatalog.database.maps import live_maps, load_map
from smcatalog.database.products import product_version
from smcatalog.products import Definition
from smcatalog.resample import cell_index, mosaic
from smcatalog.services.inputs import LayerIndex
from smcatalog.services.layers import read_layer
from smcatalog.services.workspace import Workspace
from smcatalog.store import Store

__all__ = ["flat_coarse", "live_published", "soil_moisture"]


def live_published(
    workspace: Workspace,
    definition: Definition,
    first: date | None = None,
    last: date | None = None,
) -> tuple[list[PublishedMap], LayerIndex]:
    """Return a product's live maps in the order of time, and the live layers around them.

    Raises
    ------
    NotFoundError
        When the product was never produced here.
    """
    kinds = [kind.name for kind in asset_kinds()]

    def find(connection: Connection) -> tuple[list[PublishedMap], LayerIndex]:
        version = product_version(connection, definition.name)
        live = live_maps(connection, version.product_id, first, last)
        maps = [load_map(connection, live[day].id, kinds) for day in sorted(live)]
        days = [published.period.day for published in maps] or [definition.first_day]
        return maps, LayerIndex(connection, definition, days[0], days[-1])

    return transaction(workspace.engine, find)


def soil_moisture(
    store: Store,
    published: PublishedMap,
    rows: slice = slice(None),
    columns: slice = slice(None),
    *,
    uncertainty: bool = False,
) -> NDArray[np.float64]:
    """Return a map's first depth [m³ m⁻³], or its uncertainty, in a window; NaN where there is none."""
    file = published.files[1 if uncertainty else 0]
    return decode(store.read(file.key, rows=rows, columns=columns, bands=[1])[0])


def flat_coarse(
    store: Store, definition: Definition, layers: Sequence[LayerRecord], target: Grid
) -> NDArray[np.float64]:
    """Lay all retrievals of the coarse product flat on a finer grid, NaN where there is none.

    Parameters
    ----------
    layers : sequence of LayerRecord
        Of the coarse product, of one period; may be empty.
    target : Grid
        Cells at least three times narrower than the coarse ones.
    """
    if not layers:
        return np.full(target.shape, np.nan)
    coarse = definition.coarse_grid()
    values, _ = mosaic([read_layer(store, layer, coarse) for layer in layers])
    return cell_index(target, coarse).spread(values)
