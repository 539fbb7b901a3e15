"""Covariates and targets: canonical names, units, ranges and how they are resampled.

A layer stores a variable as unsigned 16-bit integers, ``value = stored * scale + offset``, so that
value and quality share one file and a continental layer stays small. The step is finer than
any source's own precision.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from smcatalog.core.errors import NotFoundError

__all__ = ["LAYER_NODATA", "VARIABLES", "Averaging", "Kind", "Refinement", "Variable", "variable"]

LAYER_NODATA: Final = 65535
"""Stored value that means *no value* in every layer."""


class Kind(StrEnum):
    """Whether values can be averaged or only counted."""

    CONTINUOUS = "continuous"
    CLASSES = "classes"


class Refinement(StrEnum):
    """How values are brought to a finer grid."""

    NEAREST = "nearest"
    BILINEAR = "bilinear"


class Averaging(StrEnum):
    """Of what the mean of several values is taken."""

    VALUE = "value"
    """Of the values themselves."""
    POWER = "power"
    """Of the powers that values in dB stand for."""
    DIRECTION = "direction"
    """Of unit vectors: values are angles in degrees, and the mean of 350 and 10 is 0."""


@dataclass(frozen=True, slots=True)
class Variable:
    """A named quantity with its unit, range and storage.

    Parameters
    ----------
    name : str
        Canonical name.
    unit : str
        Canonical unit; "1" for a plain number.
    title : str
        Name for people.
    valid_min, valid_max : float
        Physical range, in ``unit``; values outside are errors of the input.
    scale, offset : float
        Storage step and origin, in ``unit``.
    kind : Kind
        Continuous quantity or classes.
    refinement : Refinement
        How it is brought to a finer grid (mechanism 3).
    averaging : Averaging
        Of what means are taken, wherever values are brought to another grid.
    """

    name: str
    unit: str
    title: str
    valid_min: float
    valid_max: float
    scale: float
    offset: float = 0.0
    kind: Kind = Kind.CONTINUOUS
    refinement: Refinement = Refinement.BILINEAR
    averaging: Averaging = Averaging.VALUE

    def encode(self, values: NDArray[np.floating]) -> NDArray[np.uint16]:
        """Turn values into stored integers; NaN becomes `LAYER_NODATA`.

        Parameters
        ----------
        values : ndarray of float
            In the variable's unit, any shape.

        Returns
        -------
        ndarray of uint16
            Same shape.
        """
        missing = np.isnan(values)
        # in place: a tile has a million values, and this is done for each of its layers
        steps = np.subtract(values, self.offset)
        steps /= self.scale
        np.rint(steps, out=steps)
        np.clip(steps, 0, LAYER_NODATA - 1, out=steps)
        np.copyto(steps, LAYER_NODATA, where=missing)
        stored: NDArray[np.uint16] = steps.astype(np.uint16)
        return stored

    def decode(self, stored: NDArray[np.uint16]) -> NDArray[np.float32]:
        """Turn stored integers into values; `LAYER_NODATA` becomes NaN."""
        values = stored.astype(np.float64)
        values *= self.scale
        values += self.offset
        values[stored == LAYER_NODATA] = np.nan
        return values.astype(np.float32)

    def out_of_range(self, values: NDArray[np.floating]) -> NDArray[np.bool_]:
        """Mark values outside the physical range; NaN is not outside."""
        return (values < self.valid_min) | (values > self.valid_max)


_FRACTION: Final = 1 / 50_000

VARIABLES: Final[dict[str, Variable]] = {
    v.name: v
    for v in (
        Variable("sm", "m3 m-3", "Soil moisture of the coarse product", 0.0, 1.0, _FRACTION,
                 refinement=Refinement.NEAREST),
        Variable("sm_am", "m3 m-3", "Soil moisture of the coarse product, morning overpass", 0.0, 1.0,
                 _FRACTION, refinement=Refinement.NEAREST),
        Variable("sm_pm", "m3 m-3", "Soil moisture of the coarse product, evening overpass", 0.0, 1.0,
                 _FRACTION, refinement=Refinement.NEAREST),
        Variable("sm_1km", "m3 m-3", "Soil moisture at 1 km of a product that has a coarser one too", 0.0, 1.0, _FRACTION,
                 refinement=Refinement.NEAREST),
        Variable("sm_saturation", "percent", "Soil moisture of the coarse product, share of saturation", 0.0, 100.0, 0.002,
                 refinement=Refinement.NEAREST),
        *(
            Variable(f"sm_{top}_{bottom}cm", "m3 m-3", f"Soil moisture of a reference product, {top}-{bottom} cm", 0.0, 1.0,
                     _FRACTION, refinement=Refinement.NEAREST)
            for top, bottom in ((0, 10), (10, 30), (10, 40), (30, 50), (40, 100), (100, 200))
        ),
        Variable("sm_surface", "m3 m-3", "Modelled soil moisture, 0-5 cm", 0.0, 1.0, _FRACTION,
                 refinement=Refinement.NEAREST),
        Variable("sm_rootzone", "m3 m-3", "Modelled soil moisture, 0-100 cm", 0.0, 1.0, _FRACTION,
                 refinement=Refinement.NEAREST),
        *(
            Variable(f"swvl{n}", "m3 m-3", f"Modelled soil moisture, {depths} cm", 0.0, 1.0, _FRACTION)
            for n, depths in enumerate(("0-7", "7-28", "28-100", "100-289"), 1)
        ),
        *(
            Variable(f"stl{n}", "K", f"Modelled soil temperature, {depths} cm", 180.0, 350.0, 0.01)
            for n, depths in enumerate(("0-7", "7-28", "28-100", "100-289"), 1)
        ),
        Variable("lsm", "1", "Land fraction", 0.0, 1.0, _FRACTION),
        Variable("elevation", "m", "Elevation", -500.0, 9000.0, 0.2, -500.0),
        Variable("slope", "degrees", "Slope", 0.0, 90.0, 0.002),
        Variable("aspect", "degrees", "Direction that the slope faces, clockwise from north", 0.0, 360.0, 0.01,
                 averaging=Averaging.DIRECTION),
        Variable("northness", "1", "Northward lean of the ground", -1.0, 1.0, 1 / 30_000, -1.0),
        Variable("eastness", "1", "Eastward lean of the ground", -1.0, 1.0, 1 / 30_000, -1.0),
        Variable("awc", "percent", "Available water capacity", 0.0, 100.0, 0.01),
        Variable("sand", "1", "Sand fraction", 0.0, 1.0, _FRACTION),
        Variable("silt", "1", "Silt fraction", 0.0, 1.0, _FRACTION),
        Variable("clay", "1", "Clay fraction", 0.0, 1.0, _FRACTION),
        Variable("bulk_density", "kg m-3", "Bulk density of the soil", 20.0, 2650.0, 0.1),
        Variable("porosity", "1", "Pores' share of the soil's volume", 0.0, 1.0, _FRACTION),
        Variable("rock_fragments", "1", "Rock fragments' share of the soil", 0.0, 1.0, _FRACTION),
        Variable("lst_day", "K", "Land surface temperature, day", 180.0, 360.0, 0.01),
        Variable("lst_night", "K", "Land surface temperature, night", 180.0, 360.0, 0.01),
        Variable("ndvi", "1", "Normalized difference vegetation index", -1.0, 1.0, 1 / 20_000, -1.0),
        Variable("evi", "1", "Enhanced vegetation index", -1.0, 1.0, 1 / 20_000, -1.0),
        Variable("ndwi", "1", "Normalized difference water index, green and near infrared", -1.0, 1.0, 1 / 20_000, -1.0),
        Variable("lswi", "1", "Land surface water index", -1.0, 1.0, 1 / 20_000, -1.0),
        Variable("nsdsi", "1", "Normalized shortwave-infrared difference soil-moisture index", -1.0, 1.0, 1 / 20_000, -1.0),
        Variable("nmdi", "1", "Normalized multi-band drought index", -1.0, 1.0, 1 / 20_000, -1.0),
        Variable("lai", "m2 m-2", "Leaf area index", 0.0, 10.0, 0.001),
        Variable("lai_high", "m2 m-2", "Modelled leaf area index of high vegetation", 0.0, 10.0, 0.001),
        Variable("lai_low", "m2 m-2", "Modelled leaf area index of low vegetation", 0.0, 10.0, 0.001),
        Variable("fapar", "1", "Absorbed fraction of photosynthetically active radiation", 0.0, 1.0, _FRACTION),
        *(
            Variable(name, "1", f"Surface reflectance, {title}", -0.01, 1.6, 1 / 40_000, -0.01)
            for name, title in (
                ("red", "620-670 nm"),
                ("nir", "841-876 nm"),
                ("blue", "459-479 nm"),
                ("green", "545-565 nm"),
                ("swir_1240", "1230-1250 nm"),
                ("swir_1640", "1628-1652 nm"),
                ("swir_2130", "2105-2155 nm"),
            )
        ),
        Variable("albedo", "1", "Shortwave albedo, mean of black- and white-sky", 0.0, 1.0, _FRACTION),
        Variable("albedo_wsa_b7", "1", "White-sky albedo of MODIS band 7, 2105-2155 nm", 0.0, 1.0, _FRACTION),
        Variable("land_cover_igbp", "1", "Land cover, classes of the IGBP", 1.0, 17.0, 1.0,
                 kind=Kind.CLASSES, refinement=Refinement.NEAREST),
        Variable("land_cover_pft", "1", "Land cover, plant functional types", 0.0, 11.0, 1.0,
                 kind=Kind.CLASSES, refinement=Refinement.NEAREST),
        *(
            Variable(f"fraction_{name}", "1", f"Fraction of the area: {name}", 0.0, 1.0, _FRACTION)
            for name in ("forest", "shrub", "grass", "crop", "urban", "barren", "water")
        ),
        Variable("zone", "1", "Number of the zone that covers most of the cell", 1.0, 65534.0, 1.0,
                 kind=Kind.CLASSES, refinement=Refinement.NEAREST),
        Variable("climate_zone", "1", "Climate zone, classes of Koeppen and Geiger", 1.0, 30.0, 1.0,
                 kind=Kind.CLASSES, refinement=Refinement.NEAREST),
        # half an hour's rain can be that of 270 mm in an hour
        Variable("precipitation", "mm d-1", "Precipitation", 0.0, 6500.0, 0.1),
        Variable("pdsi", "1", "Palmer drought severity index", -20.0, 20.0, 0.001, -20.0),
        Variable("air_temperature", "degC", "Air temperature at 2 m, daily mean", -90.0, 60.0, 0.01, -100.0),
        Variable("dew_point", "degC", "Dew point at 2 m, daily mean", -100.0, 50.0, 0.01, -100.0),
        Variable("vpd", "hPa", "Vapour pressure deficit", 0.0, 120.0, 0.01),
        Variable("solar_radiation", "MJ m-2 d-1", "Solar radiation", 0.0, 60.0, 0.01),
        Variable("evapotranspiration", "mm d-1", "Actual evapotranspiration", 0.0, 50.0, 0.001),
        Variable("evaporation", "mm d-1", "Evaporation of all kinds, less dew", -20.0, 60.0, 0.002, -20.0),
        Variable("potential_evaporation", "mm d-1", "Potential evaporation", -20.0, 100.0, 0.002, -20.0),
        Variable("vv", "dB", "Radar backscatter (sigma nought), VV", -60.0, 30.0, 0.002, -60.0,
                 averaging=Averaging.POWER),
        Variable("vh", "dB", "Radar backscatter (sigma nought), VH", -60.0, 30.0, 0.002, -60.0,
                 averaging=Averaging.POWER),
    )
}  # fmt: skip
"""Every variable that a layer may hold, by name."""


def variable(name: str) -> Variable:
    """Return the variable of a name.

    Raises
    ------
    NotFoundError
        When no variable is called so; the message lists those that are.
    """
    try:
        return VARIABLES[name]
    except KeyError:
        raise NotFoundError(
            f"no variable is called '{name}'; there are {', '.join(sorted(VARIABLES))}"
        ) from None
