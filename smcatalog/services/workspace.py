"""Where a service works: settings, database and store together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from sqlalchemy import Engine

from smcatalog.core.settings import Settings
from smcatalog.database.cluster import Cluster
from smcatalog.database.engine import connect
from smcatalog.store import Store, open_store

__all__ = ["Workspace", "database_url"]


def database_url(settings: Settings) -> str:
    """Return the URL of the database that is in force: the given one or the private cluster's."""
    return settings.database_url or Cluster(settings.home).url()


@dataclass(frozen=True, slots=True)
class Workspace:
    """An open database and store.

    Parameters
    ----------
    settings : Settings
        What they were opened with.
    engine : sqlalchemy.Engine
        The database, as a role that may write.
    store : Store
        Maps, layers and models.
    """

    settings: Settings
    engine: Engine
    store: Store

    @classmethod
    def open(cls, settings: Settings) -> Self:
        """Open what the settings name; nothing is connected before it is used."""
        store = open_store(settings.store, work=settings.work)
        return cls(settings, connect(database_url(settings)), store)
