"""All readers, and the question which of them a file is for."""

from __future__ import annotations

import csv
from typing import Final

from ingest.candidate import Candidate
from ingest.esri import is_ascii_grid
from ingest.hdf4 import hdf4
from ingest.hdfeos import short_name
from ingest.netcdf import netcdf
from ingest.reader import Identity, Reader
from ingest.sniff import Format, first_line, head, sniff
from ingest.sources import (
    amsr2,
    amsr_nn,
    cci,
    csdl,
    era5,
    hwsd,
    imerg,
    lai_reprocessed,
    ldas,
    modis_albedo,
    modis_lai,
    modis_land_cover,
    modis_lst,
    modis_lst21,
    modis_nadir,
    modis_reflectance,
    modis_vi,
    rasters,
    smap,
    smap_1km,
    smap_points,
    somo,
    srtm,
    terraclimate,
    viirs_vi,
    zones,
)
from ingest.stations import ismn, mapped, tables
from smcatalog.core.errors import RefusedInput, SmcatalogError

__all__ = ["READERS", "identify"]

READERS: Final[tuple[Reader, ...]] = (
    *smap.READERS,
    smap_points.READER,
    *era5.READERS,
    *rasters.READERS,
    *modis_lst.READERS,
    *modis_lst21.READERS,
    *modis_vi.READERS,
    *modis_albedo.READERS,
    *modis_land_cover.READERS,
    *modis_lai.READERS,
    lai_reprocessed.READER,
    *modis_reflectance.READERS,
    *modis_nadir.READERS,
    *viirs_vi.READERS,
    *srtm.READERS,
    hwsd.READER,
    csdl.READER,
    *cci.READERS,
    amsr_nn.READER,
    amsr2.READER,
    *imerg.READERS,
    *ldas.READERS,
    smap_1km.READER,
    somo.READER,
    terraclimate.READER,
    zones.READER,
    ismn.READER,
    tables.READER,
    mapped.READER,
)
"""Every reader; listed here a reader is tested by the contract."""

_SHOWN: Final = 12
_KINDS: Final = {
    Format.EMPTY: "is empty",
    Format.HTML: (
        "is an HTML page, not a granule: often a provider's login or error page; fetch the file again"
    ),
    Format.TIFF: "is a TIFF whose name matches none of the declared ones",
    Format.BINARY: "is of no known format",
}


def identify(candidate: Candidate) -> tuple[Reader, Identity]:
    """Find the reader of a file and the granule that it is.

    Raises
    ------
    RefusedInput
        With the reason: a problem met on the way to the file, a reader's refusal, or what the
        file is when no reader knows it.
    """
    if candidate.problem is not None:
        raise RefusedInput(candidate.problem)
    claims: list[tuple[Reader, Identity]] = []
    refusal: RefusedInput | None = None
    for reader in READERS:
        try:
            identity = reader.identify(candidate.path, candidate.delivered)
        except RefusedInput as error:
            refusal = refusal or error
            continue
        if identity is not None:
            claims.append((reader, identity))
    if len(claims) > 1:
        names = " and ".join(identity.source for _, identity in claims)
        raise SmcatalogError(f"{candidate.name} is claimed by {names}: a mistake in our readers")
    if claims:
        return claims[0]
    raise refusal or RefusedInput(_unknown(candidate))


def _unknown(candidate: Candidate) -> str:
    """Say what a file is that no reader knows."""
    start = head(candidate.path)
    kind = sniff(start)
    match kind:
        case Format.HDF5 | Format.NETCDF3:
            return _unknown_netcdf(candidate)
        case Format.HDF4:
            return _unknown_hdf4(candidate)
        case Format.TEXT:
            return _unknown_text(candidate, first_line(start))
        case Format.TIFF:
            return f"{_KINDS[kind]} ({candidate.delivered}): declare it in rasters.toml"
        case Format.BINARY:
            return f"{_KINDS[kind]}: it begins with the bytes {start[:8].hex(' ')}"
    return _KINDS.get(kind, f"is {kind}, and no source is delivered so")


def _unknown_netcdf(candidate: Candidate) -> str:
    try:
        with netcdf(candidate.path) as file:
            names = sorted(file.names) + [f"{group}/" for group in sorted(file.groups)]
    except RefusedInput as error:
        return error.reason
    product = short_name(candidate.path)
    if product:
        return f"is a granule of {product}, which is not read yet; it holds: {_listed(names)}"
    return f"is an HDF5/NetCDF file of no known source; it holds: {_listed(names)}"


def _unknown_hdf4(candidate: Candidate) -> str:
    try:
        with hdf4(candidate.path) as file:
            names = sorted(file.names)
    except RefusedInput as error:
        return error.reason
    product = short_name(candidate.path)
    what = f"is a granule of {product}, which is not read yet" if product else _NAMELESS
    return f"{what}; it holds: {_listed(names)}"


def _listed(names: list[str]) -> str:
    return (", ".join(names[:_SHOWN]) + (" …" if len(names) > _SHOWN else "")) or "nothing"


_NAMELESS: Final = (
    "is an HDF4 file that does not say which product it is (a subsetter dropped its "
    "CoreMetadata: fetch the whole granule)"
)


def _unknown_text(candidate: Candidate, line: str) -> str:
    found = next(csv.reader([line]), [])
    if candidate.delivered.lower().endswith(".csv"):
        expected = " or ".join(
            f"{', '.join(sorted(d.columns))} (named {d.pattern.pattern})"
            for d in tables.READER.declarations
        )
        return (
            "is a CSV whose header or name is not one of the declared ones: "
            f"found {', '.join(found)[:200]}; expected {expected}; or say what its columns mean in a "
            f"{candidate.delivered[:-4]}.toml beside it"
        )
    if is_ascii_grid(line.encode() + b"\n"):
        return (
            "is an Esri ASCII grid whose name matches none of the declared ones "
            f"({candidate.delivered}): declare it in rasters.toml"
        )
    return f"is text in no known format; it begins: {line[:60]!r}"
