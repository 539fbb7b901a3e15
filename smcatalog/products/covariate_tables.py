"""Reading a product's covariates from TOML."""

from __future__ import annotations

import re
from typing import Final

from smcatalog.core.variables import Averaging, Kind, variable
from smcatalog.products.covariates import Accept, Covariate, TimeRule
from smcatalog.products.tables import Table, read_variable

__all__ = ["read_covariates"]

_MAX_AGE_DAYS: Final = 16
"""One composite of MODIS may be late."""
_WITHIN_DAYS: Final = {
    TimeRule.CENTRED_MEAN: 6,
    TimeRule.INTERPOLATED: 15,
    TimeRule.SMOOTHED: 15,
}
"""Days on either side when the definition does not say: after Xu et al. (2024), sections 2.2.4 and 3.1."""
_FURTHEST: Final = 60
_FOR_CLASSES: Final = (TimeRule.STATIC, TimeRule.DAY, TimeRule.HOLDING)
_BETWEEN: Final = frozenset({TimeRule.INTERPOLATED, TimeRule.SMOOTHED})
_GROUP: Final = re.compile(r"^[a-z][a-z0-9_]{0,29}$")
_LONGEST_DAYS: Final = 366
"""Days that a covariate may sum up."""


def read_covariates(top: Table) -> tuple[Covariate, ...]:
    """Return the covariates of a definition.

    Parameters
    ----------
    top : Table
        The whole file.

    Raises
    ------
    DefinitionError
        When one is wrong; the message gives line, key and what was expected.
    """
    tables = top.get("covariates", list, "one or more [[covariates]]")
    if not tables:
        raise top.error("covariates", "one or more [[covariates]]")
    found = []
    for number, values in enumerate(tables, 1):
        table = Table(values, f"covariates#{number}", top.text, top.file)
        table.check_keys(
            ("variable", "source", "time", "accept", "max_age_days", "days",
             "within_days", "half_width", "order", "classes")
        )  # fmt: skip
        rule = table.choice("time", TimeRule)
        if "max_age_days" in values and rule is not TimeRule.HOLDING:
            raise table.error("max_age_days", f"left out, or time '{TimeRule.HOLDING}'")
        age = table.count(
            "max_age_days",
            "a number of days, 0 or more",
            least=0,
            default=_MAX_AGE_DAYS if rule is TimeRule.HOLDING else 0,
        )
        source = table.get("source", str, "the name of a source")
        accept = table.choice("accept", Accept, Accept.RETRIEVED)
        days = _days(table, rule)
        name = read_variable(table)
        _check_rule(table, name, rule)
        around = _around(table, rule)
        classes = _classes(table, name)
        found.append(Covariate(name, source, rule, accept, age, days, *around, classes))
    if len({name for c in found for name in c.features}) != sum(len(c.features) for c in found):
        raise top.error("covariates", "of different variables, or sums of one over different days")
    return tuple(found)


def _check_rule(table: Table, name: str, rule: TimeRule) -> None:
    kind = variable(name)
    if kind.kind is Kind.CLASSES and rule not in _FOR_CLASSES:
        listed = ", ".join(f"'{one}'" for one in _FOR_CLASSES)
        raise table.error("time", f"one of {listed}: {name} is of classes")
    if kind.averaging is not Averaging.VALUE and rule in _BETWEEN:
        expected = f"not '{rule}': values of {name} are not averaged as they are"
        raise table.error("time", expected)


def _around(table: Table, rule: TimeRule) -> tuple[int, int, int]:
    """Return within_days, half_width and order."""
    rules = {
        "within_days": (TimeRule.CENTRED_MEAN, TimeRule.INTERPOLATED, TimeRule.SMOOTHED),
        "half_width": (TimeRule.SMOOTHED,),
        "order": (TimeRule.SMOOTHED,),
    }
    defaults = {"within_days": _WITHIN_DAYS.get(rule, 0), "half_width": 5, "order": 4}
    found = []
    for key, allowed in rules.items():
        if rule not in allowed:
            if key in table.values:
                listed = " or ".join(f"'{one}'" for one in allowed)
                raise table.error(key, f"left out, or time {listed}")
            found.append(0)
            continue
        number = table.count(key, "a number from 1 to 60", least=1, default=defaults[key])
        if number > _FURTHEST:
            raise table.error(key, "a number from 1 to 60")
        found.append(number)
    within, half, order = found
    if half and order > 2 * half:
        raise table.error(
            "order", f"at most {2 * half}: the polynomial goes through {2 * half + 1} days"
        )
    return within, half, order


def _classes(table: Table, name: str) -> tuple[tuple[str, tuple[int, ...]], ...]:
    if "classes" not in table.values:
        return ()
    kind = variable(name)
    if kind.kind is not Kind.CLASSES:
        raise table.error("classes", f"left out: {name} is not of classes")
    low, high = int(kind.valid_min), int(kind.valid_max)
    expected = f"groups of classes from {low} to {high}, as in {{forest = [1, 2]}}, each class in one group at most"
    groups = table.get("classes", dict, expected)
    numbers = [n for held in groups.values() if isinstance(held, list) for n in held]
    right = (
        groups
        and all(
            _GROUP.match(group) and held and isinstance(held, list)
            for group, held in groups.items()
        )
        and all(type(n) is int and low <= n <= high for n in numbers)
        and len(set(numbers)) == len(numbers)
    )
    if not right:
        raise table.error("classes", expected)
    return tuple((group, tuple(held)) for group, held in groups.items())


def _days(table: Table, rule: TimeRule) -> float | None:
    if rule not in {TimeRule.WINDOW_SUM, TimeRule.ANTECEDENT}:
        if "days" in table.values:
            raise table.error(
                "days", f"left out, or time '{TimeRule.WINDOW_SUM}' or '{TimeRule.ANTECEDENT}'"
            )
        return None
    if rule is TimeRule.WINDOW_SUM:
        expected = f"a whole number of days from 1 to {_LONGEST_DAYS}"
        days = float(table.get("days", int, expected))
    else:
        expected = f"a number of days above 0, at most {_LONGEST_DAYS}"
        days = table.get("days", float, expected)
    if not 0 < days <= _LONGEST_DAYS:
        raise table.error("days", expected)
    return days
