"""The model SPL4SMGP: three-hourly means of surface and root-zone soil moisture on the grid of 9 km."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import h5py
import numpy as np

from ingest.netcdf import NetCdf
from ingest.reader import Identity, Yield
from ingest.sniff import Format, head, sniff
from ingest.sources.smap.granule import (
    as_identity,
    check_product,
    extent,
    granule_name,
    instant_of,
    members,
    opened,
    product_name,
)
from ingest.sources.smap.retrievals import (
    bounds,
    check_place,
    check_shape,
    check_unit,
    floats,
    placed,
)
from smcatalog.core.errors import RefusedInput
from smcatalog.core.time import Period

__all__ = ["Spl4smgp"]

_GROUP: Final = "Geophysical_Data"
_VARIABLES: Final = ("sm_surface", "sm_rootzone")
"""Of the upper 5 cm and of the upper metre; the provider's names are ours."""
_GRID: Final = "M09"
_PLACE: Final = ("cell_lat", "cell_lon")
_STEP: Final = timedelta(hours=3)
_BESIDE: Final = timedelta(minutes=5)
"""By which times may differ: some count leap seconds, some do not."""
_NAME = re.compile(r"^SMAP_L4_SM_gph_(?P<centre>\d{8}T\d{6})_V[a-z]\d{4}_\d{3}")


@dataclass(frozen=True, slots=True)
class Spl4smgp:
    """Reader of the three-hourly means. Which hours make up a day is for the product to choose."""

    @property
    def source(self) -> str:
        """Name of the product family."""
        return "SPL4SMGP"

    @property
    def title(self) -> str:
        """What the source is."""
        return "SMAP L4 surface and root-zone soil moisture, 9 km, three-hourly means of the model"

    def identify(self, path: Path, name: str) -> Identity | None:
        """Recognise the group of geophysical fields; the hours come from inside or from the name."""
        if sniff(head(path)) is not Format.HDF5:
            return None
        with opened(path) as file:
            data = members(file, _GROUP)
            held = [one for one in _VARIABLES if one in data.names]
            if not data.names or not (held or product_name(file) == self.source):
                return None
            check_product(file, self.source)
            if not held:
                listed = ", ".join(sorted(data.names))[:200]
                raise RefusedInput(f"holds no soil moisture at all: its group has only {listed}")
            # the name inside is a path of the provider's machine
            inside = (granule_name(file) or "").rpartition("/")[2]
            period = _three_hours(file, {"the name inside": inside, "its name": name})
            return as_identity(self.source, inside if _NAME.match(inside) else name, period)

    def read(self, path: Path, identity: Identity) -> Iterator[Yield]:
        """Yield ``sm_surface`` and ``sm_rootzone``, each on the smallest window of ``M09`` that holds it."""
        found = False
        with opened(path) as file:
            data, root = members(file, _GROUP), members(file, "/")
            check_shape(root, _PLACE, _GRID)
            check_shape(data, _VARIABLES, _GRID)
            for name in _VARIABLES:
                if name not in data.names:
                    continue
                check_unit(data, name)
                whole = floats(data, name)
                part = bounds(whole)
                if part is None:
                    continue
                values = whole[part]
                check_place(root, _PLACE, _GRID, part, np.isfinite(values))
                found = True
                quality = np.zeros(values.shape, np.uint16)
                yield placed(name, _GRID, part, values, quality, identity.period)
        if not found:
            raise RefusedInput("holds no soil moisture at all: nothing but fill")


def _three_hours(file: h5py.File, names: dict[str, str]) -> Period:
    """Return the step on whose middle names, time and metadata agree."""
    middles = dict(_middles(file, names))
    if not middles:
        raise RefusedInput(
            "does not say its hours: no time inside, and its name is not "
            "SMAP_L4_SM_gph_YYYYMMDDTHHMMSS_VvNNNN_NNN.h5"
        )
    first = next(iter(middles.values()))
    stated = extent(file)
    if stated is not None and not stated.start - _BESIDE <= first <= stated.end + _BESIDE:
        middles["its metadata"] = stated.start + (stated.end - stated.start) / 2
    if any(abs(middle - first) > _BESIDE for middle in middles.values()):
        told = ", ".join(f"{where} says {when:%Y-%m-%d %H:%M}" for where, when in middles.items())
        raise RefusedInput(f"contradicts itself on its hours ({told}): fetch it again by its name")
    midnight = first.replace(hour=0, minute=0, second=0, microsecond=0)
    start = midnight + (first - midnight) // _STEP * _STEP
    if abs(start + _STEP / 2 - first) > _BESIDE:
        raise RefusedInput(
            f"is centred on {first:%H:%M}, which is the middle of none of the day's eight steps"
        )
    return Period(start, start + _STEP)


def _middles(file: h5py.File, names: dict[str, str]) -> Iterator[tuple[str, datetime]]:
    for where, name in names.items():
        if match := _NAME.match(name):
            yield where, instant_of(f"{match['centre']}Z")
    root: NetCdf = members(file, "/")
    if "time" in root.names and root.attribute("time", "units") is not None:
        times = root.times("time")
        if times.shape != (1,):
            raise RefusedInput(f"holds {len(times)} times, expected one")
        yield "its time", times[0].item().replace(tzinfo=UTC)
