"""The scenes SPL2SMAP_S: SMAP's brightness temperatures made finer by a Sentinel-1 image, on the grids of 3 and of 1 km.

Each resolution has a group of its own, of arrays over the scene with the cells' places in the global grid. What is retrieved is the
soil moisture of SMAP's pass, the second of the two times in the name; the first is that of the image, up to a day and a
half apart. Cells of 1 km are another variable than those of 3 km, which are the validated ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ingest.ease import OFF_CENTRE, beside, centres, farthest, kilometres
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
)
from ingest.sources.smap.retrievals import FILL_FLAGS, decoded, floats
from smcatalog.core.errors import RefusedInput
from smcatalog.core.grids import grid
from smcatalog.core.raster import Raster
from smcatalog.core.time import Period
from smcatalog.core.variables import variable

__all__ = ["Spl2smapS"]

_NAME = re.compile(
    r"^SMAP_L2_SM_SP_\w+_(?P<image>\d{8}T\d{6})_(?P<smap>\d{8}T\d{6})_\d{3}[EW]\d{2}[NS]_R\d{5}_\d{3}"
)
_GROUPS: Final = {
    "M03": ("Soil_Moisture_Retrieval_Data_3km", "_3km", "sm"),
    "M01": ("Soil_Moisture_Retrieval_Data_1km", "_1km", "sm_1km"),
}
"""By the global grid: group, end of its names, and the variable that its retrievals become."""
_PASS: Final = timedelta(minutes=1)
"""In which SMAP sees a scene."""
_APART: Final = timedelta(days=2)


@dataclass(frozen=True, slots=True)
class Spl2smapS:
    """Reader of the scenes."""

    @property
    def source(self) -> str:
        """Name of the product family."""
        return "SPL2SMAP_S"

    @property
    def title(self) -> str:
        """What the source is."""
        return "SMAP and Sentinel-1 L2 soil moisture of scenes, 3 km and 1 km"

    def identify(self, path: Path, name: str) -> Identity | None:
        """Recognise the group of the cells of 3 or 1 km and the scene's name; its times stand there alone.

        Raises
        ------
        RefusedInput
            When neither name says the times, or they contradict what is inside.
        """
        if sniff(head(path)) is not Format.HDF5:
            return None
        with opened(path) as file:
            inside = (granule_name(file) or "").rpartition("/")[2]
            match = _NAME.match(inside) or _NAME.match(name)
            found = [g for g, _, _ in _GROUPS.values() if members(file, g).names]
            # SPL2SMAP of the radar that fell silent has a group of 3 km as well, and another name
            if not found or (match is None and not self._is_named(name)):
                return None
            check_product(file, self.source)
            if match is None:
                raise RefusedInput(
                    "does not say its times: restore the provider's name (SMAP_L2_SM_SP_…)"
                )
            other = _NAME.match(name)
            if other and other.group("image", "smap") != match.group("image", "smap"):
                raise RefusedInput(
                    f"contradicts itself on its times (its name says {other['smap']}, the name inside {match['smap']})"
                )
            start, stated = instant_of(f"{match['smap']}Z"), extent(file)
        if stated is not None and not stated.start - _APART <= start <= stated.end + _APART:
            raise RefusedInput(
                f"contradicts itself on its times (its name says {match['smap']}, its metadata {stated})"
            )
        known = inside if _NAME.match(inside) else name
        return as_identity(self.source, known, Period(start, start + _PASS))

    def _is_named(self, name: str) -> bool:
        return name.startswith("SMAP_L2_SM_SP_")

    def read(self, path: Path, identity: Identity) -> Iterator[Yield]:
        """Yield ``sm`` on a window of ``M03`` and ``sm_1km`` on one of ``M01``, as far as the scene has them.

        Raises
        ------
        RefusedInput
            When its cells are not those of the grid, or it holds nothing at all.
        """
        empty = True
        with opened(path) as file:
            for base, (group, end, target) in _GROUPS.items():
                data = members(file, group)
                if f"soil_moisture{end}" not in data.names:
                    continue
                values, quality = decoded(
                    data, (f"soil_moisture{end}", f"retrieval_qual_flag{end}"), end
                )
                if not np.isfinite(values).any():
                    continue
                empty = False
                yield _placed(data, end, base, target, values, quality, identity.period)
        if empty:
            raise RefusedInput("holds no soil moisture at all: nothing but fill")


def _placed(
    data: NetCdf,
    end: str,
    base: str,
    target: str,
    values: NDArray[np.float64],
    quality: NDArray[np.uint16],
    period: Period | None,
) -> Raster:
    """Return a scene's retrievals on the smallest window of a global grid that holds them."""
    places = [floats(data, f"EASE_{axis}_index{end}") for axis in ("row", "column")]
    degrees = [floats(data, f"{axis}{end}") for axis in ("latitude", "longitude")]
    if {one.shape for one in (*places, *degrees)} != {values.shape}:
        raise RefusedInput("its retrievals, cells and coordinates differ in shape")
    held = np.isfinite(values)
    whole = grid(base)
    for index, size in zip(places, whole.shape, strict=True):
        inside = np.isfinite(index) & (index != FILL_FLAGS) & (index >= 0) & (index < size)
        if not inside[held].all():
            raise RefusedInput(f"has retrievals without a cell of the {kilometres(base)} km grid")
    rows, columns = (index[held].astype(np.intp) for index in places)
    # a cell of 1 km is 0.01 degrees wide
    near = min(OFF_CENTRE, 90 / whole.shape[1])
    for name, known, at, expected in zip(
        ("latitude", "longitude"), degrees, (rows, columns), centres(base), strict=True
    ):
        if np.isnan(known[held]).any():
            raise RefusedInput(f"its retrievals have no {name}")
        far = farthest(known[held], expected[at])
        if far > near:
            raise RefusedInput(beside(name, far, base))
    top, left = int(rows.min()), int(columns.min())
    window = whole.window(slice(top, int(rows.max()) + 1), slice(left, int(columns.max()) + 1))
    flat = np.ravel_multi_index((rows - top, columns - left), window.shape)
    if len(np.unique(flat)) != len(flat):
        raise RefusedInput("has a cell more than once: scenes joined by mistake")
    field = np.full(window.shape, np.nan, np.float32)
    bits = np.zeros(window.shape, np.uint16)
    field.ravel()[flat], bits.ravel()[flat] = values[held], quality[held]
    return Raster(variable(target), window, field, bits, period)
