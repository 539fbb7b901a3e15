"""A night: what one new day costs, by the days that are behind it."""

from __future__ import annotations

from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, text

from smcatalog.bench.core import Contest, figure
from smcatalog.bench.histories import pretend_history
from smcatalog.bench.places import BenchServer, daily_product, put_day, put_relief
from smcatalog.core.errors import SmcatalogError
from smcatalog.core.time import DAY
from smcatalog.database.engine import transaction
from smcatalog.jobs import enqueue
from smcatalog.products import Definition
from smcatalog.services.announce import deliver
from smcatalog.services.night import jobs_behind_layers, make_block, plan_night
from smcatalog.services.validate import update_matchups
from smcatalog.services.workspace import Workspace

_LAST: Final = date(2020, 3, 4)
"""Last day of the histories: enough days follow in its month."""
_LONG, _SHORT = 6_000, 60
_REPEATS: Final = 9


@figure(
    "night", "a night with 6,000 days of history beside one with 60; at most 1.2", repeats=_REPEATS
)
def night(folder: Path) -> Contest:
    """Take one new day in, plan, make its map, publish it, match it with stations and announce it."""
    server = BenchServer.start(folder)
    sides = [_History(server, days) for days in (_LONG, _SHORT)]
    for side in sides:  # what a process does once is no part of a night
        side.night()

    def close() -> None:
        for side in sides:
            side.place.engine.dispose()
        server.close()

    return Contest(
        sides[0].night, sides[1].night, "a day of 7,776 pixels, 4 stations", lambda: "", close
    )


class _History:
    """A catalogue with some days behind it, and the nights that follow."""

    def __init__(self, server: BenchServer, days: int) -> None:
        self.place: Workspace = server.workspace(f"days{days}")
        span = [_LAST - timedelta(days=days - 1 - n) for n in range(days)]
        self.product: Definition = daily_product("nights", span[0], span[-1])
        self.day = _LAST
        put_relief(self.place)
        pretend_history(self.place, self.product, span, _REPEATS + 3)

    def night(self) -> None:
        """Do what the next night does, as the handlers of a worker would."""
        place, name = self.place, self.product.name
        self.day += DAY
        put_day(place, self.day, coarse=False, also=_enqueue_plans)
        plan_night(place, self.product)
        made = [
            result
            for arguments in transaction(place.engine, partial(_taken, task="produce"))
            for result in make_block(
                place, name, str(arguments["partition"]), str(arguments["block"])
            )
        ]
        if [result.day for result in made] != [self.day]:
            raise SmcatalogError(f"the night made {made}, not the map of {self.day} alone")
        for _ in transaction(place.engine, partial(_taken, task="validate")):
            first = self.day.replace(day=1)
            update_matchups(
                place.engine, place.store, self._product_id(), first=first, last=self.day
            )
        deliver(place.engine, place.settings)
        transaction(place.engine, partial(_taken, task=None))

    def _product_id(self) -> int:
        from smcatalog.database.products import find_product

        found = transaction(self.place.engine, lambda c: find_product(c, self.product.name))
        if found is None:
            raise SmcatalogError(f"there is no product {self.product.name}")
        return found


def _enqueue_plans(connection: Connection) -> None:
    enqueue(connection, jobs_behind_layers(connection))


def _taken(connection: Connection, task: str | None) -> list[dict[str, Any]]:
    """Take jobs of a task, or all, out of the queue and return their arguments."""
    rows = connection.execute(
        text(
            "DELETE FROM procrastinate.procrastinate_jobs "
            "WHERE CAST(:task AS text) IS NULL OR task_name = :task RETURNING args"
        ),
        {"task": task},
    )
    return [row.args for row in rows]
