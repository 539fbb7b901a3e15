"""Soil of the simulated world as Shangguan et al. (2013) deliver it: a NetCDF of eight layers for each property.

What the world knows of its soil holds for the topsoil; below there is more clay and less sand, and it is denser.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.io import netcdf_file

from ingest.world.landscape import Landscape
from ingest.world.soil import around, bulk_density, survey, under_water
from ingest.world.state import DayState
from ingest.world.writer import MakeWriter, delivery
from smcatalog.core.grids import Grid

__all__ = ["WRITER", "CsdlWriter"]

_PER_DEGREE: Final = 120
_ENDS: Final = (4.5, 9.1, 16.6, 28.9, 49.3, 82.9, 138.3, 229.6)
"""Where the layers end [cm]."""
_TOPSOIL: Final = 4
"""Layers of it."""
_DEEPER: Final = 0.05
"""More clay and less sand below the topsoil, as far as there is any."""
_FILL: Final = -999
_QUARTZ: Final = 2650.0
"""Density of the grains [kg m-3]."""
_FEWEST_ROCKS, _ROCKIEST = 0.03, 0.6
_FILES: Final = (
    ("SA", "sand content", "% of weight", 100.0),
    ("SI", "silt content", "% of weight", 100.0),
    ("CL", "clay content", "% of weight", 100.0),
    ("BD", "bulk density", "0.01g/cm3", 0.1),
    ("POR", "porosity", "% of volume", 100.0),
    ("GRAV", "rock fragment", "% of volume", 100.0),
)
"""Name, title, unit, and stored steps in a unit of the world."""


class CsdlWriter:
    """Writes the properties at once; soil never changes.

    Parameters
    ----------
    land : Landscape
        What is mapped, and 0.05° around it. Open water has no soil.
    folder : Path
        Where ``SA.nc``, ``SI.nc``, ``CL.nc``, ``BD.nc``, ``POR.nc`` and ``GRAV.nc`` go.
    """

    def __init__(self, land: Landscape, folder: Path) -> None:
        grid = around(land.grid.bbox(), _PER_DEGREE)
        soil, wet = survey(land, grid, "CSDL"), under_water(land, grid)
        top = (soil["sand"], soil["silt"], soil["clay"])
        moved = np.minimum(_DEEPER, top[0])
        below = (top[0] - moved, top[1], top[2] + moved)
        dense, rocks = bulk_density(top[0]), _rocks(land, grid)
        upper_all = (*top, dense, 1 - dense / _QUARTZ, rocks)
        lower_all = (
            *below,
            dense + 100,
            1 - (dense + 100) / _QUARTZ,
            np.minimum(1.3 * rocks, _ROCKIEST),
        )
        for (name, title, unit, steps), upper, lower in zip(
            _FILES, upper_all, lower_all, strict=True
        ):
            layers = [upper] * _TOPSOIL + [lower] * (len(_ENDS) - _TOPSOIL)
            stored = np.stack([np.where(wet, _FILL, np.rint(layer * steps)) for layer in layers])
            with delivery(folder / f"{name}.nc") as path:
                _write(path, (name, title, unit), stored.astype(np.int16), grid)

    def day(self, state: DayState) -> None:
        """Do nothing: soil has no days."""

    def end(self) -> None:
        """Do nothing: all is written."""


def _rocks(land: Landscape, grid: Grid) -> NDArray[np.float64]:
    """Return the share of stones: few on the plains, many where the ground is high above them."""
    height = land.ground.elevation(grid) - land.ground.preset.lowland
    steep = np.clip(height / max(land.ground.preset.relief, 1.0), 0.0, 3.0)
    return np.asarray(np.minimum(_FEWEST_ROCKS + 0.12 * steep, _ROCKIEST))


def _write(path: Path, what: tuple[str, str, str], stored: NDArray[np.int16], grid: Grid) -> None:
    name, title, unit = what
    longitudes, latitudes = grid.centres()
    axes = (
        ("depth", _ENDS, "centimeter"),
        ("lat", latitudes, "degrees_north"),
        ("lon", longitudes, "degrees_east"),
    )
    with netcdf_file(path, "w", version=2) as file:
        for axis, values, axis_unit in axes:
            file.createDimension(axis, len(values))
            coordinate = file.createVariable(axis, "f4", (axis,))
            coordinate.units = axis_unit
            coordinate[:] = values
        data = file.createVariable(name, "i2", ("depth", "lat", "lon"))
        data.units, data.long_name, data.missing_value = unit, title, np.int16(_FILL)
        data[:] = stored


WRITER: Final[MakeWriter] = CsdlWriter
