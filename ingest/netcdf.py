"""NetCDF files, both generations, as names, dimensions, attributes and decoded arrays.

Thin on purpose: a reader wants a few variables of one file, and a fault in the file must end in a
refusal, not somewhere inside lazy loading.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np
from numpy.typing import NDArray
from scipy.io import netcdf_file

from ingest.hdf5 import check_chunks, check_heaps
from ingest.refusal import refusing
from ingest.sniff import Format, head, sniff
from smcatalog.core.errors import RefusedInput

__all__ = ["NetCdf", "netcdf", "variables_of"]

_BROKEN: Final = "is a broken or truncated NetCDF/HDF5 file"
_MOST: Final = 200_000_000
"""Values read at once: a global 0.1-degree field of a day's hours; more is a damaged header."""
_UNITS = re.compile(
    r"^\s*(?P<step>second|minute|hour|day)s?\s+since\s+(?P<day>\d{4}-\d{1,2}-\d{1,2})"
    r"(?:[T ](?P<clock>\d{1,2}:\d{2}(?::\d{2})?)(?:\.\d*)?)?\s*(?:Z|UTC|[+]00:?00)?\s*$"
)
_SECONDS: Final = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
_CALENDARS: Final = {"", "standard", "gregorian", "proleptic_gregorian"}


@dataclass(frozen=True, slots=True)
class NetCdf:
    """An open NetCDF file.

    Parameters
    ----------
    variables : mapping of str to the library's variable
        Those of the root group.
    groups : tuple of str
        Names of the groups below the root.
    attributes : mapping of str to the library's value
        What the file says of itself as a whole.
    """

    variables: Mapping[str, Any]
    groups: tuple[str, ...] = ()
    attributes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def names(self) -> frozenset[str]:
        """Names of the variables."""
        return frozenset(self.variables)

    def dimensions(self, name: str) -> tuple[str, ...]:
        """Return the names of a variable's dimensions."""
        with refusing(_BROKEN):
            variable = self.variables[name]
            if isinstance(variable, h5py.Dataset):
                return _hdf5_dimensions(variable, name, self.variables)
            return tuple(variable.dimensions)

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the lengths of a variable's dimensions."""
        with refusing(_BROKEN):
            return tuple(int(n) for n in self.variables[name].shape)

    def whole_numbers(self, name: str) -> bool:
        """Say whether a variable is stored as whole numbers."""
        with refusing(_BROKEN):
            variable = self.variables[name]
            stored = variable.dtype if isinstance(variable, h5py.Dataset) else variable.data.dtype
            return bool(stored.kind in "iu")

    def attribute(self, name: str, attribute: str) -> Any:
        """Return a variable's attribute, text as str and numbers as scalars; None if absent."""
        with refusing(_BROKEN):
            variable = self.variables[name]
            value = (
                variable.attrs.get(attribute)
                if hasattr(variable, "attrs")
                else getattr(variable, attribute, None)
            )
            if isinstance(value, np.ndarray | list) and np.size(value) == 1:
                value = np.ravel(value)[0]
            return value.decode() if isinstance(value, bytes) else value

    def text(self, attribute: str) -> str:
        """Return a text that the file says of itself as a whole; empty if absent or no text."""
        with refusing(_BROKEN):
            value = self.attributes.get(attribute)
            if isinstance(value, np.ndarray | list) and np.size(value) == 1:
                value = np.ravel(value)[0]
            if isinstance(value, bytes):
                value = value.decode()
            return value.strip("\0 ") if isinstance(value, str) else ""

    def values(self, name: str, part: Any = ...) -> NDArray[np.float64]:
        """Read a variable or a part of it: fill becomes NaN, scale and offset are applied.

        Parameters
        ----------
        name : str
            A numeric variable.
        part : index, optional
            What ``variable[part]`` takes.

        Returns
        -------
        ndarray of float64

        Raises
        ------
        RefusedInput
            When the data is damaged, not numeric or absurdly large.
        """
        raw = self._raw(name, part)
        missing = np.zeros(raw.shape, bool)
        for attribute in ("_FillValue", "missing_value"):
            fill = self.attribute(name, attribute)
            if isinstance(fill, np.number | int | float):
                missing |= raw == fill
            elif isinstance(fill, np.ndarray) and fill.dtype.kind in "iuf":
                missing |= np.isin(raw, fill)  # several kinds of none, as VIIRS has them
        # damaged numbers may be none, or beyond all others; the reader's checks tell
        with np.errstate(invalid="ignore", over="ignore"):
            values = raw.astype(np.float64)
        values[missing] = np.nan
        scale, offset = self._steps(name)
        with np.errstate(invalid="ignore", over="ignore"):
            values *= scale
            values += offset
        return values

    def _steps(self, name: str) -> tuple[float, float]:
        """Return what a stored step is worth and where counting begins."""
        with refusing(_BROKEN):
            scale, offset = (
                default if value is None else float(value)
                for value, default in (
                    (self.attribute(name, "scale_factor"), 1.0),
                    (self.attribute(name, "add_offset"), 0.0),
                )
            )
        if scale == 0 or not np.isfinite([scale, offset]).all():
            raise RefusedInput(
                f"{name} declares a scale factor of {scale:g} and an offset of {offset:g}: damaged"
            )
        return scale, offset

    def times(self, name: str, *, calendar: str | None = None) -> NDArray[np.datetime64]:
        """Read a CF time coordinate.

        Parameters
        ----------
        calendar : str, optional
            The one that is meant, whatever the file names.

        Returns
        -------
        ndarray of datetime64[s], shape (n,)
            UTC.

        Raises
        ------
        RefusedInput
            When unit or calendar are unknown or a time is missing.
        """
        units = self.attribute(name, "units")
        match = _UNITS.match(str(units))
        if not match:
            raise RefusedInput(f"the unit of {name} is {units!r}, not '… since a day' in UTC")
        told = str(calendar or self.attribute(name, "calendar") or "")
        if told.lower() not in _CALENDARS:
            raise RefusedInput(f"{name} counts in the calendar {told!r}, which has other days")
        counts = self.values(name)
        seconds = counts * _SECONDS[match["step"]]
        if counts.ndim != 1 or not np.isfinite(seconds).all() or (abs(seconds) > 1e11).any():  # noqa: PLR2004 - 3000 years
            raise RefusedInput(f"{name} is not a list of times: missing or impossible values")
        year, month, day = (int(x) for x in match["day"].split("-"))
        clock = ":".join(f"{int(x):02d}" for x in (match["clock"] or "0:0").split(":"))
        with refusing(f"the unit of {name}, {units!r}, names no day", (ValueError,)):
            origin = np.datetime64(f"{year:04d}-{month:02d}-{day:02d}T{clock}", "s")
        return origin + np.rint(seconds).astype("timedelta64[s]")

    def _raw(self, name: str, part: Any) -> NDArray[Any]:
        shape = self.shape(name)
        if part is ... and np.prod(shape, dtype=float) > _MOST:
            raise RefusedInput(f"{name} claims {shape} values: a damaged header")
        with refusing(_BROKEN):
            variable = self.variables[name]
            if isinstance(variable, h5py.Dataset):
                check_chunks(variable)
            raw = np.asarray(variable[part])
        if raw.dtype.kind not in "iuf":
            raise RefusedInput(f"{name} holds no numbers but {raw.dtype}")
        return raw.astype(raw.dtype.newbyteorder("="))


@contextmanager
def netcdf(path: Path, group: str = "") -> Iterator[NetCdf]:
    """Open a NetCDF file for the length of a block.

    Parameters
    ----------
    group : str, optional
        Of an HDF5 file: whose variables are wanted; default: those of the root.

    Raises
    ------
    RefusedInput
        When the file is no NetCDF file, broken or truncated.
    """
    kind = sniff(head(path))
    if kind is Format.HDF5:
        check_heaps(path)
        with refusing(_BROKEN):
            # h5py and not h5netcdf: the same bytes, a fifth of the time on many small files
            file = h5py.File(path, "r")
    elif kind is Format.NETCDF3:
        with (
            refusing("claims more values than memory holds: a damaged header", (MemoryError,)),
            refusing(_BROKEN),
        ):
            # without mmap the file can be closed while arrays of it live on
            file = netcdf_file(path, "r", mmap=False, maskandscale=False)
    else:
        raise RefusedInput(f"is {kind}, not a NetCDF file")
    try:
        with refusing(_BROKEN):
            if kind is Format.HDF5:
                place = file.get(group) if group else file
                if not isinstance(place, h5py.Group):
                    raise RefusedInput(f"has no group '{group}': cut, or of another version")
                items = {str(name): place[name] for name in place}
                variables = {k: v for k, v in items.items() if isinstance(v, h5py.Dataset)}
                groups = tuple(k for k in items if k not in variables)
                attributes: Mapping[str, Any] = file.attrs
            else:
                variables, groups, attributes = dict(file.variables), (), file._attributes  # noqa: SLF001
        yield NetCdf(variables, groups, attributes)
    finally:
        file.close()


def variables_of(path: Path) -> frozenset[str]:
    """Return the names of a NetCDF file's variables; none when it is broken or of another format."""
    try:
        state = path.stat()
    except OSError:
        return frozenset()
    return _variables(path, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=8)  # each of the readers asks for those of the same file
def _variables(path: Path, size: int, modified_ns: int) -> frozenset[str]:  # noqa: ARG001 - the key of the cache
    try:
        with netcdf(path) as file:
            return file.names
    except RefusedInput:
        return frozenset()


def _hdf5_dimensions(
    variable: h5py.Dataset, name: str, others: Mapping[str, Any]
) -> tuple[str, ...]:
    """Return the names of the scales attached to a dataset; a scale is its own dimension.

    Taken from what the scales say: the dataset's own list of them has lengths that the library allocates
    unseen, gigabytes when they are damaged.
    """
    if _is_scale(variable):
        return (name,)  # scales are one-dimensional
    names = [""] * variable.ndim
    for title, other in others.items():
        if not isinstance(other, h5py.Dataset) or not _is_scale(other):
            continue
        listed = other.attrs.get("REFERENCE_LIST")
        for place, axis in () if listed is None else listed:
            if 0 <= axis < variable.ndim and variable.file[place] == variable:
                names[axis] = title
    return tuple(names)


def _is_scale(variable: h5py.Dataset) -> bool:
    return bool(np.array_equal(variable.attrs.get("CLASS"), b"DIMENSION_SCALE"))
