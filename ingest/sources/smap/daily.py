"""The daily composites SPL3SMP and SPL3SMP_E: the same fields on the grids of 36 and of 9 km."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Final

import h5py
import numpy as np

from ingest.netcdf import NetCdf
from ingest.reader import Identity, Yield
from ingest.refusal import refusing
from ingest.sniff import Format, head, sniff
from ingest.sources.smap.granule import (
    as_identity,
    check_product,
    check_retrievals,
    extent,
    granule_name,
    members,
    opened,
    product_name,
)
from ingest.sources.smap.retrievals import (
    PLACE,
    RETRIEVALS,
    bounds,
    check_place,
    check_retrieval,
    check_shape,
    decoded,
    floats,
    names_of,
    placed,
)
from smcatalog.core.errors import RefusedInput, UsageError
from smcatalog.core.grids import grid
from smcatalog.core.time import Period, parse_day

__all__ = ["SPL3SMP", "SPL3SMP_E", "Composite", "Spl3smp"]


@dataclass(frozen=True, slots=True)
class Composite:
    """A product of daily composites.

    Parameters
    ----------
    source : str
        Its short name.
    title : str
        What it is.
    grid : str
        The global grid of its fields.
    name : re.Pattern
        How its granules are called, with the group ``day``.
    """

    source: str
    title: str
    grid: str
    name: re.Pattern[str]


SPL3SMP: Final = Composite(
    "SPL3SMP",
    "SMAP L3 radiometer soil moisture, 36 km, daily composite of both overpasses",
    "M36",
    re.compile(r"^SMAP_L3_SM_P_(?P<day>\d{8})_R\d{5}_\d{3}"),
)
SPL3SMP_E: Final = Composite(
    "SPL3SMP_E",
    "SMAP L3 enhanced radiometer soil moisture, 9 km, daily composite of both overpasses",
    "M09",
    re.compile(r"^SMAP_L3_SM_P_E_(?P<day>\d{8})_R\d{5}_\d{3}"),
)

_GROUPS: Final = {
    "sm_am": ("Soil_Moisture_Retrieval_Data_AM", ""),
    "sm_pm": ("Soil_Moisture_Retrieval_Data_PM", "_pm"),
}
"""Group of each overpass and what is appended to its datasets' names."""
_INSTANT: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Spl3smp:
    """Reader of the daily composites of one grid.

    The groups of the polar grid, which the product of 9 km has besides, are left alone.

    Parameters
    ----------
    retrieval : str
        Which of `RETRIEVALS` becomes ``sm_am`` and ``sm_pm``.
    product : Composite
        Of which grid.
    """

    retrieval: str = RETRIEVALS[0]
    product: Composite = SPL3SMP

    def __post_init__(self) -> None:
        check_retrieval(self.retrieval)

    @property
    def source(self) -> str:
        """Name of the product family."""
        return self.product.source

    @property
    def title(self) -> str:
        """What the source is."""
        return self.product.title

    def identify(self, path: Path, name: str) -> Identity | None:
        """Recognise the groups of both overpasses; the day comes from inside or from the name."""
        if sniff(head(path)) is not Format.HDF5:
            return None
        with opened(path) as file:
            groups = [members(file, group) for group, _ in _GROUPS.values()]
            if not any(one.names for one in groups) or _composite(file, groups) != self.product:
                return None
            check_product(file, self.source)
            check_retrievals(groups)
            inside = granule_name(file) or ""
            names = {"the name inside": inside, "its name": name}
            period = _day_of(file, names, self.product)
            known = inside if self.product.name.match(inside) else name
            return as_identity(self.source, known, period)

    def read(self, path: Path, identity: Identity) -> Iterator[Yield]:
        """Yield ``sm_am`` and ``sm_pm``, each on the smallest window of the grid with its retrievals."""
        found = False
        base = self.product.grid
        with opened(path) as file:
            for target, (group, suffix) in _GROUPS.items():
                data = members(file, group)
                names = names_of(data, self.retrieval, suffix)
                if names is None:
                    continue
                beside = tuple(f"{one}{suffix}" for one in ("surface_flag", *PLACE))
                check_shape(data, (*names, *beside), base)
                part = bounds(floats(data, names[0]))
                if part is None:
                    continue
                values, quality = decoded(data, names, suffix, part)
                check_place(data, (beside[1], beside[2]), base, part, np.isfinite(values))
                found = True
                yield placed(target, base, part, values, quality, identity.period)
        if not found:
            raise RefusedInput(f"holds no {self.retrieval} at all: neither overpass retrieved any")


def _composite(file: h5py.File, groups: list[NetCdf]) -> Composite:
    """Return which product a file with the groups is: by its metadata, else by the shape of its fields."""
    stated = product_name(file)
    for product in (SPL3SMP, SPL3SMP_E):
        if stated == product.source:
            return product
    shapes = {group.shape(name) for group in groups for name in group.names}
    enhanced = stated is None and grid(SPL3SMP_E.grid).shape in shapes
    return SPL3SMP_E if enhanced else SPL3SMP


def _day_of(file: h5py.File, names: dict[str, str], product: Composite) -> Period:
    """Return the day on which metadata and names agree."""
    days: dict[str, date] = {}
    if period := extent(file):
        if (period.end - _INSTANT).date() != period.start.date():
            raise RefusedInput(f"covers {period}, which is more than a day")
        days["its metadata"] = period.start.date()
    for where, name in names.items():
        if match := product.name.match(name):
            days[where] = _day(match["day"])
    if not days:
        stem = product.name.pattern.partition("_(?P")[0].removeprefix("^")
        raise RefusedInput(
            "does not say its day: no metadata inside, and its name is not "
            f"{stem}_YYYYMMDD_RNNNNN_NNN.h5"
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
