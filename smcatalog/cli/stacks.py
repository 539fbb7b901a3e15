"""Tables of what stacks scored: with zones, and with one stack for all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from smcatalog.cli.output import print_table, say

if TYPE_CHECKING:
    from smcatalog.services.stacks import StackLearning, ZoneScores

__all__ = ["print_stack"]

_SCORES: Final = {"r": "R", "rmse": "RMSE"}


def print_stack(found: StackLearning) -> None:
    """Print table 3 of Xu et al. (2024), then the same of one stack for all zones on the same samples."""
    zones = [*found.zones, *([found.together] if found.together else [])]
    columns = ["learner", "part", "score", *(_title(zone) for zone in zones)]
    rows = [["samples", "", "", *(f"{zone.samples:,}" for zone in zones)]]
    rows += [
        [name, half, title, *(_marked(zone, half, score, name) for zone in zones)]
        for name in found.learners
        for half in ("train", "test")
        for score, title in _SCORES.items()
    ]
    print_table(columns, _to_the_right(rows))
    beside = [zone for zone in zones if zone.without_zones]
    if not beside:
        return
    say("")
    say("one for all zones, on the same samples of the test:")
    rows = [
        [
            name,
            half,
            title,
            *(_text(zone.without_zones.get(half, {}), name, score) for zone in beside),
        ]
        for name in found.learners
        for half in ("test",)
        for score, title in _SCORES.items()
    ]
    print_table(
        ["learner", "part", "score", *(_title(zone) for zone in beside)], _to_the_right(rows)
    )
    _say_what_zones_are_worth(found)


def _say_what_zones_are_worth(found: StackLearning) -> None:
    stack = found.learners[-1]
    pairs = {
        zone.zone: (zone.zoned["test"][stack], zone.without_zones["test"][stack])
        for zone in found.zones
        if "test" in zone.zoned and "test" in zone.without_zones
    }
    better = sum(own["rmse"] < other["rmse"] for own, other in pairs.values())
    if pairs:
        say(
            f"the RMSE of a zone's own {stack} is smaller than that of the one for all in {better} of {len(pairs)} zones"
        )


def _title(zone: ZoneScores) -> str:
    return (
        zone.label
        if zone.label == zone.zone or not zone.zone.isdigit()
        else f"{zone.zone} {zone.label}"
    )


def _marked(zone: ZoneScores, half: str, score: str, name: str) -> str:
    text = _text(zone.zoned.get(half, {}), name, score)
    return f"{text}*" if zone.best.get(half, {}).get(score) == name else f"{text} "


def _text(scores: object, name: str, score: str) -> str:
    found = scores.get(name, {}).get(score) if isinstance(scores, dict) else None
    return "–" if found is None else f"{found:.4f}"


def _to_the_right(rows: list[list[str]]) -> list[list[str]]:
    """Fill the columns of numbers up on their left: a mark makes them text."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        [cell if i < 3 else cell.rjust(widths[i]) for i, cell in enumerate(row)]  # noqa: PLR2004
        for row in rows
    ]
