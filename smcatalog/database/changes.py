"""Which granules are behind a change of the plan."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import Connection, text

from smcatalog.core.time import Period

__all__ = ["LayerCause", "MapBefore", "layer_causes", "maps_before"]


@dataclass(frozen=True, slots=True)
class LayerCause:
    """A layer that came or went.

    Parameters
    ----------
    source, variable : str
        What it is.
    granule : str
        Name of the granule that brought it.
    live : bool
        Whether it came; else it went.
    period : Period or None
        When it holds; None when it always does.
    """

    source: str
    variable: str
    granule: str
    live: bool
    period: Period | None

    def covers(self, day: date) -> bool:
        """Say whether it holds on a day."""
        return self.period is None or day in self.period.days()

    def plain(self) -> dict[str, str]:
        """Return it as it is kept with the plan."""
        return {
            "source": self.source,
            "variable": self.variable,
            "granule": self.granule,
            "change": "came" if self.live else "went",
        }


@dataclass(frozen=True, slots=True)
class MapBefore:
    """The map in force of a day whose inputs changed.

    Parameters
    ----------
    inputs_fingerprint : str
        Of what it was made of.
    layers : set of int
        Changed layers that it was made of.
    causes : list of dict
        What changed since, as far as it was planned already.
    """

    inputs_fingerprint: str
    layers: set[int]
    causes: list[dict[str, str]]


def layer_causes(connection: Connection, layers: Collection[int]) -> dict[int, LayerCause]:
    """Return layers by their keys, with a granule each."""
    rows = connection.execute(
        text("""
            SELECT l.id, l.source, l.variable, l.superseded_at IS NULL AS live, l.start_time,
                   l.end_time,
                   coalesce((SELECT max(g.name) FROM smcatalog.layer_granules k
                             JOIN smcatalog.granules g ON g.id = k.granule_id
                             WHERE k.layer_id = l.id), '') AS granule
            FROM smcatalog.layers l WHERE l.id = ANY (:layers)
        """),
        {"layers": list(layers)},
    )
    return {
        row.id: LayerCause(
            row.source,
            row.variable,
            row.granule,
            row.live,
            Period(row.start_time, row.end_time) if row.start_time is not None else None,
        )
        for row in rows
    }


def maps_before(
    connection: Connection, version_id: int, days: Collection[date], layers: Collection[int]
) -> dict[date, MapBefore]:
    """Return the maps in force of some days, and which of some layers they were made of."""
    rows = connection.execute(
        text("""
            SELECT m.day, m.inputs_fingerprint, d.causes,
                   array(SELECT k.layer_id FROM smcatalog.map_layers k
                         WHERE k.map_id = m.id AND k.layer_id = ANY (:layers)) AS layers
            FROM smcatalog.product_versions v
            JOIN smcatalog.maps m ON m.product_id = v.product_id AND m.superseded_at IS NULL
            LEFT JOIN smcatalog.plan_days d ON d.product_version_id = v.id AND d.day = m.day
            WHERE v.id = :version AND m.day = ANY (:days)
        """),
        {"version": version_id, "days": list(days), "layers": list(layers)},
    )
    return {row.day: _before(row) for row in rows}


def _before(row: Any) -> MapBefore:
    return MapBefore(row.inputs_fingerprint, set(row.layers), list(row.causes or ()))
