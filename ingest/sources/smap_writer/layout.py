"""Names, types and attributes of SPL3SMP and SPL3SMP_E granules, as release 18 declares them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import numpy as np

from ingest.world.orbits import SMAP
from smcatalog.core.grids import grid
from smcatalog.core.time import DAY, utc_midnight

__all__ = ["EPOCH", "LINKS", "SPL3SMP", "SPL3SMP_E", "Composite", "Field", "metadata"]

EPOCH: Final = datetime(2000, 1, 1, 12, tzinfo=UTC)
"""Since when the acquisition times count, without leap seconds."""

_FILLS: Final[dict[str, float | int | bytes]] = {
    "f4": -9999.0,
    "f8": -9999.0,
    "u2": 65534,
    "S24": b"",
}


@dataclass(frozen=True, slots=True)
class Field:
    """A dataset of an overpass.

    Parameters
    ----------
    long_name : str
        What it is.
    unit : str
        As the provider writes it; empty for a plain number.
    valid : (float, float) or None
        Declared range.
    dtype : str
        Stored type.
    flags : tuple of str
        Meanings of the bits from the lowest on, where it holds flags.
    retrieved : bool
        Whether it holds values only where there is a retrieval, and not in all of the swath.
    """

    long_name: str
    unit: str = ""
    valid: tuple[float, float] | None = None
    dtype: str = "f4"
    flags: tuple[str, ...] = ()
    retrieved: bool = False

    @property
    def fill(self) -> float | int | bytes:
        """What stands where there is no value."""
        return _FILLS[self.dtype]

    def attributes(self) -> dict[str, Any]:
        """Return the dataset's attributes, but for its coordinates."""
        found: dict[str, Any] = {"long_name": np.bytes_(self.long_name)}
        if self.unit:
            found["units"] = np.bytes_(self.unit)
        if self.valid:
            kind = np.dtype(self.dtype).type
            found["valid_min"], found["valid_max"] = (kind(bound) for bound in self.valid)
        if self.flags:
            masks = ", ".join(f"{1 << bit}s" for bit in range(len(self.flags)))
            found["flag_masks"] = np.bytes_(masks)
            found["flag_meanings"] = np.bytes_(" ".join(self.flags))
        if self.dtype != "S24":
            found["_FillValue"] = np.dtype(self.dtype).type(self.fill)
        return found


_QUALITY: Final = (
    "Retrieval_recommended",
    "Retrieval_attempted",
    "Retrieval_success",
    "FT_retrieval_success",
)
_SURFACE: Final = (
    "36_km_static_water_body",
    "36_km_radar_water_body_detection",
    "36_km_coastal_proximity",
    "36_km_urban_area",
    "36_km_precipitation",
    "36_km_snow_or_ice",
    "36_km_permanent_snow_or_ice",
    "36_km_radiometer_frozen_ground",
    "36_km_model_frozen_ground",
    "36_km_mountainous_terrain",
    "36_km_dense_vegetation",
    "36_km_nadir_region",
)
_MEAN_TIME: Final = (
    "Arithmetic average of the acquisition time of all of the brightness temperature footprints with "
    "a center that falls within the EASE grid cell in "
)
_FLAGS_OF: Final = (
    "Bit flags that record the conditions and the quality of the {} retrieval algorithms that generate "
    "soil moisture for the grid cell."
)
_MOISTURE: Final = "Representative {} soil moisture measurement for the Earth based grid cell."
_VOLUME: Final = "cm**3/cm**3"
_PHYSICAL: Final = (0.02, 0.5)
_SHARE: Final = (0.0, 1.0)

_FIELDS: Final[dict[str, Field]] = {
    "latitude": Field(
        "Latitude of the center of the Earth based grid cell.", "degrees_north", (-90.0, 90.0)
    ),
    "longitude": Field(
        "Longitude of the center of the Earth based grid cell.", "degrees_east", (-180.0, 179.999)
    ),
    "EASE_row_index": Field(
        "The row index of the 36 km EASE grid cell that contains the associated data.",
        valid=(0, 405), dtype="u2",
    ),
    "EASE_column_index": Field(
        "The column index of the 36 km EASE grid cell that contains the associated data.",
        valid=(0, 963), dtype="u2",
    ),
    "tb_time_seconds": Field(
        f"{_MEAN_TIME}seconds since noon on January 1, 2000 UTC.", "seconds", (-999999.9, 9.4e8), "f8"
    ),
    "tb_time_utc": Field(f"{_MEAN_TIME}UTC.", dtype="S24"),
    "surface_flag": Field(
        "Bit flags that record ambient surface conditions for the grid cell",
        dtype="u2", flags=_SURFACE,
    ),
    "static_water_body_fraction": Field(
        "The fraction of the area of the 36 km grid cell that is covered by static water based on a "
        "Digital Elevation Map.", valid=_SHARE,
    ),
    "freeze_thaw_fraction": Field(
        "Fraction of the 36 km grid cell that is denoted as frozen.  Based on binary flag that specifies "
        "freeze thaw conditions in each of the component 3 km grid cells.", valid=_SHARE,
    ),
    "clay_fraction": Field(
        "A unitless value that is indicative of aggregated clay fraction within the 36 km grid cell.",
        valid=_SHARE,
    ),
    "surface_temperature": Field(
        "Temperature at land surface based on GMAO GEOS-5 data.", "Kelvins", (0.0, 350.0)
    ),
    "vegetation_water_content": Field(
        "Representative measure of water in the vegetation within the 36 km grid cell.",
        "kg/m**2", (0.0, 20.0),
    ),
    "vegetation_opacity": Field(
        "The measured opacity of the vegetation used in the DCA retrieval in the grid cell.",
        valid=(-999999.875, 999999.875), retrieved=True,
    ),
    "retrieval_qual_flag": Field(_FLAGS_OF.format("DCA"), dtype="u2", flags=_QUALITY),
    "retrieval_qual_flag_scav": Field(_FLAGS_OF.format("SCA-V"), dtype="u2", flags=_QUALITY),
    "soil_moisture": Field(_MOISTURE.format("DCA"), _VOLUME, _PHYSICAL, retrieved=True),
    "soil_moisture_scav": Field(_MOISTURE.format("SCA-V"), _VOLUME, _PHYSICAL, retrieved=True),
    "soil_moisture_error": Field(
        "Net uncertainty measure of soil moisture measure for the Earth based grid cell. - Calculation "
        "method is TBD.", _VOLUME, (0.0, 0.2), retrieved=True,
    ),
}  # fmt: skip
"""Datasets of an overpass on the grid of 36 km, by the names of the morning."""


@dataclass(frozen=True, slots=True)
class Composite:
    """A product of daily composites.

    Parameters
    ----------
    source, short : str
        Its names.
    long_name : str
        What it is.
    stem : str
        Of the granules' names.
    grid : str
        Global grid.
    kilometres : int
        Nominal width of its cells.
    reach : int
        So many cells around a cell are seen with it.
    chunk : (int, int)
        Rows and columns that are compressed together.
    fields : dict of str to Field
        Datasets of an overpass, by the names of the morning.
    """

    source: str
    short: str
    long_name: str
    stem: str
    grid: str
    kilometres: int
    reach: int
    chunk: tuple[int, int]
    fields: dict[str, Field]


def _enhanced() -> Iterator[tuple[str, Field]]:
    """Yield the fields as the product of 9 km describes them."""
    for name, field in _FIELDS.items():
        text = field.long_name.replace("36 km", "9 km")
        flags = tuple(flag.replace("36_km", "9_km") for flag in field.flags)
        valid = {"EASE_row_index": (0, 1623), "EASE_column_index": (0, 3855)}.get(name, field.valid)
        yield name, replace(field, long_name=text, flags=flags, valid=valid)


SPL3SMP: Final = Composite(
    "SPL3SMP", "L3_SM_P", "SMAP L3 Radiometer Global Daily 36 km EASE-Grid Soil Moisture",
    "SMAP_L3_SM_P", "M36", 36, 0, (1, 964), _FIELDS,
)  # fmt: skip
SPL3SMP_E: Final = Composite(
    "SPL3SMP_E", "L3_SM_P_E",
    "SMAP Enhanced L3 Radiometer Global and Polar Grid Daily 9 km EASE-Grid Soil Moisture",
    "SMAP_L3_SM_P_E", "M09", 9, 1, (116, 241), dict(_enhanced()),
)  # fmt: skip
"""A footprint is 27 to 36 km wide: it takes in the cells around."""

LINKS: Final = {
    "soil_moisture_dca": "soil_moisture",
    "retrieval_qual_flag_dca": "retrieval_qual_flag",
    "vegetation_opacity_dca": "vegetation_opacity",
}
"""Second names: the baseline is the dual-channel algorithm."""


def metadata(product: Composite, name: str, day: date) -> dict[str, dict[str, Any]]:
    """Return the attributes of the metadata's groups.

    Parameters
    ----------
    product : Composite
        Which it is.
    name : str
        File name of the granule.
    """
    made = f"{day + DAY:%Y-%m-%d}"
    rows, columns = grid(product.grid).shape
    identification = {
        "shortName": product.source,
        "SMAPShortName": product.short,
        "ECSVersionID": "009",
        "CompositeReleaseID": "R19240",
    }
    first, last = (
        np.int32(_REVOLUTION + (instant - SMAP.epoch) // timedelta(hours=SMAP.period))
        for instant in (utc_midnight(day), utc_midnight(day + DAY))
    )
    return {
        "DatasetIdentification": identification | {
            "fileName": name,
            "creationDate": made,
            "format": "HDF5",
            "abstract": "Simulated: no satellite measured these values. Daily composite of both overpasses.",
            "originatorOrganizationName": "smcatalog, simulated world",
        },
        "SeriesIdentification": {
            "shortName": product.source,
            "ECSVersionID": "009",
            "CompositeReleaseID": "R19",
            "mission": "SMAP",
            "longName": product.long_name,
            "spatialRepresentationType": "grid",
        },
        "Extent": {
            "rangeBeginningDateTime": f"{day:%Y-%m-%d}T00:00:00.000Z",
            "rangeEndingDateTime": f"{day:%Y-%m-%d}T23:59:59.999Z",
            "westBoundLongitude": np.float32(-180.0),
            "eastBoundLongitude": np.float32(180.0),
            "southBoundLatitude": np.float32(-85.0445),
            "northBoundLatitude": np.float32(85.0445),
        },
        "GridSpatialRepresentation": {
            "numberOfDimensions": np.int64(2),
            "cellGeometry": "point",
        },
        "GridSpatialRepresentation/Row": {
            "dimensionSize": np.uint32(rows),
            "resolution": np.float32(product.kilometres),
        },
        "GridSpatialRepresentation/Column": {
            "dimensionSize": np.uint32(columns),
            "resolution": np.float32(product.kilometres),
        },
        "GridSpatialRepresentation/GridDefinition": {
            "identifier": "Equal-Area Scalable Earth Grid",
        },
        "OrbitMeasuredLocation": {"startRevNumber": first, "stopRevNumber": last},
        "ProcessStep": {
            "identifier": f"{product.short}_SPS",
            "stepDateTime": f"{made}T00:00:00.000Z",
            "timeVariableEpoch": "J2000",
        },
    }  # fmt: skip


_REVOLUTION: Final = 2801
"""Number of the revolution at the orbit's epoch."""
