"""SoMo.ml: soil moisture that a network learned from stations, 0.25 degrees, daily, three layers: O and Orth (2021).

NetCDF, a file for each layer and year (``SoMo.ml_v1_layer1_2000.nc``): ``layer1`` (0 to 10 cm), ``layer2`` (10 to 30) or
``layer3`` (30 to 50) over time, latitude and longitude, in m3 m-3. Its cells are those of its forcing, ERA5: their
centres, not their edges, lie on multiples of a quarter of a degree, and any regular grid is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Final

import numpy as np

from ingest.checks import within_range
from ingest.fields import Place, check_unit, instants
from ingest.netcdf import netcdf, variables_of
from ingest.reader import Identity, Yield
from smcatalog.core.errors import RefusedInput
from smcatalog.core.raster import Raster
from smcatalog.core.time import Period
from smcatalog.core.variables import variable

__all__ = ["READER", "SoMo"]

_NAME = re.compile(r"^SoMo\.ml_v(?P<version>[\d.]*\d)_layer(?P<layer>[123])_(?P<year>\d{4})")
_LAYERS: Final = {"layer1": "sm_0_10cm", "layer2": "sm_10_30cm", "layer3": "sm_30_50cm"}
_UNITS: Final = {"m3 m-3", "m3/m3", "m^3/m^3", "m3 m^-3", "m^3 m^-3", "m³/m³"}


@dataclass(frozen=True, slots=True)
class SoMo:
    """Reader of a layer's year."""

    @property
    def source(self) -> str:
        """Name of the product family."""
        return "SoMo.ml"

    @property
    def title(self) -> str:
        """What the source is."""
        return "SoMo.ml soil moisture of 0-10, 10-30 and 30-50 cm, 0.25 degrees, daily, O and Orth (2021)"

    def identify(self, path: Path, name: str) -> Identity | None:
        """Recognise the variable of a layer; the days come from inside.

        Raises
        ------
        RefusedInput
            When its name says another layer or year.
        """
        held = variables_of(path) & _LAYERS.keys()
        if len(held) != 1:
            return None
        (layer,) = held
        with netcdf(path) as file:
            days = _days(instants(file))
        period = Period.of_days(days[0], days[-1])
        match = _NAME.match(name)
        if match is None:
            return Identity(self.source, name.removesuffix(".nc"), period)
        years = {day.year for day in (days[0], days[-1])}
        if f"layer{match['layer']}" != layer or years != {int(match["year"])}:
            raise RefusedInput(
                f"its name says layer{match['layer']} of {match['year']}, inside it is {layer} from {days[0]} to "
                f"{days[-1]}: files mixed up"
            )
        subject = f"SoMo.ml_{layer}_{match['year']}"
        return Identity(self.source, match.group(), period, subject, match["version"])

    def read(self, path: Path, identity: Identity) -> Iterator[Yield]:  # noqa: ARG002 - the protocol's shape
        """Yield the layer's soil moisture of each day; days without any value are left out.

        Raises
        ------
        RefusedInput
            When it is in another unit, or holds nothing.
        """
        with netcdf(path) as file:
            (layer,) = file.names & _LAYERS.keys()
            check_unit(file, layer, _UNITS)
            place, target = Place.of(file), variable(_LAYERS[layer])
            empty = True
            for step, day in enumerate(_days(instants(file))):
                values = place.read(file, layer, step)
                if np.isnan(values).all():
                    continue
                empty = False
                found = within_range(values, target).astype(np.float32)
                yield Raster.good(target, place.grid, found, Period.of_day(day))
        if empty:
            raise RefusedInput("holds no soil moisture at all: nothing but fill")


def _days(times: list[datetime]) -> list[date]:
    days = [time.date() for time in times]
    if len(set(days)) != len(days):
        raise RefusedInput("holds the same day more than once: files joined by mistake")
    return days


READER: Final = SoMo()
