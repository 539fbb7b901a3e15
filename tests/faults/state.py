"""What a catalogue holds in the end, in a form in which two of them can be compared.

Surrogate keys and instants depend on who was faster. A row is therefore known by what it holds and by the rows that its
keys lead to, whatever their numbers are.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import Connection, Engine, text

from smcatalog.database.models import Base
from smcatalog.store import Store

EMPTY = ("job_troubles", "plan_changes", "quarantined_jobs")
"""Tables in which nothing may be left."""
_LEFT_OUT = {*EMPTY, "step_totals", "webhooks", "alembic_version"}
"""Counts of work done depend on what was done twice."""
_PLANNED = {"closes_at"}
_SEEN = {"first_seen"}
"""Instants that are data in spite of their name's end, and the other way round."""
_ROUNDS = 4
"""How many keys in a row are followed: map, model, partition, version of the product."""
_KEYS = """
    SELECT key, sha256 FROM smcatalog.layers UNION SELECT key, sha256 FROM smcatalog.models
    UNION SELECT key, sha256 FROM smcatalog.map_files
"""


@dataclass(frozen=True)
class State:
    """A catalogue in the end.

    Parameters
    ----------
    maps : dict
        Checksum of each file of the maps in force, by day and kind.
    items : dict
        Items that are not deprecated, without the instants of their making, by product and day.
    rows : dict
        How many rows there are of each content, by table; with each content in words.
    files : dict
        Checksum of each file in the store by its key.
    """

    maps: dict[tuple[str, str], str]
    items: dict[str, str]
    rows: dict[str, Counter[str]]
    files: dict[str, str]

    def count(self, table: str) -> int:
        return self.rows[table].total()


def state_of(engine: Engine, store: Store, root: str) -> State:
    """Return what a catalogue holds.

    Parameters
    ----------
    root : str
        Path in texts that is this run's own.
    """
    with engine.connect() as connection:
        return State(
            _maps(connection),
            _items(connection),
            _rows(connection, root),
            {entry.key: store.checksum(entry.key) for entry in store.files()},
        )


def faults_of(engine: Engine, state: State) -> list[str]:
    """Name what is wrong in a catalogue by itself: leftovers, orphans, duplicates, a history with gaps."""
    found = []
    with engine.connect() as connection:
        left = {
            name: connection.scalar(text(f"SELECT count(*) FROM smcatalog.{name}"))
            for name in EMPTY
        }
        found += [f"{number} rows are left in {name}" for name, number in left.items() if number]
        if number := connection.scalar(
            text("SELECT count(*) FROM procrastinate.procrastinate_jobs")
        ):
            found.append(f"{number} jobs are left in the queue")
        named = {key: sha256 for key, sha256 in connection.execute(text(_KEYS))}  # noqa: C416
        for query, wrong in _LAWS.items():
            found += [f"{wrong}: {tuple(row)}" for row in connection.execute(text(query))]
    found += [f"no row names the file {key}" for key in sorted(state.files.keys() - named.keys())]
    found += [f"the file {key} is missing" for key in sorted(named.keys() - state.files.keys())]
    found += [
        f"the file {key} has other content than is recorded"
        for key in sorted(named.keys() & state.files.keys())
        if named[key] != state.files[key]
    ]
    return found


_LAWS = {
    "SELECT product_id, day FROM smcatalog.maps WHERE superseded_at IS NULL "
    "GROUP BY 1, 2 HAVING count(*) > 1": "a day has several maps in force",
    "SELECT product_id, day, fingerprint FROM smcatalog.maps WHERE withdrawn_reason IS NULL "
    "GROUP BY 1, 2, 3 HAVING count(*) > 1": "a map was published twice",
    "SELECT collection, content -> 'properties' ->> 'datetime' FROM pgstac.items "
    "WHERE content -> 'properties' ->> 'deprecated' IS DISTINCT FROM 'true' "
    "GROUP BY 1, 2 HAVING count(*) > 1": "a day has several items in force",
    "SELECT o.item_id, n.item_id FROM smcatalog.maps o JOIN smcatalog.maps n ON n.id = o.superseded_by "
    "WHERE n.published_at < o.superseded_at OR o.superseded_at < o.published_at": (
        "a map begins before the one it follows ends"
    ),
    "SELECT m.item_id FROM smcatalog.maps m WHERE NOT EXISTS (SELECT FROM pgstac.items i "
    "WHERE i.id = m.item_id AND (i.content -> 'properties' ->> 'deprecated' = 'true') "
    "= (m.superseded_at IS NOT NULL))": "a map and its item do not agree",
    "SELECT id, kind, map_id FROM smcatalog.announcements WHERE delivered_at IS NULL": (
        "an announcement was not delivered"
    ),
}


def differences(expected: State, found: State) -> list[str]:
    """Name in what two catalogues differ, a few of each kind."""
    named: list[str] = []
    for what in ("maps", "items", "files"):
        one, other = getattr(expected, what), getattr(found, what)
        wrong = sorted(key for key in one.keys() | other.keys() if one.get(key) != other.get(key))
        named += [
            f"{what}: {key} is {_short(other.get(key))} instead of {_short(one.get(key))}"
            for key in wrong[:3]
        ]
        if len(wrong) > 3:
            named.append(f"{what}: and {len(wrong) - 3} more")
    for table in sorted(expected.rows.keys() | found.rows.keys()):
        one, other = (state.rows.get(table, Counter()) for state in (expected, found))
        for sign, rows in (("lacks", one - other), ("has besides", other - one)):
            named += [
                f"{table} {sign} {number} of {_short(row, 300)}"
                for row, number in rows.most_common(2)
            ]
    return named


def _short(value: Any, length: int = 80) -> str:
    said = str(value)
    return said if len(said) <= length else f"{said[:length]}…"


def _maps(connection: Connection) -> dict[tuple[str, str], str]:
    rows = connection.execute(
        text("""
            SELECT m.day::text, f.kind, f.sha256 FROM smcatalog.maps m
            JOIN smcatalog.map_files f ON f.map_id = m.id WHERE m.superseded_at IS NULL
        """)
    )
    return {(day, kind): sha256 for day, kind, sha256 in rows}


def _items(connection: Connection) -> dict[str, str]:
    rows = connection.execute(
        text("""
            SELECT collection || ' ' || id, content #- '{properties,created}' #- '{properties,updated}'
            FROM pgstac.items
            WHERE content -> 'properties' ->> 'deprecated' IS DISTINCT FROM 'true'
        """)
    )
    return {name: json.dumps(content, sort_keys=True) for name, content in rows}


def _rows(connection: Connection, root: str) -> dict[str, Counter[str]]:
    """Return the rows of all tables of ours by what they hold and what their keys lead to."""
    tables = [t for t in Base.metadata.sorted_tables if t.name not in _LEFT_OUT]
    content: dict[str, dict[Any, str]] = {}
    links: dict[str, dict[Any, list[tuple[str, Any]]]] = {}
    for table in tables:
        keys = {c.name: next(iter(c.foreign_keys)) for c in table.columns if c.foreign_keys}
        own = {"id"} if "id" in table.columns else set()
        content[table.name], links[table.name] = {}, {}
        for number, row in enumerate(connection.execute(table.select()).mappings()):
            key = row["id"] if own else number
            held = {
                name: _plain(name, value, root)
                for name, value in row.items()
                if name not in own | keys.keys()
            }
            content[table.name][key] = json.dumps(held, sort_keys=True)
            links[table.name][key] = [
                (foreign.column.table.name, row[name]) for name, foreign in sorted(keys.items())
            ]
    labels = {name: dict(rows) for name, rows in content.items()}
    for _ in range(_ROUNDS):
        labels = {
            name: {
                key: _label(own, [labels[other].get(at, "") for other, at in links[name][key]])
                for key, own in rows.items()
            }
            for name, rows in content.items()
        }
    return {
        name: Counter(f"{rows[key]} {label}" for key, label in labels[name].items())
        for name, rows in content.items()
    }


def _label(own: str, others: list[str]) -> str:
    return hashlib.sha256("\n".join([own, *others]).encode()).hexdigest()[:16]


def _plain(name: str, value: Any, root: str) -> Any:
    """Return a value without what depends on when or where it was written."""
    if name in _SEEN or (name.endswith("_at") and name not in _PLANNED):
        return value is not None
    if isinstance(value, str):
        return value.replace(root, "")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, (dict, list, int, float)) or value is None:
        return value
    return str(value)
