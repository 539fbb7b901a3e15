"""GeoPackages and shapefiles: whether they are whole, and their one layer of features."""

from __future__ import annotations

import os
import sqlite3
import struct
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from numpy.typing import NDArray
from pyproj import CRS
from pyproj.exceptions import CRSError

from ingest.companions import companions
from ingest.refusal import DAMAGE, refusing
from ingest.sniff import Format, head, sniff
from smcatalog.core.errors import RefusedInput

__all__ = ["Features", "is_vector", "read_features"]

_HEADER: Final = 100
"""Bytes of the header of an SQLite database, of a .shp and of a .shx."""
_TABLE: Final = 32
"""Bytes of the header of a .dbf."""
_APPLICATIONS: Final = frozenset({b"GPKG", b"GP10", b"GP11"})
_NEEDED: Final = (".shx", ".dbf", ".prj")
_BROKEN: Final = "is a damaged GeoPackage or shapefile"


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """A layer of features.

    Parameters
    ----------
    crs : pyproj.CRS
        Geographic or projected.
    wkb : ndarray of object, shape (n,)
        Geometries as well-known binary, None where there is none; x or longitude first.
    columns : dict of str to ndarray, shape (n,)
        Attributes by their names.
    """

    crs: CRS
    wkb: NDArray[Any]
    columns: dict[str, NDArray[Any]]


def is_vector(path: Path, name: str) -> bool:
    """Say whether a file is a GeoPackage or the main file of a shapefile.

    Parameters
    ----------
    name : str
        Under which it was delivered.

    Raises
    ------
    RefusedInput
        When it is one and truncated, or parts of it are missing.
    """
    match sniff(head(path)):
        case Format.SQLITE:
            return _is_geopackage(path)
        case Format.SHAPEFILE if name.lower().endswith(".shx"):
            raise RefusedInput("is the index of a shapefile whose .shp is missing beside it")
        case Format.SHAPEFILE:
            _check_shapefile(path, name)
            return True
    return False


def read_features(path: Path, name: str) -> Features:
    """Read the one layer of features of a GeoPackage or shapefile.

    Raises
    ------
    RefusedInput
        When it is damaged, has no layer of features or several, or no known coordinate system.
    """
    geopackage = sniff(head(path)) is Format.SQLITE
    if geopackage:
        layer, key = _only_layer(path)
        how: dict[str, Any] = {"layer": layer, "IMMUTABLE": "YES"}
    else:
        key, how = "", {"encoding": "UTF-8"} if _says_no_encoding(path) else {}
    meta, fids, wkb, fields = _read(path, how)
    columns = dict(zip((str(field) for field in meta["fields"]), fields, strict=True))
    if key:
        columns.setdefault(key, fids)
    if not len(wkb):
        raise RefusedInput("holds no feature")
    return Features(_crs(meta["crs"], name), wkb, columns)


def _read(path: Path, how: dict[str, Any]) -> tuple[dict[str, Any], Any, Any, list[Any]]:
    from pyogrio import raw  # noqa: PLC0415 - slow to load

    with _room(path) as alias, warnings.catch_warnings(), refusing(_BROKEN):
        # GDAL warns of rings that turn the other way, which it mends, and of the like
        warnings.simplefilter("ignore", RuntimeWarning)
        try:
            found = raw.read(alias, return_fids=True, force_2d=True, **how)
        except UnicodeDecodeError as error:
            raise RefusedInput(
                "has text that is not UTF-8: name its encoding in a .cpg file beside the .shp, for "
                "example with the one word GBK"
                if "encoding" in how
                else "has text that is not in the encoding it states"
            ) from error
        except UnboundLocalError as error:  # pyogrio's, as of version 0.13
            raise RefusedInput("has a .prj that is not text: it is damaged") from error
    meta, fids, wkb, fields = found
    return meta, fids, wkb, fields


@contextmanager
def _room(path: Path) -> Iterator[Path]:
    """Lend the file and its companions under names that GDAL cannot misunderstand, nothing else beside."""
    with tempfile.TemporaryDirectory(prefix="smcatalog-vector-") as folder:
        room = Path(folder)
        parts = _parts(path)
        main = room / ("zones.shp" if parts else "zones.gpkg")
        main.symlink_to(path.absolute())
        for suffix, part in parts.items():
            (room / f"zones{suffix}").symlink_to(part.absolute())
        yield main


def _parts(path: Path) -> dict[str, Path]:
    """Return what lies beside a .shp and belongs to it, by suffix in lower case."""
    names = companions(path.name, (beside.name for beside in path.parent.iterdir()))
    return {name.lower()[len(path.stem.lower()) :]: path.parent / name for name in names}


def _check_shapefile(path: Path, name: str) -> None:
    parts = _parts(path)
    stem = name[: -len(".shp")] if name.lower().endswith(".shp") else name
    if missing := [suffix for suffix in _NEEDED if suffix not in parts]:
        listed = " and ".join(f"{stem}{suffix}" for suffix in missing)
        reason = f"comes without {listed}: the parts of a shapefile belong into one folder or zip"
        if missing == [".prj"]:
            reason = (
                f"comes without {listed}, so its coordinate system is unknown: put it there, or state it "
                f"with ogr2ogr -a_srs EPSG:4326 {stem}.gpkg {stem}.shp (if that is the one)"
            )
        raise RefusedInput(reason)
    _check_length(path, f"{stem}.shp")
    records = (_check_length(parts[".shx"], f"{stem}.shx") - _HEADER) // 8
    table, size = head(parts[".dbf"], _TABLE), parts[".dbf"].stat().st_size
    count, header, record = (
        struct.unpack("<IHH", table[4:12]) if len(table) == _TABLE else (0, 0, 0)
    )
    if size < max(header + count * record, _TABLE):
        raise RefusedInput(f"is truncated: {stem}.dbf ends after {size} bytes")
    if count != records:
        raise RefusedInput(
            f"contradicts itself: {stem}.dbf states {count} records, {stem}.shx {records}; its parts are "
            "damaged or do not belong together"
        )


def _check_length(part: Path, name: str) -> int:
    """Return the bytes that a .shp or .shx states that it has."""
    start, size = head(part, _HEADER), part.stat().st_size
    if sniff(start) is not Format.SHAPEFILE:
        raise RefusedInput(f"is damaged: {name} does not begin as a part of a shapefile does")
    stated = 2 * int(struct.unpack(">i", start[24:28])[0]) if len(start) == _HEADER else 0
    if size < max(stated, _HEADER):
        raise RefusedInput(f"is truncated: {name} ends after {size} bytes")
    if stated < _HEADER:
        raise RefusedInput(f"is damaged: {name} states that it has {stated} bytes")
    return stated


def _says_no_encoding(path: Path) -> bool:
    """Say whether neither a .cpg nor the table's own mark tells how a shapefile writes text."""
    parts = _parts(path)
    return ".cpg" not in parts and head(parts[".dbf"], _TABLE)[29:30] in {b"", b"\0"}


def _is_geopackage(path: Path) -> bool:
    start = head(path, _HEADER)
    with refusing("cannot be read", (OSError,)):
        size = path.stat().st_size
    ours = start[68:72] in _APPLICATIONS
    page = int.from_bytes(start[16:18], "big")
    pages = int.from_bytes(start[28:32], "big") if start[24:28] == start[92:96] else 0
    if ours and (len(start) < _HEADER or pages * (page if page > 1 else 1 << 16) > size):
        raise RefusedInput(f"is a truncated GeoPackage: it states {pages} pages, more than it has")
    if ours:
        return True
    try:
        with closing(_opened(path)) as database:
            return bool(_layers(database))
    except (sqlite3.Error, RefusedInput):
        return False


def _opened(path: Path) -> sqlite3.Connection:
    """Open a database so that nothing is written and nothing beside it is looked at."""
    return sqlite3.connect(
        f"file:{quote(os.fsencode(path.absolute()))}?mode=ro&immutable=1", uri=True
    )


def _layers(database: sqlite3.Connection) -> list[str]:
    rows = database.execute(
        "SELECT table_name FROM gpkg_contents WHERE data_type = 'features' ORDER BY table_name"
    )
    return [str(name) for (name,) in rows]


def _only_layer(path: Path) -> tuple[str, str]:
    """Return the name of a GeoPackage's one layer of features and of its key."""
    for suffix in ("-wal", "-journal"):
        beside = path.with_name(path.name + suffix)
        if beside.is_file() and beside.stat().st_size:
            raise RefusedInput(
                f"is not complete: {beside.name} beside it holds changes; close the program that made them"
            )
    with refusing(_BROKEN, (*DAMAGE, sqlite3.Error)), closing(_opened(path)) as database:
        fault = str(database.execute("PRAGMA quick_check(1)").fetchone()[0])
        layers = _layers(database) if fault == "ok" else []
        keys = database.execute(
            "SELECT name FROM pragma_table_info(?) WHERE pk = 1", layers[:1] or [""]
        ).fetchone()
    if fault != "ok":
        raise RefusedInput(f"is a truncated or damaged GeoPackage ({' '.join(fault.split())})")
    if not layers:
        raise RefusedInput("is a GeoPackage without a layer of features")
    if len(layers) > 1:
        raise RefusedInput(
            f"has {len(layers)} layers of features ({', '.join(layers[:8])}): deliver each in a "
            "file of its own"
        )
    return layers[0], "" if keys is None else str(keys[0])


def _crs(text: str | None, name: str) -> CRS:
    try:
        crs = CRS.from_user_input(text) if text else None
    except CRSError:
        crs = None
    undefined = crs is None or crs.name.lower().startswith(("undefined", "unknown", "unnamed"))
    if crs is None or (undefined and not crs.is_projected):
        raise RefusedInput(
            "names no coordinate system that is known: state it with ogr2ogr -a_srs EPSG:4326 (if that is "
            f"the one) into a new {name}.gpkg"
        )
    if not (crs.is_projected or crs.is_geographic):
        raise RefusedInput(
            f"is in the coordinate system '{crs.name}', which names no place on Earth: bring {name} to one "
            "that does (ogr2ogr -s_srs ... -t_srs EPSG:4326)"
        )
    return crs
