"""What is read of the reanalyses: names in the files, units, and how hours make a day."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from smcatalog.core.variables import Variable, variable

__all__ = ["FIELDS", "LAND", "Field", "Rule"]


class Rule(StrEnum):
    """How the hours of a day become its value."""

    MEAN = "mean"
    """Of the states at 00, 01 … 23 UTC."""
    SUM = "sum"
    """Of what came in the 24 hours that end at 01, 02 … 24 UTC."""


@dataclass(frozen=True, slots=True)
class Field:
    """A variable of the files.

    Parameters
    ----------
    name : str
        In the files.
    variable : Variable
        What a day's value is stored as.
    units : frozenset of str
        Spellings of the unit that is expected.
    factor, offset : float
        ``value = factor * stored + offset`` in the variable's unit, for a whole day.
    rule : Rule
        How hours make a day.
    slack : float
        In the file's unit: by so much the model's numerics and packing may leave what cannot be negative
        below zero; that is zero.
    grows : bool
        Whether it only ever adds up, so that totals since midnight cannot fall.
    """

    name: str
    variable: Variable
    units: frozenset[str]
    factor: float = 1.0
    offset: float = 0.0
    rule: Rule = Rule.MEAN
    slack: float = 0.0
    grows: bool = False


_WATER: Final = frozenset({"m**3 m**-3", "m3 m-3"})
_AREA: Final = frozenset({"m**2 m**-2", "m2 m-2"})
_KELVIN: Final = frozenset({"K"})
_DEPTH: Final = frozenset({"m", "m of water equivalent"})
_ENERGY: Final = frozenset({"J m**-2", "J m-2"})
_ZERO_CELSIUS: Final = -273.15
_MM: Final = 1000.0

FIELDS: Final = {
    field.name: field
    for field in (
        # dry ground a little below zero was seen: -0.0025
        *(Field(f"swvl{n}", variable(f"swvl{n}"), _WATER, slack=0.01) for n in (1, 2, 3, 4)),
        *(Field(f"stl{n}", variable(f"stl{n}"), _KELVIN) for n in (1, 2, 3, 4)),
        Field("t2m", variable("air_temperature"), _KELVIN, offset=_ZERO_CELSIUS),
        Field("d2m", variable("dew_point"), _KELVIN, offset=_ZERO_CELSIUS),
        Field("lai_hv", variable("lai_high"), _AREA, slack=0.01),
        Field("lai_lv", variable("lai_low"), _AREA, slack=0.01),
        Field("tp", variable("precipitation"), _DEPTH, _MM, rule=Rule.SUM, slack=1e-5, grows=True),
        # fluxes count downwards there: what the ground loses is negative
        Field("e", variable("evaporation"), _DEPTH, -_MM, rule=Rule.SUM),
        Field("pev", variable("potential_evaporation"), _DEPTH, -_MM, rule=Rule.SUM),
        Field("ssrd", variable("solar_radiation"), _ENERGY, 1e-6, rule=Rule.SUM, slack=1e3, grows=True),
    )
}  # fmt: skip
"""By the name in the files."""

LAND: Final = Field("lsm", variable("lsm"), frozenset({"(0 - 1)", "1", "0-1", ""}))
"""The land fraction, which never changes; files may repeat it for each hour."""
