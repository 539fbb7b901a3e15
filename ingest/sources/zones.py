"""Zones as polygons, delivered as GeoPackage or shapefile: terrain classes, basins, climate regions.

The file's name names the set; a newer delivery under that name takes the place of the older one. The
zones' numbers are in the first whole-number column called ``zone``, ``zone_id``, ``number`` or ``id``, their
labels in the first text column called ``name``, ``label`` or ``zone_name``, in any case of letters; without one
the number is the label. Features of one number are one zone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ingest.polygons import as_wkb, polygons, to_degrees, united
from ingest.reader import Identity, Yield
from ingest.vectors import is_vector, read_features
from ingest.zone_raster import zone_raster
from smcatalog.core.errors import RefusedInput
from smcatalog.core.zones import Zone, ZoneSet, zone_set_name

__all__ = ["READER", "ZonesReader"]

_NUMBERS: Final = ("zone", "zone_id", "number", "id")
_LABELS: Final = ("name", "label", "zone_name")
_SHOWN: Final = 12


@dataclass(frozen=True)
class ZonesReader:
    """Reader of zones. Each set is a source of its own, ``zones:NAME``, so that sets stand side by side."""

    source: str = "zones"
    title: str = "Zones as polygons, from GeoPackage or shapefile"

    def identify(self, path: Path, name: str) -> Identity | None:
        """Recognise GeoPackages and shapefiles."""
        if not is_vector(path, name):
            return None
        stem = PurePath(name).stem
        called = zone_set_name(stem)
        if not called:
            raise RefusedInput(
                "has a name without a letter or digit, and it names the zones: rename it"
            )
        return Identity(f"{self.source}:{called}", stem)

    def read(self, path: Path, identity: Identity) -> Iterator[Yield]:
        """Yield the set, and its raster if it has one."""
        features = read_features(path, identity.name)
        columns = {name.lower(): values for name, values in features.columns.items()}
        numbers = _numbers(columns, list(features.columns))
        labels = _labels(columns, numbers)
        geometries = to_degrees(polygons(features.wkb), features.crs)
        zones = tuple(
            _zone(number, labels[numbers == number], geometries[numbers == number])
            for number in np.unique(numbers).tolist()
        )
        found = ZoneSet(identity.source.partition(":")[2], zones)
        yield found
        raster = zone_raster(found)
        if raster is not None:
            yield raster


def _numbers(columns: dict[str, NDArray[Any]], found: list[str]) -> NDArray[np.int64]:
    """Return each feature's number; whole numbers may be stored as others."""
    for name in _NUMBERS:
        values = columns.get(name)
        if values is None or values.dtype.kind not in "iuf":
            continue
        if np.isnan(values).any():
            raise RefusedInput(f"{int(np.isnan(values).sum())} features have no number in '{name}'")
        if (values != np.rint(values)).any() or np.abs(values).max() > np.iinfo(np.int32).max:
            raise RefusedInput(f"the numbers in '{name}' are not whole numbers from 1 on")
        return values.astype(np.int64)
    listed = ", ".join(found[:_SHOWN]) or "none"
    raise RefusedInput(
        f"has no column of whole numbers called {', '.join(_NUMBERS[:-1])} or {_NUMBERS[-1]} "
        f"to tell zones apart; its columns: {listed}"
    )


def _labels(columns: dict[str, NDArray[Any]], numbers: NDArray[np.int64]) -> NDArray[Any]:
    """Return each feature's label; its number where it has none."""
    texts = (columns[name] for name in _LABELS if name in columns)
    column = next((c for c in texts if c.dtype.kind in "OU"), np.full(len(numbers), None, object))
    pairs = zip(column.tolist(), numbers.tolist(), strict=True)
    return np.array([str(label or "").strip() or str(number) for label, number in pairs], object)


def _zone(number: int, labels: NDArray[Any], geometries: NDArray[Any]) -> Zone:
    label, *others = dict.fromkeys(labels.tolist())
    if others:
        raise RefusedInput(f"zone {number} is called '{label}' and '{others[0]}'")
    geometry, mended = united(geometries, f"zone {number}")
    return Zone(number, label, as_wkb(geometry), mended)


READER: Final = ZonesReader()
