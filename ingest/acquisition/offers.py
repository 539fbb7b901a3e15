"""Which sources can be had from whom, and as what: the one table of acquisition.

A source stands here under the name that its reader gives it. To have another one, add a line.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from smcatalog.core.errors import NotFoundError

__all__ = ["OFFERS", "ClimateOffer", "EarthdataOffer", "Offer", "Part", "offer_of"]

_TILE: Final = r"(?P<subject>\w+\.A\d{7}\.h\d\dv\d\d)\.(?P<production>.+)"
_GLOBE: Final = r"(?P<subject>\w+\.A\d{7})\.(?P<production>.+)"
_SMAP: Final = r"(?P<subject>.+)_(?P<production>(?:R\d{5}|V[a-z]\d{4})_\d{3})"
_IMERG: Final = r"(?P<subject>3B-.+)\.(?P<production>V\d\d[A-Z]?)"
_SRTM: Final = r"(?P<subject>[NS]\d\d[EW]\d{3})\.SRTM.*(?P<production>)"


@dataclass(frozen=True)
class EarthdataOffer:
    """A collection of NASA's Earthdata.

    Parameters
    ----------
    source : str
        Our name.
    short_name : str
        Its name in the Common Metadata Repository.
    versions : tuple of str
        Releases that we read; of a granule in several the newest is taken.
    suffix : str
        End of the names of its granules' files.
    pattern : str
        Regular expression of a granule's name without suffix: ``subject``, which stays when the
        granule is produced anew, and ``production``, as the source's reader tells them.
    globe : bool
        Whether a granule covers the globe, so that no region is needed.
    static : bool
        Whether it has no dates.
    licence : str
        What a user has to accept beforehand, and where; empty: nothing beyond an account.
    """

    source: str
    short_name: str
    versions: tuple[str, ...]
    suffix: str
    pattern: str
    globe: bool = False
    static: bool = False
    licence: str = ""

    @cached_property
    def _compiled(self) -> re.Pattern[str]:
        return re.compile(self.pattern)

    def subject(self, name: str) -> tuple[str, str]:
        """Return what a file name says: of what it is, and which production of it."""
        stem = name.removesuffix(self.suffix)
        match = self._compiled.fullmatch(stem)
        return (stem, "") if match is None else (match["subject"], match["production"])


@dataclass(frozen=True)
class Part:
    """Variables that the Climate Data Store delivers in one file.

    Analysed and accumulated ones never share a file there: asked for together they come as a zip of two.

    Parameters
    ----------
    name : str
        Stands in the file's name.
    gives : tuple of str
        Our variables, as far as they have names.
    inputs : mapping
        The request, without days and region.
    later : int
        Days by which the days to request lie after those that are meant.
    """

    name: str
    gives: tuple[str, ...]
    inputs: Mapping[str, Any]
    later: int = 0


@dataclass(frozen=True)
class ClimateOffer:
    """A dataset of the Climate Data Store.

    Parameters
    ----------
    source : str
        Our name.
    dataset : str
        Its name there.
    parts : tuple of Part
        The files that it is fetched in, one of each a month.
    step : float or None
        Degrees between its cells: regions are widened to multiples; None: it covers the globe.
    member : str
        Where files come in zips: regular expression of the names inside with the group ``day`` (YYYYMMDD).
    suffix : str
        End of the file's name, unless the provider says it is a zip.
    """

    source: str
    dataset: str
    parts: tuple[Part, ...]
    step: float | None = None
    member: str = ""
    suffix: str = ".nc"
    static: bool = field(default=False, init=False)

    @property
    def globe(self) -> bool:
        """Whether a file covers the globe, so that no region is needed."""
        return self.step is None


Offer = EarthdataOffer | ClimateOffer

_HOURS: Final = tuple(f"{hour:02d}:00" for hour in range(24))
_NETCDF: Final = {"data_format": "netcdf", "download_format": "unarchived"}
_SOIL: Final = (
    *(f"volumetric_soil_water_layer_{n}" for n in (1, 2, 3, 4)),
    *(f"soil_temperature_level_{n}" for n in (1, 2, 3, 4)),
)
_SURFACE: Final = (
    "2m_temperature",
    "leaf_area_index_high_vegetation",
    "leaf_area_index_low_vegetation",
)
_GES_DISC: Final = (
    "approve the application 'NASA GESDISC DATA ARCHIVE' at "
    "https://urs.earthdata.nasa.gov/approve_app?client_id=e2WVk8Pw6weeLUKZYOxvTQ"
)


def _part(name: str, gives: tuple[str, ...], variables: tuple[str, ...], **more: Any) -> Part:
    inputs = {
        "variable": list(variables),
        "time": list(_HOURS),
        **_NETCDF,
        **more.pop("inputs", {}),
    }
    return Part(name, gives, inputs, **more)


_ERA5: Final = {"product_type": ["reanalysis"]}

_EARTHDATA: Final = (
    EarthdataOffer("SPL3SMP", "SPL3SMP", ("009", "008"), ".h5", _SMAP, globe=True),
    EarthdataOffer("SPL3SMP_E", "SPL3SMP_E", ("006", "005"), ".h5", _SMAP, globe=True),
    EarthdataOffer("SPL2SMP", "SPL2SMP", ("009", "008"), ".h5", _SMAP),
    EarthdataOffer("SPL4SMGP", "SPL4SMGP", ("008", "007"), ".h5", _SMAP, globe=True),
    *(
        EarthdataOffer(name, name, ("061",), ".hdf", _TILE)
        for name in (
            "MOD11A1", "MYD11A1", "MYD21A1N", "MOD13A2", "MYD13A2", "MOD15A2H", "MYD15A2H",
            "MOD09A1", "MYD09A1", "MCD43A3", "MCD43A4", "MCD12Q1",
        )
    ),
    EarthdataOffer("MCD43C3", "MCD43C3", ("061",), ".hdf", _GLOBE, globe=True),
    EarthdataOffer("MCD43D58", "MCD43D58", ("061",), ".hdf", _GLOBE, globe=True),
    EarthdataOffer("VNP13A2", "VNP13A2", ("002",), ".h5", _TILE),
    EarthdataOffer("SRTMGL3", "SRTMGL3", ("003",), ".hgt.zip", _SRTM, static=True),
    EarthdataOffer("SRTMGL1", "SRTMGL1", ("003",), ".hgt.zip", _SRTM, static=True),
    EarthdataOffer("GPM_3IMERGDF", "GPM_3IMERGDF", ("07",), ".nc4", _IMERG, globe=True, licence=_GES_DISC),
    EarthdataOffer("GPM_3IMERGHH", "GPM_3IMERGHH", ("07",), ".HDF5", _IMERG, globe=True, licence=_GES_DISC),
)  # fmt: skip

_CLIMATE: Final = (
    ClimateOffer(
        "ERA5-Land",
        "reanalysis-era5-land",
        (
            _part("soil", ("swvl1", "swvl2", "swvl3", "swvl4", "stl1", "stl2", "stl3", "stl4"), _SOIL),
            _part("surface", ("t2m", "lai"), _SURFACE),
            # accumulated since midnight: what a day brought is the value of the midnight that ends it
            _part("totals", ("tp", "e", "pev", "ssrd"),
                  ("total_precipitation", "total_evaporation", "potential_evaporation",
                   "surface_solar_radiation_downwards"),
                  inputs={"time": ["00:00"]}, later=1),
        ),
        step=0.1,
    ),
    ClimateOffer(
        "ERA5",
        "reanalysis-era5-single-levels",
        (
            _part("soil", ("swvl1", "swvl2", "swvl3", "swvl4", "stl1", "stl2", "stl3", "stl4", "lsm"),
                  (*_SOIL, "land_sea_mask"), inputs=_ERA5),
            _part("surface", ("t2m", "lai"), _SURFACE, inputs=_ERA5),
            _part("totals", ("tp", "e", "pev", "ssrd"),
                  ("total_precipitation", "evaporation", "potential_evaporation",
                   "surface_solar_radiation_downwards"),
                  inputs=_ERA5),
        ),
        step=0.25,
    ),
    *(
        ClimateOffer(
            f"C3S-SM-{kind}",
            "satellite-soil-moisture",
            (
                Part(kind.lower(), ("sm",), {
                    "variable": ["volumetric_surface_soil_moisture"],
                    "type_of_sensor": [sensors],
                    "time_aggregation": ["day_average"],
                    "type_of_record": ["cdr"],
                    "version": ["v202312"],
                }),
            ),
            member=rf"C3S-SOILMOISTURE-.*-{kind}-.*-(?P<day>\d{{8}})\d{{6}}-.*\.nc",
            suffix=".zip",
        )
        for kind, sensors in (
            ("COMBINED", "combined_passive_and_active"), ("PASSIVE", "passive"),
        )
    ),
)  # fmt: skip

_ALL: Final[tuple[Offer, ...]] = (*_EARTHDATA, *_CLIMATE)
OFFERS: Final[dict[str, Offer]] = {offer.source: offer for offer in _ALL}
"""What can be acquired, by our names."""


def offer_of(source: str) -> Offer:
    """Return what a source is at its provider.

    Raises
    ------
    NotFoundError
        When nobody offers it; the message lists what is offered.
    """
    try:
        return OFFERS[source]
    except KeyError:
        raise NotFoundError(
            f"no provider is declared for '{source}': fetch it by hand and ingest it; there are "
            f"{', '.join(OFFERS)}"
        ) from None
