"""Daily composites of what an L-band radiometer makes of the simulated world's soil: SPL3SMP and SPL3SMP_E.

A retrieval is the mean of a cell's upper 5 cm at the time of the pass, with a bias that stays with the cell and
an error that grows with the vegetation. Names, types, attributes and flags are those of release 18; cells
outside the region hold fill, as do those that no swath covered.

The cells of 9 km come from the same measurements as those of 36 km: each is the mean of 27 km around it, and
its errors are those of the coarse retrievals, smoothly interpolated.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np
from numpy.typing import NDArray

from ingest.sources.smap_writer.layout import (
    EPOCH,
    LINKS,
    SPL3SMP,
    SPL3SMP_E,
    Composite,
    Field,
    metadata,
)
from ingest.world.cells import Array, Cells
from ingest.world.landscape import Landscape
from ingest.world.orbits import SMAP, Overpass, passes
from ingest.world.state import DayState
from ingest.world.writer import MakeWriter, delivery
from smcatalog.core.grids import grid
from smcatalog.core.time import utc_midnight

__all__ = ["ENHANCED", "WRITER", "Spl3smpWriter"]

_SOURCE: Final = "SPL3SMP"
"""Of the measurements and so of their errors, whatever grid they are brought to."""
_GROUPS: Final = {
    Overpass.DESCENDING: ("Soil_Moisture_Retrieval_Data_AM", ""),
    Overpass.ASCENDING: ("Soil_Moisture_Retrieval_Data_PM", "_pm"),
}
_BARE: Final = ("latitude", "longitude")
"""The morning's coordinates, which declare neither range nor fill."""
_COORDINATES: Final = " ".join(f"/{_GROUPS[Overpass.DESCENDING][0]}/{name}" for name in _BARE)

_ERROR: Final = 0.015
_ERROR_BY_VEGETATION: Final = 0.006
"""Standard deviation over bare soil [m3 m-3] and its growth [m3 m-3 per kg m-2]."""
_BIAS: Final = 0.010
_BIAS_BY_CLAY: Final = 0.08
_BIAS_BY_COVER: Final = -0.02
"""Of the bias: standard deviation of its random part, and what differs from a loam under half cover adds."""
_LOAM_CLAY: Final = 0.20
_HALF_COVER: Final = 0.5
_LEAST: Final = 0.02
"""The driest retrieval [m3 m-3]."""
_OPACITY: Final = 0.11
"""Nepers per kg m-2 of water in the vegetation."""

_DENSE: Final = 5.0
_SOME: Final = 0.05
_HALF: Final = 0.5
_NEARLY_ALL: Final = 0.95
_STEEP: Final = 2.8
"""Mean slope of the 1 km relief [degrees]."""
_SNOWY: Final = 5.0
"""Water in the pack that hides the ground [mm]."""

_RETRIEVED: Final = 0
_NOT_RECOMMENDED: Final = 0b0001
_NOT_RETRIEVED: Final = 0b0111
_STATIC_WATER: Final = 0b0011
"""Static water; since the radar fell silent the flag of its water repeats that."""
_SNOW: Final = 1 << 5
_FROZEN_GROUND: Final = 1 << 7
_MOUNTAINS: Final = 1 << 9
_VEGETATION: Final = 1 << 10


class _Footprints(Cells):
    """The cells and what a radiometer makes of them whatever the weather."""

    def __init__(self, land: Landscape, product: Composite) -> None:
        super().__init__(land, product.grid, product.reach)
        self.clay = self.mean(land.clay)
        self.porosity = self.mean(land.porosity)
        self.bias = (
            _BIAS * self.random(land.generator(_SOURCE, "bias"))[0]
            + _BIAS_BY_CLAY * (self.clay - _LOAM_CLAY)
            + _BIAS_BY_COVER * (self.mean(land.cover) - _HALF_COVER)
        )


@dataclass(frozen=True, slots=True, eq=False)
class _View:
    """What an overpass makes of the region; arrays of shape (rows, columns).

    Parameters
    ----------
    seen, retrieved : ndarray of bool
        Covered by the swath; with a retrieval.
    fields : dict of str to ndarray
        By the provider's names; hold where seen, retrievals where retrieved.
    """

    seen: NDArray[np.bool_]
    retrieved: NDArray[np.bool_]
    fields: dict[str, NDArray[Any]]


class Spl3smpWriter:
    """Writes a granule of each day on which an overpass retrieves anything in the region.

    Parameters
    ----------
    land : Landscape
        What does not change.
    folder : Path
        Where the granules go.
    product : Composite
        Of which grid.
    """

    def __init__(self, land: Landscape, folder: Path, product: Composite = SPL3SMP) -> None:
        self._land = land
        self._folder = folder
        self._product = product
        self._cells = _Footprints(land, product)

    def day(self, state: DayState) -> None:
        """Write the day's granule, if there is anything in it."""
        views = {overpass: self._view(state, overpass) for overpass in _GROUPS}
        if not any(view.retrieved.any() for view in views.values()):
            return
        name = f"{self._product.stem}_{state.day:%Y%m%d}_R19240_001.h5"
        with (
            delivery(self._folder / name) as path,
            h5py.File(path, "w") as file,
        ):
            for group, attributes in metadata(self._product, name, state.day).items():
                file.create_group(f"Metadata/{group}").attrs.update(attributes)
            for overpass, (group, suffix) in _GROUPS.items():
                self._write(file.create_group(group), suffix, views[overpass])

    def end(self) -> None:
        """Write nothing: each day is complete in itself."""

    def _view(self, state: DayState, overpass: Overpass) -> _View:
        cells = self._cells
        seen, hour = passes(
            SMAP, state.day, overpass, cells.longitude[None, :], cells.latitude[:, None]
        )
        if not seen.any():
            return _View(seen, seen, {})
        vegetation = cells.mean(state.vegetation_water)
        snow = cells.mean(state.snow > _SNOWY)
        frozen = cells.mean(state.frozen)
        cold = cells.mean(state.frozen | (state.snow > _SNOWY))
        flags = self._surface(vegetation, snow, frozen)
        retrieved = seen & (cells.water <= _HALF) & (cold <= _NEARLY_ALL)
        doubtful = (cold > _HALF) | (flags & (_STATIC_WATER | _MOUNTAINS | _VEGETATION) > 0)
        quality = np.where(doubtful, _NOT_RECOMMENDED, _RETRIEVED)
        quality = np.where(retrieved, quality, _NOT_RETRIEVED)
        warmth = _at(hour, lambda h: cells.mean(state.air_temperature(h))) + 273.15
        rows, columns = np.indices(cells.grid.shape)
        fields: dict[str, NDArray[Any]] = {
            "latitude": np.broadcast_to(cells.latitude[:, None], seen.shape),
            "longitude": np.broadcast_to(cells.longitude[None, :], seen.shape),
            "EASE_row_index": rows + cells.rows.start,
            "EASE_column_index": columns + cells.columns.start,
            "tb_time_seconds": (utc_midnight(state.day) - EPOCH).total_seconds() + hour * 3600,
            "tb_time_utc": _clock(utc_midnight(state.day), hour),
            "surface_flag": flags,
            "static_water_body_fraction": cells.water,
            "freeze_thaw_fraction": frozen,
            "clay_fraction": cells.clay,
            "surface_temperature": warmth,
            "vegetation_water_content": vegetation,
            "vegetation_opacity": _OPACITY * vegetation,
            "retrieval_qual_flag": quality,
            "retrieval_qual_flag_scav": quality,
        }
        return _View(seen, retrieved, fields | self._retrievals(state, overpass, hour, vegetation))

    def _retrievals(
        self, state: DayState, overpass: Overpass, hour: Array, vegetation: Array
    ) -> dict[str, NDArray[Any]]:
        """Return what two algorithms retrieve from the same brightness temperatures."""
        cells = self._cells
        truth = _at(hour, lambda h: cells.mean(state.surface(h)))
        error = _ERROR + _ERROR_BY_VEGETATION * vegetation
        first, second = cells.random(self._land.generator(_SOURCE, state.day, overpass), 2)
        dual, single = (
            np.clip(truth + cells.bias + error * noise, _LEAST, cells.porosity)
            for noise in (first, 0.8 * first + 0.6 * second)
        )
        return {
            "soil_moisture": dual,
            "soil_moisture_scav": single,
            "soil_moisture_error": error,
        }

    def _surface(self, vegetation: Array, snow: Array, frozen: Array) -> NDArray[np.uint16]:
        flags = np.zeros(vegetation.shape, np.uint16)
        for where, bits in (
            (self._cells.water > _SOME, _STATIC_WATER),
            (snow > _SOME, _SNOW),
            (frozen > _SOME, _FROZEN_GROUND),
            (self._cells.slope > _STEEP, _MOUNTAINS),
            (vegetation > _DENSE, _VEGETATION),
        ):
            flags[where] |= np.uint16(bits)
        return flags

    def _write(self, group: h5py.Group, suffix: str, view: _View) -> None:
        rows, columns = self._cells.rows, self._cells.columns
        for name, field in self._product.fields.items():
            data = _create(group, f"{name}{suffix}", field, self._product)
            known = view.retrieved if field.retrieved else view.seen
            if known.any():
                known = known & _finite(view.fields[name])
                part = np.where(known, view.fields[name], field.fill).astype(field.dtype)
                data[rows, columns] = part
        for alias, name in LINKS.items():
            group[f"{alias}{suffix}"] = group[f"{name}{suffix}"]


def _create(group: h5py.Group, name: str, field: Field, product: Composite) -> h5py.Dataset:
    data = group.create_dataset(
        name, grid(product.grid).shape, field.dtype, chunks=product.chunk, compression="gzip",
        fillvalue=field.fill, track_times=False,
    )  # fmt: skip
    attributes = field.attributes()
    if name in _BARE:
        attributes = {key: attributes[key] for key in ("long_name", "units")}
    else:
        attributes["coordinates"] = np.bytes_(_COORDINATES)
    data.attrs.update(attributes)
    return data


def _at(hour: Array, means: Callable[[float], Array]) -> Array:
    """Return each cell's value at its own time, to half an hour; NaN where nothing passes."""
    halves = np.rint(hour * 2) / 2
    result = np.full(hour.shape, np.nan)
    for one in np.unique(halves[np.isfinite(halves)]):
        result = np.where(halves == one, means(float(one)), result)
    return result


def _finite(values: NDArray[Any]) -> NDArray[np.bool_]:
    if values.dtype.kind == "f":
        finite: NDArray[np.bool_] = np.isfinite(values)
        return finite
    return np.ones(values.shape, bool)


def _clock(midnight: datetime, hour: Array) -> NDArray[np.bytes_]:
    texts = np.full(hour.shape, b"", "S24")
    for place in zip(*np.nonzero(np.isfinite(hour)), strict=True):
        instant = midnight + timedelta(milliseconds=int(hour[place] * 3_600_000))
        texts[place] = f"{instant:%Y-%m-%dT%H:%M:%S}.{instant.microsecond // 1000:03d}Z".encode()
    return texts


WRITER: Final[MakeWriter] = Spl3smpWriter
"""Makes the writer of SPL3SMP."""

ENHANCED: Final[MakeWriter] = partial(Spl3smpWriter, product=SPL3SMP_E)
"""Makes the writer of SPL3SMP_E."""
