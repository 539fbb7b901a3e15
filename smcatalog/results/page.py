"""docs/results.md from the answers of commands: every number in it is theirs."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from smcatalog.results.entries import ENTRIES
from smcatalog.results.learned import at_later_observations, blocks, learners
from smcatalog.results.tables import (
    SCORES,
    TITLES,
    count,
    mean_of,
    moisture,
    ratio,
    scores_row,
    table,
    worse,
)

__all__ = ["STATIONS", "page", "product_section", "stations_section"]

STATIONS: Final = "yanco"
"""Name of the section on real stations."""
_MARK: Final = re.compile(r"^<!-- results: ([a-z0-9-]+) -->$", re.MULTILINE)
_END: Final = "end"
_COARSE: Final = "coarse"
_ALONE: Final = "random_forest on coarse alone"
_SUBJECTS: Final = {
    "map": "map", "coarse": "coarse laid flat", "map, all": "map, all its pixels",
}  # fmt: skip
_FILES: Final = (
    "Real files: SMAP at 36 km, ERA5, terrain and soil, and stations around Yanco, {first} to {last}; {refused} files "
    "refused. Each learner, with the parameters it has by itself, is fitted to the covariates and the coarse value at "
    "all other stations. Two baselines come first: the coarse product as it is, and a random forest that sees nothing "
    "but it."
)
_SHARED: Final = (
    "Stations in one coarse cell have the same coarse value on a day: by it a learner may know what the neighbours "
    "observed that day. So all stations of a cell are left out together, too:"
)
_INTRO: Final = """\
# Results

Made by `scripts/results`; nothing is written in here by hand. A section says by which command it was made, and the
same command makes the same numbers. They are as they came: where a product loses, it says so.

Of simulated worlds (docs/simulated-world.md) the truth at 1 km is known. Nobody measured any of it: their figures say what a
method does with such a world, not how good a map of the real one is. The papers' figures come from their authors' data, which
are not here; they stand beside to compare with.

Bias is estimate minus truth (or station, or coarse value); bias, RMSE and ubRMSE are in m³ m⁻³. "Coarse laid flat" is the coarse
product at 1 km without any method, at the same pixels and days as the map. "Worse in" names the scores in which a map is worse than
that, by however little: a larger RMSE or ubRMSE, a bias further from 0, a smaller R.
"""


def page(sections: Mapping[str, str], before: str = "") -> str:
    """Return the whole page.

    Parameters
    ----------
    sections : mapping of str to str
        New sections by name: an entry's or `STATIONS`.
    before : str
        The page as it was: its sections stay where there is no new one.
    """
    found = {**_sections(before), **sections}
    names = [name for name in (*ENTRIES, STATIONS) if name in found]
    parts = [_INTRO.strip()]
    parts += [f"<!-- results: {name} -->\n\n{found[name].strip()}" for name in names]
    return "\n\n".join([*parts, f"<!-- results: {_END} -->"]) + "\n"


def _sections(text: str) -> dict[str, str]:
    marks = list(_MARK.finditer(text))
    return {
        one[1]: text[one.end() : following.start()] for one, following in itertools.pairwise(marks)
    }


def product_section(found: Mapping[str, Any], command: str) -> str:
    """Return the section of a product in a simulated world.

    Parameters
    ----------
    found : mapping
        What `smcatalog.results.measure.measure` returned.
    command : str
        That makes it.
    """
    entry, products = ENTRIES[found["name"]], found["products"]
    parts = [
        f"## {found['name']}",
        f"`{command}`",
        _about(found),
        *entry.notes,
        "### At 1 km against the truth",
        _truth(products),
        *_losses(products),
        "### By month",
        *(_months(one) for one in products),
        "### Against the coarse product, as the paper splits and in blocks",
        (
            "The paper's split is random: half or part of the same cells' and days' samples is kept for testing, and "
            "neighbours leak. Blocks leave whole coarse cells or whole stretches of days out. The target is the coarse "
            "product itself: these scores say nothing of 1 km."
        ),
        blocks(products),
        *filter(None, (learners(one, entry.paper) for one in products)),
        *(at_later_observations(one) for one in products if one.get("experiments")),
        "### At simulated stations",
        _at_stations(products),
        "### Besides, the paper",
        "\n".join(f"- {entry.paper.source.split(',')[0]}: {one}" for one in entry.paper.others),
    ]
    return "\n\n".join(parts)


def _about(found: Mapping[str, Any]) -> str:
    world, taken = found["world"], found["ingest"]
    first, last = found["days"]
    files = {name: n for name, n in world["files"].items() if name != "truth"}
    lines = [
        (
            f"- Simulated world: preset {world['preset']}, edges of {world['size_km']:g} km, seed {world['seed']}, "
            f"{world['first']} to {world['last']}; {sum(files.values())} files of {', '.join(files)}, "
            f"{len(taken['refused'])} of them refused."
        ),
        f"- Maps of {first} to {last}: "
        + "; ".join(
            f"`{one['name']}` ({one['what']}) {len(one['produced']['days'])}"
            for one in found["products"]
        )
        + ".",
        *_fewer_trees(world["trees"]),
        *_missing(found["products"]),
        f"- {_versions(found['products'][0]['versions'])}",
    ]
    return "\n".join(lines)


def _fewer_trees(share: float) -> list[str]:
    if share == 1:
        return []
    return [
        f"- **Not the product as it is declared**: boosters have {share:g} of its trees, to be quicker."
    ]


def _missing(products: Sequence[Mapping[str, Any]]) -> list[str]:
    return [
        f"- Days of `{one['name']}` without a map: {len(refused)}, the first of them {refused[0]['day']} "
        f"({refused[0]['reason']})."
        for one in products
        if (refused := one["produced"]["refused"])
    ]


def _versions(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {number}" for name, number in versions.items()) + "."


def _rows(report: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {row["subject"]: row for row in report["rows"]}


def _truth(products: Sequence[Mapping[str, Any]]) -> str:
    lines = []
    for one in products:
        rows = _rows(one["truth"])
        for subject, title in _SUBJECTS.items():
            row = rows[subject]
            lost = worse(row["scores"], rows["coarse"]["scores"]) if subject == "map" else []
            lines.append(
                [
                    f"`{one['name']}`",
                    title,
                    count(row["days"]),
                    count(row["scores"]["n"]),
                    *scores_row(row["scores"]),
                    ratio(row["spatial_r"]),
                    ratio(row["within_cell_r"]),
                    ", ".join(lost),
                ]
            )
    columns = [
        "product",
        "",
        "days",
        "n",
        *TITLES.values(),
        "spatial R",
        "within-cell R",
        "worse in",
    ]
    return table(columns, lines)


def _losses(products: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say in words where maps lose against the coarse product laid flat."""
    found = []
    for one in products:
        rows = _rows(one["truth"])
        ours, flat = rows["map"]["scores"], rows["coarse"]["scores"]
        lost = worse(ours, flat)
        told = ", ".join(
            f"{TITLES[name]} {_text(name, ours[name])} instead of {_text(name, flat[name])}"
            for name in SCORES
            if TITLES[name] in lost
        )
        months = {m: _lost_in(report) for m, report in one["months"].items()}
        by_score = [
            f"{title} in {len(some)} of {len(months)} months ({', '.join(some)})"
            for title in ("RMSE", "R")
            if (some := [m for m, lost_then in months.items() if title in lost_then])
        ]
        found.append(
            f"- `{one['name']}` over all days: "
            + (
                f"**loses** against the coarse product laid flat: {told}."
                if lost
                else "loses in no score."
            )
            + (f" By months it loses in {' and '.join(by_score)}." if by_score else "")
        )
    return ["\n".join(found)]


def _text(name: str, value: Any) -> str:
    return ratio(value) if name == "r" else moisture(value)


def _lost_in(report: Mapping[str, Any]) -> list[str]:
    rows = _rows(report)
    return worse(rows["map"]["scores"], rows["coarse"]["scores"])


def _months(product: Mapping[str, Any]) -> str:
    lines = []
    for month, report in product["months"].items():
        rows = _rows(report)
        ours, flat = rows["map"]["scores"], rows["coarse"]["scores"]
        lines.append(
            [
                month,
                count(rows["map, all"]["days"]),
                count(ours["n"]),
                *(_text(name, one[name]) for name in ("bias", "rmse", "r") for one in (ours, flat)),
                ratio(rows["map"]["within_cell_r"]),
                ", ".join(_lost_in(report)),
            ]
        )
    columns = [f"`{product['name']}`", "maps", "n", "bias", "flat", "RMSE", "flat", "R", "flat",
               "within-cell R", "worse in"]  # fmt: skip
    return table(columns, lines)


def _at_stations(products: Sequence[Mapping[str, Any]]) -> str:
    lines = []
    for one in products:
        rows = [row for row in one["stations"]["rows"] if row["band"] == 1]
        pairs = {"map": [row["map"] for row in rows], "coarse": [row["coarse"] for row in rows]}
        means = {subject: mean_of(some) for subject, some in pairs.items()}
        for subject, mean in means.items():
            lost = worse(mean, means["coarse"]) if subject == "map" else []
            lines.append(
                [
                    f"`{one['name']}`",
                    _SUBJECTS[subject],
                    count(len(rows)),
                    count(mean["n"]),
                    *scores_row(mean),
                    ", ".join(lost),
                ]
            )
    columns = ["product", "", "stations", "n", *TITLES.values(), "worse in"]
    return (
        table(columns, lines)
        + "\n\nMeans over stations of points in the simulated world, some of them faulty. The coarse product has no "
        "value on many days of the map: the two rows are not of the same pairs."
    )


def stations_section(found: Mapping[str, Any], command: str) -> str:
    """Return the section on learners at real stations that they never saw.

    Parameters
    ----------
    found : mapping
        What `smcatalog.results.measure.measure_stations` returned.
    command : str
        That makes it.
    """
    by_station, by_cell = (found["together"][name] for name in ("station", "cell"))
    refused = found["ingest"]["refused"]
    parts = [
        f"## {found['product']}: stations left out",
        f"`{command}`",
        _FILES.format(**by_station, refused=len(refused)),
        "### Each station by itself, with its copies",
        _left_out(by_station),
        _SHARED,
        "### All stations in a coarse cell at once",
        _left_out(by_cell),
        _versions(found["versions"]),
    ]
    return "\n\n".join(parts)


def _left_out(report: Mapping[str, Any]) -> str:
    rows = {row["subject"]: row["scores"] for row in report["rows"]}
    baselines = (_COARSE, _ALONE)
    lines = []
    for subject, scores in rows.items():
        lost = [
            "" if subject in baselines else ", ".join(worse(scores, rows[base]))
            for base in baselines
        ]
        counts = [count(scores["stations"]), count(scores["n"])]
        lines.append([subject, *counts, *scores_row(scores), *lost])
    columns = [
        "",
        "stations",
        "n",
        *TITLES.values(),
        "worse than coarse in",
        "worse than forest on it in",
    ]
    groups = report["left_out_together"]
    stations = rows[_COARSE]["stations"]
    number = len(groups) + max(stations - sum(map(len, groups)), 0)
    told = f"Means over stations, left out in {number} groups"
    named = "; ".join(", ".join(group) for group in groups)
    return f"{table(columns, lines)}\n\n{told}{f' (together: {named})' if named else ''}."
