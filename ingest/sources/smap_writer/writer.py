"""SPL3SMP of the simulated world: daily composites of what an L-band radiometer makes of its soil.

A retrieval is the mean of a cell's upper 5 cm at the time of the pass, with a bias that stays with the cell and
an error that grows with the vegetation. Names, types, attributes and flags are those of release 18; cells
outside the region hold fill, as do those that no swath covered.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np
from numpy.typing import NDArray

from ingest.sources.smap_writer.layout import EPOCH, FIELDS, LINKS, Field, metadata
from ingest.world.landscape import Landscape
from ingest.world.orbits import SMAP, Overpass, passes
from ingest.world.state import DayState
from ingest.world.writer import MakeWriter, delivery
from smcatalog.core.errors import UsageError
from smcatalog.core.grids import Grid, grid
from smcatalog.core.time import utc_midnight
from smcatalog.resample.geometry import transformer

__all__ = ["WRITER", "Spl3smpWriter"]

_SOURCE: Final = "SPL3SMP"
_GROUPS: Final = {
    Overpass.DESCENDING: ("Soil_Moisture_Retrieval_Data_AM", ""),
    Overpass.ASCENDING: ("Soil_Moisture_Retrieval_Data_PM", "_pm"),
}
_BARE: Final = ("latitude", "longitude")
"""The morning's coordinates, which declare neither range nor fill."""
_COORDINATES: Final = " ".join(f"/{_GROUPS[Overpass.DESCENDING][0]}/{name}" for name in _BARE)
_NEST: Final = 36
"""Cells of 1 km along an edge of a cell of 36 km."""

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

_Array = NDArray[np.float64]


class _Cells:
    """The region's cells of 36 km and what stays with them; arrays of shape (rows, columns)."""

    def __init__(self, land: Landscape) -> None:
        corner, edges = (land.grid.row, land.grid.column), land.grid.shape
        if land.grid.base != "M01" or any(n % _NEST for n in (*corner, *edges)):
            raise UsageError(f"the region {land.grid.name} is not made of whole cells of 36 km")
        rows, columns = (
            slice(first // _NEST, (first + n) // _NEST)
            for first, n in zip(corner, edges, strict=True)
        )
        self.grid = grid("M36").window(rows, columns)
        self.rows, self.columns = rows, columns
        self.latitude, self.longitude = _degrees(self.grid)
        self._land = (~land.water).astype(np.float64)
        self._count = self._sum(self._land)
        self.water = 1.0 - self._count / _NEST**2
        self.clay = self.mean(land.clay)
        self.porosity = self.mean(land.porosity)
        spacing = land.grid.cell
        fall, rise = np.gradient(land.elevation.astype(np.float64), spacing[1], spacing[0])
        self.slope = self._sum(np.degrees(np.arctan(np.hypot(fall, rise)))) / _NEST**2
        # drawn for the globe, so that a larger region shows the same retrievals
        random = land.generator(_SOURCE, "bias").standard_normal(grid("M36").shape)
        self.bias = (
            _BIAS * random[rows, columns]
            + _BIAS_BY_CLAY * (self.clay - _LOAM_CLAY)
            + _BIAS_BY_COVER * (self.mean(land.cover) - _HALF_COVER)
        )

    def mean(self, values: NDArray[Any]) -> _Array:
        """Return the mean over a cell's land; NaN where it is all water."""
        total = self._sum(np.where(self._land > 0, values, 0).astype(np.float64))
        result = np.full(total.shape, np.nan)
        np.divide(total, self._count, out=result, where=self._count > 0)
        return result

    def _sum(self, values: _Array) -> _Array:
        rows, columns = (n // _NEST for n in values.shape)
        result: _Array = values.reshape(rows, _NEST, columns, _NEST).sum(axis=(1, 3))
        return result


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
    """

    def __init__(self, land: Landscape, folder: Path) -> None:
        self._land = land
        self._folder = folder
        self._cells = _Cells(land)

    def day(self, state: DayState) -> None:
        """Write the day's granule, if there is anything in it."""
        views = {overpass: self._view(state, overpass) for overpass in _GROUPS}
        if not any(view.retrieved.any() for view in views.values()):
            return
        name = f"SMAP_L3_SM_P_{state.day:%Y%m%d}_R19240_001.h5"
        with (
            delivery(self._folder / name) as path,
            h5py.File(path, "w") as file,
        ):
            for group, attributes in metadata(name, state.day).items():
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
        self, state: DayState, overpass: Overpass, hour: _Array, vegetation: _Array
    ) -> dict[str, NDArray[Any]]:
        """Return what two algorithms retrieve from the same brightness temperatures."""
        cells = self._cells
        truth = _at(hour, lambda h: cells.mean(state.surface(h)))
        error = _ERROR + _ERROR_BY_VEGETATION * vegetation
        # drawn for the globe, as the biases are
        random = self._land.generator(_SOURCE, state.day, overpass).standard_normal(
            (2, *grid("M36").shape)
        )
        first, second = random[:, cells.rows, cells.columns]
        dual, single = (
            np.clip(truth + cells.bias + error * noise, _LEAST, cells.porosity)
            for noise in (first, 0.8 * first + 0.6 * second)
        )
        return {
            "soil_moisture": dual,
            "soil_moisture_scav": single,
            "soil_moisture_error": error,
        }

    def _surface(self, vegetation: _Array, snow: _Array, frozen: _Array) -> NDArray[np.uint16]:
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
        for name, field in FIELDS.items():
            data = _create(group, f"{name}{suffix}", field)
            known = view.retrieved if field.retrieved else view.seen
            if known.any():
                known = known & _finite(view.fields[name])
                block = np.full((len(known), grid("M36").shape[1]), field.fill, field.dtype)
                part = np.where(known, view.fields[name], field.fill).astype(field.dtype)
                block[:, columns] = part
                data[rows, :] = block
        for alias, name in LINKS.items():
            group[f"{alias}{suffix}"] = group[f"{name}{suffix}"]


def _create(group: h5py.Group, name: str, field: Field) -> h5py.Dataset:
    shape = grid("M36").shape
    data = group.create_dataset(
        name, shape, field.dtype, chunks=(1, shape[1]), compression="gzip", fillvalue=field.fill,
        track_times=False,
    )  # fmt: skip
    attributes = field.attributes()
    if name in _BARE:
        attributes = {key: attributes[key] for key in ("long_name", "units")}
    else:
        attributes["coordinates"] = np.bytes_(_COORDINATES)
    data.attrs.update(attributes)
    return data


def _degrees(cells: Grid) -> tuple[_Array, _Array]:
    x, y = cells.centres()
    to_degrees = transformer(cells, Grid.latlon(-180, 90, 1.0, (180, 360)))
    latitude = np.asarray(to_degrees.transform(np.full_like(y, x[0]), y)[1])
    return latitude, np.asarray(to_degrees.transform(x, np.full_like(x, y[0]))[0])


def _at(hour: _Array, means: Callable[[float], _Array]) -> _Array:
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


def _clock(midnight: datetime, hour: _Array) -> NDArray[np.bytes_]:
    texts = np.full(hour.shape, b"", "S24")
    for place in zip(*np.nonzero(np.isfinite(hour)), strict=True):
        instant = midnight + timedelta(milliseconds=int(hour[place] * 3_600_000))
        texts[place] = f"{instant:%Y-%m-%dT%H:%M:%S}.{instant.microsecond // 1000:03d}Z".encode()
    return texts


WRITER: Final[MakeWriter] = Spl3smpWriter
"""Makes the writer of SPL3SMP."""
