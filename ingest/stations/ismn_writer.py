"""Stations of the simulated world as a download from the International Soil Moisture Network.

One zip: a folder for each station with a *header and values* file for each sensor and the soil and cover of
the place, as the network adds them; an explanation and a description beside.
"""

from __future__ import annotations

import zipfile
from datetime import date
from pathlib import Path
from typing import Final

import numpy as np

from ingest.world.landscape import Landscape
from ingest.world.sensors import Readings, Record, Sensor, Station, read, stations
from ingest.world.state import DayState
from ingest.world.writer import MakeWriter, delivery

__all__ = ["WRITER", "IsmnWriter"]

_MISSING: Final = -9999
_TREES, _CROPS, _GRASS = 60, 20, 130
"""Classes of the ESA CCI land cover map: broadleaved trees, irrigated cropland, grassland."""
_COVERS: Final = {_TREES: "Tree cover, broadleaved, deciduous", _CROPS: "Cropland, irrigated",
                  _GRASS: "Grassland"}  # fmt: skip
_COLUMNS: Final = (
    "quantity_name;unit;depth_from[m];depth_to[m];value;description;quantity_source_name;"
    "quantity_source_description;quantity_source_provider;quantity_source_version;"
    "quantity_source_resolution;quantity_source_timerange;quantity_source_url;"
)
_README: Final = """\
Simulated stations, in the layout of a download from the International Soil Moisture Network
(variables stored in separate files, header + values).

Nothing in this archive was measured: network {network}, region "{title}", seed {seed},
{first} to {last}. The truth of the same world tells each sensor's defects.
"""
_METADATA: Final = """\
<?xml version="1.0"?>
<gmd:MD_Metadata xmlns:gco="http://www.isotc211.org/2005/gco" \
xmlns:gmd="http://www.isotc211.org/2005/gmd">
    <gmd:fileIdentifier>
        <gco:CharacterString>Metadata</gco:CharacterString>
    </gmd:fileIdentifier>
    <gmd:identificationInfo>
        <gmd:MD_DataIdentification>
            <gmd:abstract>
                <gco:CharacterString>Simulated soil moisture, network {network}</gco:CharacterString>
            </gmd:abstract>
        </gmd:MD_DataIdentification>
    </gmd:identificationInfo>
</gmd:MD_Metadata>
"""
_STAMP: Final = (1980, 1, 1, 0, 0, 0)
"""Time of the files in the zip: the same bytes at every run."""


class IsmnWriter:
    """Collects the stations' hours and writes the archive at the end.

    Parameters
    ----------
    land : Landscape
        Where the stations stand.
    folder : Path
        Where ``Data_separate_files_header_<first>_<last>_<network>.zip`` goes.
    """

    def __init__(self, land: Landscape, folder: Path) -> None:
        self._land = land
        self._folder = folder
        self._record = Record(stations(land))

    def day(self, state: DayState) -> None:
        """Take a day's hours."""
        self._record.add(state)

    def end(self) -> None:
        """Write the archive; without a day there is none."""
        days = self._record.days
        if not days:
            return
        network = self._land.preset.network
        name = f"Data_separate_files_header_{days[0]:%Y%m%d}_{days[-1]:%Y%m%d}_{network}.zip"
        words = {
            "network": network, "title": self._land.preset.title, "seed": self._land.seed,
            "first": days[0], "last": days[-1],
        }  # fmt: skip
        with delivery(self._folder / name) as path, zipfile.ZipFile(path, "w") as out:
            for index, station in enumerate(self._record.stations):
                self._station(out, index, station)
            _add(out, "Metadata.xml", _METADATA.format(**words))
            _add(out, "Readme.txt", _README.format(**words))

    def _station(self, out: zipfile.ZipFile, index: int, station: Station) -> None:
        network, name = station.site.network, station.site.station
        start = f"{network}/{name}/{network}_{network}_{name}"
        days = self._record.days
        for sensor in station.sensors:
            readings = read(self._land, self._record, index, sensor)
            text = "".join([_header(station, sensor), *_lines(readings)])
            _add(out, f"{start}_sm_{_measures(sensor, days[0], days[-1])}.stm", text)
        _add(out, f"{start}_static_variables.csv", _static(self._land, station))


def _add(out: zipfile.ZipFile, name: str, text: str) -> None:
    member = zipfile.ZipInfo(name, _STAMP)
    member.create_system, member.external_attr = 3, 0o100644 << 16
    out.writestr(member, text.encode("ascii"), zipfile.ZIP_DEFLATED, compresslevel=6)


def _measures(sensor: Sensor, first: date, last: date) -> str:
    """Return the part of a file's name that says what it holds: depths, instrument, days."""
    instrument = sensor.instrument.replace(" ", "-")
    return f"{sensor.depth.top:.6f}_{sensor.depth.bottom:.6f}_{instrument}_{first:%Y%m%d}_{last:%Y%m%d}"


def _header(station: Station, sensor: Sensor) -> str:
    site = station.site
    return (
        f"{site.network:<10} {site.network:<10} {site.station:<15} {site.latitude:9.5f} "
        f"{site.longitude:10.5f} {site.elevation or 0:8.1f} {sensor.depth.top:.4f} "
        f"{sensor.depth.bottom:.4f} {sensor.instrument}\n"
    )


def _lines(readings: Readings) -> list[str]:
    stamps = np.char.replace(np.datetime_as_string(readings.times, unit="m"), "-", "/")
    stamps = np.char.replace(stamps, "T", " ")
    return [
        f"{stamp} {_MISSING} M M\n" if flag == "M" else f"{stamp} {value:.4f} {flag} M\n"
        for stamp, value, flag in zip(
            stamps.tolist(), readings.values.tolist(), readings.flags.tolist(), strict=True
        )
    ]


def _static(land: Landscape, station: Station) -> str:
    """Return the soil and cover of a station, as the network takes them from maps."""
    at = station.row, station.column
    sand, clay = (round(100 * float(x[at])) for x in (land.sand, land.clay))
    soil = (
        ("saturation", "m^3*m^-3", station.saturation),
        ("clay fraction", "% weight", clay),
        ("sand fraction", "% weight", sand),
        ("silt fraction", "% weight", 100 - sand - clay),
    )
    source = "SIM;Soil of the simulated world;SIM;1;1km;;;"
    lines = [f"{name};{unit};0.00;0.30;{value:.2f};;{source}" for name, unit, value in soil]
    share = {_TREES: float(land.woody[at]), _CROPS: float(land.irrigated[at])}
    most = max(share, key=lambda cover: share[cover])
    cover = most if share[most] > 0.5 else _GRASS  # noqa: PLR2004 - half of the cell
    lines += [
        f"land cover classification;;;;{cover};{_COVERS[cover]};CCI_landcover_{year};"
        f"Cover of the simulated world;SIM;{year};1km;;;"
        for year in (2000, 2005, 2010)
    ]
    return "\n".join([_COLUMNS, *lines]) + "\n"


WRITER: Final[MakeWriter] = IsmnWriter
