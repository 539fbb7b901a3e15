"""China soil dataset for land surface modelling, Shangguan et al. (2013), JAMES 5, doi:10.1002/jame.20026.

NetCDF, a file for each property (``SA.nc``, ``SI.nc``, ``CL.nc``, ``BD.nc``, ``POR.nc``, ``GRAV.nc`` …), 30 arc seconds, eight layers down to 2.296 m
whose bounds are those of the Common Land Model. The layout that is read: one variable over (depth, latitude, longitude), called as
the property; ``depth`` says where each layer ends, in centimetres or metres; the variable's ``units`` say whether it is in percent
of weight or volume, a fraction of volume, or in g/cm3, hundredths of that or kg m-3; fill as it is declared, or -999 or -100 where nothing is.

Not to be mixed up with the dataset of 2012 (Geoderma 171-172), which has sand and clay of 0 to 30 cm as GeoTIFF: that is declared in
``rasters.toml`` as CSCD; nor with the global dataset of 2014 (GSDE) in the same layout, which is another source.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ingest.checks import within_range
from ingest.netcdf import NetCdf, netcdf, variables_of
from ingest.reader import Identity, Yield
from ingest.windows import blocks, degree_grid
from smcatalog.core.errors import RefusedInput
from smcatalog.core.grids import Grid
from smcatalog.core.raster import InputQuality, Raster
from smcatalog.core.variables import Variable, variable

__all__ = ["LAYERS", "READER", "TOPSOIL", "Csdl", "Property"]

LAYERS: Final = (0.0, 0.045, 0.091, 0.166, 0.289, 0.493, 0.829, 1.383, 2.296)
"""Bounds of the eight layers [m]."""
TOPSOIL: Final = 0.289
"""Depth of what is read [m]: the bound nearest to the 30 cm of other soil maps."""

_CHINA: Final = (70.0, 15.0, 140.0, 56.0)
"""West, south, east and north of what the dataset covers, generously [degrees]."""
_NEAR: Final = 0.006
"""By which a depth may be rounded [m]: hundredths."""
_FILLS: Final = (-999.0, -100.0, -9999.0)
_PLACES: Final = {
    "lat": "lat",
    "latitude": "lat",
    "lon": "lon",
    "longitude": "lon",
    "depth": "depth",
}
_DEPTH_UNITS: Final = {"m": 1.0, "meter": 1.0, "meters": 1.0, "metre": 1.0, "metres": 1.0,
                       "cm": 0.01, "centimeter": 0.01, "centimeters": 0.01, "centimetre": 0.01,
                       "centimetres": 0.01}  # fmt: skip
_PERCENT: Final = dict.fromkeys(
    ("%", "percent", "%ofweight", "percentofweight", "weight%", "%weight", "%(weight)", "g/100g"),
    0.01,
)
_VOLUME: Final = {
    **_PERCENT,
    **dict.fromkeys(("cm3/cm3", "cm^3/cm^3", "cm3cm-3", "m3/m3", "m3m-3", "1"), 1.0),
    **dict.fromkeys(("%ofvolume", "percentofvolume", "vol%", "%vol", "volume%"), 0.01),
}
_GRAMS: Final = ("g/cm3", "g/cm^3", "g/cm**3", "gcm-3", "gcm^-3")
_DENSITY: Final = {
    **dict.fromkeys(_GRAMS, 1000.0),
    **{f"0.01{times}{unit}": 10.0 for unit in _GRAMS for times in ("", "*")},
    **dict.fromkeys(("kg/m3", "kg/m^3", "kg/m**3", "kgm-3", "kgm^-3"), 1.0),
}


@dataclass(frozen=True, slots=True)
class Property:
    """What a file of one property holds.

    Parameters
    ----------
    names : tuple of str
        Of its variable, in capitals.
    variable : Variable
        What the values become.
    units : dict of str to float
        The units that are known, without blanks and in lower letters, and the factor to the variable's own.
    least : float
        In the variable's unit: a file whose highest value is below is in another unit than it says.
    """

    names: tuple[str, ...]
    variable: Variable
    units: dict[str, float]
    least: float


PROPERTIES: Final = (
    Property(("SA", "SAND"), variable("sand"), _PERCENT, 0.011),
    Property(("SI", "SILT"), variable("silt"), _PERCENT, 0.011),
    Property(("CL", "CLAY"), variable("clay"), _PERCENT, 0.011),
    Property(("BD",), variable("bulk_density"), _DENSITY, 100.0),
    Property(("POR", "POROSITY"), variable("porosity"), _VOLUME, 0.011),
    Property(("GRAV", "GRAVEL"), variable("rock_fragments"), _VOLUME, 0.011),
)
"""What is read; further ones are a line each."""
_BY_NAME: Final = {name: what for what in PROPERTIES for name in what.names}


@dataclass(frozen=True, slots=True)
class Csdl:
    """Reader of the properties."""

    @property
    def source(self) -> str:
        """Name of the product family."""
        return "CSDL"

    @property
    def title(self) -> str:
        """What the source is."""
        return "Soil of China for land surface modelling, Shangguan et al. (2013), 0 to 28.9 cm"

    def identify(self, path: Path, name: str) -> Identity | None:
        """Recognise a property by its variable and its three dimensions.

        Raises
        ------
        RefusedInput
            When it is one in another unit, layering or place.
        """
        if not any(held.upper() in _BY_NAME for held in variables_of(path)):
            return None
        with netcdf(path) as file:
            layout = _layout(file)
            if layout is None:
                return None
            _factor(file, layout)
            _grid(file, layout)
            _thickness(file, layout)
        return Identity(self.source, name.removesuffix(".nc"))

    def read(self, path: Path, identity: Identity) -> Iterator[Yield]:  # noqa: ARG002 - the protocol's shape
        """Yield the property's mean over the topsoil, block by block of 10 degrees.

        Layers weigh by thickness. Where soil is shallower than `TOPSOIL` the mean is of the layers that are there,
        marked as of partial coverage.
        """
        with netcdf(path) as file:
            layout = _layout(file)
            if layout is None:
                raise RefusedInput("holds no property of soil over depth, latitude and longitude")
            factor, thickness = _factor(file, layout), _thickness(file, layout)
            grid, upwards = _grid(file, layout)
            kind, highest = layout.what.variable, -np.inf
            for rows, columns in blocks(grid):
                stored = (
                    slice(grid.shape[0] - rows.stop, grid.shape[0] - rows.start)
                    if upwards
                    else rows
                )
                mean, partial = _mean(file, layout.name, thickness, (stored, columns))
                if np.isnan(mean).all():
                    continue
                if upwards:
                    mean, partial = mean[::-1], partial[::-1]
                values = within_range(mean * factor, kind).astype(np.float32)
                highest = max(highest, float(np.nanmax(values)))
                bits = np.where(partial, np.uint16(InputQuality.PARTIAL_COVERAGE), np.uint16(0))
                yield Raster(kind, grid.window(rows, columns), values, bits, None)
        if np.isinf(highest):
            raise RefusedInput("holds no value at all: nothing but fill")
        if highest < layout.what.least:
            raise RefusedInput(
                f"its highest value is {highest:g} {kind.unit}, if it is in the unit that it names: it is in "
                "another one, such as fractions for percent"
            )


@dataclass(frozen=True, slots=True)
class _Layout:
    """What the variables of a file are.

    Parameters
    ----------
    name : str
        Of the property's variable.
    what : Property
        Which property it is.
    axes : dict of str to str
        Names of the coordinates ``depth``, ``lat`` and ``lon``.
    """

    name: str
    what: Property
    axes: dict[str, str]


def _layout(file: NetCdf) -> _Layout | None:
    """Return what a file holds; None when it is no property over depth, latitude and longitude."""
    for name in sorted(file.names):
        what = _BY_NAME.get(name.upper())
        dimensions = file.dimensions(name) if what else ()
        roles = [_PLACES.get(dimension.lower()) for dimension in dimensions]
        if what and roles == ["depth", "lat", "lon"] and file.names.issuperset(dimensions):
            return _Layout(name, what, dict(zip(("depth", "lat", "lon"), dimensions, strict=True)))
    return None


def _factor(file: NetCdf, layout: _Layout) -> float:
    unit = file.attribute(layout.name, "units")
    factor = layout.what.units.get("".join(str(unit or "").split()).lower())
    if factor is None:
        known = ", ".join(sorted(layout.what.units))
        raise RefusedInput(f"the unit of {layout.name} is {unit!r}, not one of {known}")
    return factor


def _grid(file: NetCdf, layout: _Layout) -> tuple[Grid, bool]:
    """Return the grid of a file, and whether its rows run from south to north.

    Raises
    ------
    RefusedInput
        When the coordinates are damaged, or not in China.
    """
    latitudes, longitudes = (file.values(layout.axes[axis]) for axis in ("lat", "lon"))
    grid = degree_grid(latitudes, longitudes)
    if file.shape(layout.name)[1:] != grid.shape:
        raise RefusedInput(
            f"{layout.name} has the shape {file.shape(layout.name)}, its coordinates {grid.shape}"
        )
    west, south, east, north = grid.bbox()
    if west < _CHINA[0] or south < _CHINA[1] or east > _CHINA[2] or north > _CHINA[3]:
        raise RefusedInput(
            f"reaches from {west:g} to {east:g} degrees east and {south:g} to {north:g} north: not the soil of "
            "China; the global dataset in the same layout (GSDE) is not read"
        )
    return grid, bool(latitudes[0] < latitudes[-1])


def _thickness(file: NetCdf, layout: _Layout) -> dict[int, float]:
    """Return thicknesses [m] of the layers of the topsoil, by their place in the file.

    Raises
    ------
    RefusedInput
        When the layers are other ones, or one of the topsoil is missing.
    """
    axis = layout.axes["depth"]
    told = file.attribute(axis, "units")
    depths = file.values(axis)
    unit = _DEPTH_UNITS.get(str(told or "").strip().lower())
    if unit is None or depths.shape != file.shape(layout.name)[:1]:
        raise RefusedInput(
            f"the unit of {axis} is {told!r}, not cm or m: which layers it has is not known"
        )
    ends = np.array(LAYERS[1:])
    found: dict[int, float] = {}
    for place, depth in enumerate(depths * unit):
        nearest = int(np.argmin(abs(ends - depth)))
        if not abs(ends[nearest] - depth) <= _NEAR:
            raise RefusedInput(
                f"has a layer that ends at {depth:g} m; the layers of this dataset end at "
                f"{', '.join(f'{end:g}' for end in ends)} m"
            )
        if ends[nearest] <= TOPSOIL:
            found[place] = LAYERS[nearest + 1] - LAYERS[nearest]
    if abs(sum(found.values()) - TOPSOIL) > _NEAR or len(set(found.values())) != len(found):
        raise RefusedInput(
            f"does not have each of the layers down to {TOPSOIL:g} m once: a part of the dataset; fetch the file "
            "of all layers"
        )
    return found


def _mean(
    file: NetCdf, name: str, thickness: dict[int, float], part: tuple[slice, slice]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the mean over layers in a part of the map, and where it does not rest on all of them."""
    total: NDArray[Any] | float = 0.0
    weight: NDArray[Any] | float = 0.0
    for place, metres in thickness.items():
        values = file.values(name, (place, *part))
        known = ~(np.isnan(values) | np.isin(values, _FILLS))
        total = total + np.where(known, values, 0.0) * metres
        weight = weight + known * metres
    whole = np.asarray(weight)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.where(whole > 0, total / whole, np.nan)
    return mean, (whole > 0) & (whole < sum(thickness.values()) - _NEAR)


READER: Final = Csdl()
