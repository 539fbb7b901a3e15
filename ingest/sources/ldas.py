"""Soil water of land surface models driven by observed weather: GLDAS-2 Noah and FLDAS Noah, as NASA's archive delivers them.

GLDAS: 0.25 degrees, every three hours, water of each layer as mass on an area [kg m-2] at an instant, which stands for the three hours
around it; or monthly means. FLDAS: 0.1 degrees, monthly means [m3 m-3]; its coordinates are called X and Y. Water on an
area becomes a share of volume by the layer's thickness.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import numpy as np

from ingest.checks import within_range
from ingest.fields import Place, check_unit, instants, month_of
from ingest.netcdf import NetCdf, netcdf, variables_of
from ingest.reader import Identity, Yield
from smcatalog.core.errors import RefusedInput
from smcatalog.core.raster import Raster
from smcatalog.core.time import Period
from smcatalog.core.variables import variable

__all__ = ["READERS", "LandModel"]

_LAYER = re.compile(r"^SoilMoi0{0,2}(?P<top>\d+)_(?P<bottom>\d+)cm_(?P<kind>inst|tavg)$")
_LAYERS: Final = frozenset({(0, 10), (10, 40), (40, 100), (100, 200)})
"""Bounds of the model's layers [cm]."""
_MASS: Final = {"kg m-2", "kg/m2", "kg/m^2"}
_VOLUME: Final = {"m^3 m-3", "m3 m-3", "m^3/m^3", "m3/m3"}
_STEP: Final = timedelta(hours=3)
_MINUTES: Final = {"180": "3H"}
_SUFFIXES = re.compile(r"(?:\.(?:nc4?|SUB|dap))+$")


@dataclass(frozen=True, slots=True)
class LandModel:
    """Reader of one system's files.

    Parameters
    ----------
    system : {"GLDAS", "FLDAS"}
        Which.
    kind : {"inst", "tavg"}
        How its variables' names end.
    per_degree : int
        Cells a degree.
    """

    system: str
    kind: str
    per_degree: int

    @property
    def source(self) -> str:
        """Name of the product family."""
        return f"{self.system}-Noah"

    @property
    def title(self) -> str:
        """What the source is."""
        how = {"GLDAS": "three-hourly or monthly", "FLDAS": "monthly"}[self.system]
        return f"{self.system} Noah land surface model, soil moisture of its layers, {1 / self.per_degree:g} degrees, {how}"

    def identify(self, path: Path, name: str) -> Identity | None:
        """Recognise a file by the names of its layers.

        Raises
        ------
        RefusedInput
            When it does not say its step, or its name and time differ.
        """
        layers = self._layers(variables_of(path))
        if not layers:
            return None
        for one, bounds in layers.items():
            if (int(bounds["top"]), int(bounds["bottom"])) not in _LAYERS:
                raise RefusedInput(
                    f"has {one}, which is no layer of Noah's: of another model, and not read"
                )
        with netcdf(path) as file:
            match = self._name.match(name)
            times = instants(file)
            if len(times) != 1:
                raise RefusedInput(f"holds {len(times)} times, expected one: files joined")
            (instant,) = times
            told = (
                match["step"]
                if match
                else _MINUTES.get(str(file.attribute("time", "time_increment")))
            )
        if told not in {"3H", "M"} or (told == "3H" and self.system == "FLDAS"):
            raise RefusedInput(
                f"does not say whether it is of three hours or of a month: restore the provider's name ({self.system}_NOAH…)"
            )
        period = (
            month_of(instant.date())
            if told == "M"
            else Period(instant - _STEP / 2, instant + _STEP / 2)
        )
        stem = _SUFFIXES.sub("", name)
        if match is None:
            return Identity(self.source, stem, period)
        self._check_name(match, instant)
        early = "early" if match["early"] else "main"
        subject = f"{self.source}-{told}.A{match['day']}.{match['hour'] or ''}"
        return Identity(self.source, match.group(), period, subject, f"{match['version']} {early}")

    @property
    def _name(self) -> re.Pattern[str]:
        return re.compile(
            rf"^{self.system}_NOAH\d+(?:_C_GL|_A_\w\w_D|_G_\w\w_D)?_(?P<step>3H|M|D)(?P<early>_EP)?\.A(?P<day>\d{{6}}(?:\d\d)?)"
            r"(?:\.(?P<hour>\d{4}))?\.(?P<version>\d{3})"
        )

    def _check_name(self, match: re.Match[str], instant: datetime) -> None:
        """Refuse a file whose name says another time than it holds."""
        told = match["day"] + (match["hour"] or "")
        form = {6: "%Y%m", 8: "%Y%m%d", 12: "%Y%m%d%H%M"}.get(len(told), "%Y%m%d%H%M")
        if instant.strftime(form) != told:
            raise RefusedInput(
                f"its name says {told}, its time {instant:%Y-%m-%d %H:%M}: files mixed up"
            )

    def _layers(self, names: frozenset[str]) -> dict[str, re.Match[str]]:
        found = {name: _LAYER.match(name) for name in sorted(names)}
        return {name: m for name, m in found.items() if m is not None and m["kind"] == self.kind}

    def read(self, path: Path, identity: Identity) -> Iterator[Yield]:
        """Yield the soil moisture of each layer, called ``sm_0_10cm`` and so on.

        Raises
        ------
        RefusedInput
            When it is in another unit, of other layers, or on other cells.
        """
        with netcdf(path) as file:
            place = Place.of(file, per_degree=self.per_degree)
            for name, match in sorted(
                self._layers(file.names).items(), key=lambda item: int(item[1]["top"])
            ):
                top, bottom = int(match["top"]), int(match["bottom"])
                target = variable(f"sm_{top}_{bottom}cm")
                values = place.read(file, name) * self._share(file, name, bottom - top)
                found = within_range(values, target).astype(np.float32)
                yield Raster.good(target, place.grid, found, identity.period)

    def _share(self, file: NetCdf, name: str, centimetres: int) -> float:
        """Return the volume of water in a volume of soil that a stored one stands for."""
        own = {"inst": _MASS, "tavg": _VOLUME}[self.kind]
        unit = check_unit(file, name, own | _MASS | _VOLUME)
        if unit is None:
            raise RefusedInput(f"{name} does not say its unit, expected {max(own)}")
        # a kilogram on a square metre is a millimetre of water
        return 1 / (10 * centimetres) if unit in _MASS else 1.0


READERS: Final = (LandModel("GLDAS", "inst", 4), LandModel("FLDAS", "tavg", 10))
