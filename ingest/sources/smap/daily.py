"""The daily composite SPL3SMP."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Final

import h5py
import numpy as np
from numpy.typing import NDArray

from ingest.netcdf import NetCdf
from ingest.reader import Identity, Yield
from ingest.refusal import refusing
from ingest.sniff import Format, head, sniff
from ingest.sources.smap.granule import (
    check_product,
    check_retrievals,
    extent,
    granule_name,
    members,
    opened,
)
from ingest.sources.smap.retrievals import (
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
from smcatalog.core.errors import RefusedInput, UsageError
from smcatalog.core.grids import grid
from smcatalog.core.time import Period, parse_day

__all__ = ["Spl3smp"]

_GROUPS: Final = {
    "sm_am": ("Soil_Moisture_Retrieval_Data_AM", ""),
    "sm_pm": ("Soil_Moisture_Retrieval_Data_PM", "_pm"),
}
"""Group of each overpass and what is appended to its datasets' names."""
_NAME = re.compile(r"^SMAP_L3_SM_P_(?P<day>\d{8})_R\d{5}_\d{3}")
_INSTANT: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Spl3smp:
    """Reader of the daily composites.

    Parameters
    ----------
    retrieval : str
        Which of `RETRIEVALS` becomes ``sm_am`` and ``sm_pm``.
    """

    retrieval: str = RETRIEVALS[0]

    def __post_init__(self) -> None:
        check_retrieval(self.retrieval)

    @property
    def source(self) -> str:
        """Name of the product family."""
        return "SPL3SMP"

    @property
    def title(self) -> str:
        """What the source is."""
        return "SMAP L3 radiometer soil moisture, 36 km, daily composite of both overpasses"

    def identify(self, path: Path, name: str) -> Identity | None:
        """Recognise the groups of both overpasses; the day comes from inside or from the name."""
        if sniff(head(path)) is not Format.HDF5:
            return None
        with opened(path) as file:
            groups = [members(file, group) for group, _ in _GROUPS.values()]
            if not any(one.names for one in groups):
                return None
            check_product(file, self.source)
            check_retrievals(groups)
            inside = granule_name(file) or ""
            period = _day_of(file, {"the name inside": inside, "its name": name})
            known = inside if _NAME.match(inside) else name
            return Identity(self.source, known.removesuffix(".h5"), period)

    def read(self, path: Path, identity: Identity) -> Iterator[Yield]:
        """Yield ``sm_am`` and ``sm_pm``, each on the smallest window of ``M36`` with its retrievals."""
        found = False
        with opened(path) as file:
            for target, (group, suffix) in _GROUPS.items():
                data = members(file, group)
                names = names_of(data, self.retrieval, suffix)
                if names is None:
                    continue
                _check_shape(data, names, suffix)
                values, quality = decoded(data, names, suffix)
                if not np.isfinite(values).any():
                    continue
                _check_fields(data, suffix, np.isfinite(values))
                found = True
                yield cropped(target, values, quality, identity.period)
        if not found:
            raise RefusedInput(f"holds no {self.retrieval} at all: neither overpass retrieved any")


def _day_of(file: h5py.File, names: dict[str, str]) -> Period:
    """Return the day on which metadata and names agree."""
    days: dict[str, date] = {}
    if period := extent(file):
        if (period.end - _INSTANT).date() != period.start.date():
            raise RefusedInput(f"covers {period}, which is more than a day")
        days["its metadata"] = period.start.date()
    for where, name in names.items():
        if match := _NAME.match(name):
            days[where] = _day(match["day"])
    if not days:
        raise RefusedInput(
            "does not say its day: no metadata inside, and its name is not "
            "SMAP_L3_SM_P_YYYYMMDD_RNNNNN_NNN.h5"
        )
    if len(set(days.values())) > 1:
        told = ", ".join(f"{where} says {day}" for where, day in days.items())
        raise RefusedInput(f"contradicts itself on its day ({told}): fetch it again by its name")
    with refusing("has an impossible day", (OverflowError,)):
        return Period.of_day(next(iter(days.values())))


def _day(text: str) -> date:
    try:
        return parse_day(text)
    except UsageError as error:
        raise RefusedInput(f"has an impossible day in its name: {error}") from error


def _check_shape(data: NetCdf, names: tuple[str, str], suffix: str) -> None:
    for name in (*names, *(f"{one}{suffix}" for one in ("surface_flag", *PLACE))):
        if name in data.names and data.shape(name) != grid("M36").shape:
            raise RefusedInput(
                f"{name} has the shape {data.shape(name)}, the grid of 36 km {grid('M36').shape}"
            )


def _check_fields(data: NetCdf, suffix: str, used: NDArray[np.bool_]) -> None:
    """Refuse a composite whose coordinates are not those of the 36 km grid."""
    rows, columns = centres()
    for name, expected in zip(PLACE, (rows[:, None], columns[None, :]), strict=True):
        values = floats(data, f"{name}{suffix}")
        if not np.isfinite(values[used]).any():
            raise RefusedInput(f"its retrievals have no {name}")
        far = farthest(values, expected)
        if far <= OFF_CENTRE:
            continue
        if farthest(values, expected[::-1, ::-1]) <= OFF_CENTRE:
            raise RefusedInput(f"its {name} runs backwards: the grid is flipped")
        raise RefusedInput(beside(name, far))
