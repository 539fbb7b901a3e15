"""The half orbits SPL2SMP."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import h5py
import numpy as np
from numpy.typing import NDArray

from ingest.netcdf import NetCdf
from ingest.reader import Identity, Yield
from ingest.sniff import Format, head, sniff
from ingest.sources.smap.granule import (
    as_identity,
    attribute,
    check_product,
    check_retrievals,
    extent,
    granule_name,
    instant_of,
    members,
    opened,
)
from ingest.sources.smap.retrievals import (
    FILL_FLAGS,
    OFF_CENTRE,
    PLACE,
    RETRIEVALS,
    beside,
    centres,
    check_retrieval,
    cropped,
    decoded,
    farthest,
    floats,
    names_of,
)
from smcatalog.core.errors import RefusedInput
from smcatalog.core.grids import grid
from smcatalog.core.time import Period

__all__ = ["Spl2smp"]

_GROUP: Final = "Soil_Moisture_Retrieval_Data"
_VARIABLES: Final = {"D": "sm_am", "A": "sm_pm"}
"""The satellite goes south in the morning and north in the evening."""
_BESIDE: Final = timedelta(seconds=2)
_NAME = re.compile(r"^SMAP_L2_SM_P_\d{5}_(?P<direction>[AD])_(?P<start>\d{8}T\d{6})_R\d{5}_\d{3}")


@dataclass(frozen=True, slots=True)
class Spl2smp:
    """Reader of the half orbits.

    Parameters
    ----------
    retrieval : str
        Which of `RETRIEVALS` becomes ``sm_am`` or ``sm_pm``.
    """

    retrieval: str = RETRIEVALS[0]

    def __post_init__(self) -> None:
        check_retrieval(self.retrieval)

    @property
    def source(self) -> str:
        """Name of the product family."""
        return "SPL2SMP"

    @property
    def title(self) -> str:
        """What the source is."""
        return "SMAP L2 radiometer soil moisture, 36 km, half orbits"

    def identify(self, path: Path, name: str) -> Identity | None:
        """Recognise the group of a half orbit; its period comes from inside."""
        if sniff(head(path)) is not Format.HDF5:
            return None
        with opened(path) as file:
            data = members(file, _GROUP)
            if not data.names:
                return None
            check_product(file, self.source)
            check_retrievals([data])
            inside, period = granule_name(file) or "", extent(file)
            if period is None:
                raise RefusedInput("does not say when its half orbit began and ended")
            names = {"the name inside": inside, "its name": name}
            _check_start(period, names)
            _overpass(file, names)
            known = inside if _NAME.match(inside) else name
            return as_identity(self.source, known, period)

    def read(self, path: Path, identity: Identity) -> Iterator[Yield]:
        """Yield ``sm_am`` of a southward half orbit or ``sm_pm`` of a northward one."""
        with opened(path) as file:
            target = _overpass(file, {"its name": identity.name})
            data = members(file, _GROUP)
            names = names_of(data, self.retrieval, "")
            if names is None:
                raise RefusedInput(f"holds no {self.retrieval}")
            rows, columns, listed = _cells(data)
            values, quality = decoded(data, names, "")
        if values.shape != listed.shape:
            raise RefusedInput("its retrievals and cells differ in number")
        if not np.isfinite(values[listed]).any():
            raise RefusedInput(f"holds no {self.retrieval} at all: nothing but fill")
        whole = np.full(grid("M36").shape, np.nan)
        flags = np.zeros(whole.shape, np.uint16)
        whole[rows, columns], flags[rows, columns] = values[listed], quality[listed]
        yield cropped(target, whole, flags, identity.period)


def _check_start(period: Period, names: dict[str, str]) -> None:
    for where, name in names.items():
        if match := _NAME.match(name):
            start = instant_of(f"{match['start']}Z")
            if abs(start - period.start) > _BESIDE:
                raise RefusedInput(
                    f"contradicts itself on its beginning (its metadata say {_second(period.start)}, "
                    f"{where} says {_second(start)}): fetch it again by its name"
                )


def _second(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M:%S}"


def _overpass(file: h5py.File, names: dict[str, str]) -> str:
    """Return the variable of the direction on which metadata and names agree."""
    stated = attribute(file, "OrbitMeasuredLocation", "orbitDirection")
    told = {"its metadata": stated[:1].upper()} if stated else {}
    for where, name in names.items():
        if match := _NAME.match(name):
            told[where] = match["direction"]
    if not told or not set(told.values()) <= set(_VARIABLES):
        raise RefusedInput(f"does not say whether it goes north or south (says {stated!r})")
    if len(set(told.values())) > 1:
        listed = ", ".join(f"{where} says {letter}" for where, letter in told.items())
        raise RefusedInput(f"contradicts itself on its direction ({listed})")
    return _VARIABLES[told.popitem()[1]]


def _cells(data: NetCdf) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.bool_]]:
    """Return rows and columns of a half orbit's cells, and which of its entries have them."""
    places = [floats(data, f"EASE_{axis}_index") for axis in ("row", "column")]
    degrees = [floats(data, name) for name in PLACE]
    if len({one.shape for one in (*places, *degrees)}) != 1 or places[0].ndim != 1:
        raise RefusedInput("its lists of cells and coordinates differ in shape")
    listed = np.isfinite(places[0]) & np.isfinite(places[1])
    listed &= (places[0] != FILL_FLAGS) & (places[1] != FILL_FLAGS)
    for values, size in zip(places, grid("M36").shape, strict=True):
        if ((values[listed] < 0) | (values[listed] >= size)).any():
            raise RefusedInput("has cells outside the 36 km grid")
    rows, columns = (values[listed].astype(np.intp) for values in places)
    if len(np.unique(np.ravel_multi_index((rows, columns), grid("M36").shape))) != len(rows):
        raise RefusedInput("has a cell more than once: half orbits joined by mistake")
    for name, values, at, expected in zip(PLACE, degrees, (rows, columns), centres(), strict=True):
        far = farthest(values[listed], expected[at])
        if far > OFF_CENTRE:
            raise RefusedInput(beside(name, far))
    return rows, columns, listed
