"""Withdrawal: a map leaves the catalogue's present, a granule's layers are used no more; nothing is deleted."""

from __future__ import annotations

from datetime import UTC, date, datetime

from sqlalchemy import Connection

from smcatalog.core.encoding import asset_kinds
from smcatalog.core.errors import UsageError
from smcatalog.core.maps import PublishedMap
from smcatalog.database.announcements import Kind, announce
from smcatalog.database.engine import transaction
from smcatalog.database.maps import load_map, lock_day, withdraw_map
from smcatalog.database.products import find_product
from smcatalog.database.withdrawals import GranuleWithdrawal, withdraw_granule
from smcatalog.products import Definition
from smcatalog.services.workspace import Workspace
from smcatalog.stac.items import build_item
from smcatalog.stac.pgstac import upsert_item

__all__ = ["GranuleWithdrawal", "withdraw", "withdraw_granules"]


def withdraw(
    workspace: Workspace,
    definition: Definition,
    product_id: int,
    day: date,
    reason: str,
    *,
    now: datetime | None = None,
) -> PublishedMap | None:
    """Withdraw the live map of a day, with nothing in its place.

    One transaction takes the map out of force, marks its item as deprecated with the reason, and announces
    it. The map's files stay, as does the map in the catalogue as of earlier instants. A map that is published later
    for the day becomes its successor.

    Parameters
    ----------
    definition : Definition
        Of the product.
    product_id : int
        Its key in the database.
    day : date
        Day that the map is dated by.
    reason : str
        Why, in one line; shown in the item and to receivers of announcements.
    now : datetime, optional
        The present, for tests.

    Returns
    -------
    PublishedMap or None
        The map as it stands now; None when the day has none that is live, so also when it is repeated.

    Raises
    ------
    UsageError
        When there is no reason, or the key is another product's.
    """
    said = _one_line(reason)
    withdrawn_at = now or datetime.now(UTC)

    def work(connection: Connection) -> PublishedMap | None:
        if find_product(connection, definition.name) != product_id:
            raise UsageError(f"{product_id} is not the key of the product {definition.name}")
        lock_day(connection, product_id, day)
        map_id = withdraw_map(connection, product_id, day, said, withdrawn_at)
        if map_id is None:
            return None
        published = load_map(connection, map_id, [kind.name for kind in asset_kinds()])
        upsert_item(connection, build_item(published))
        announce(connection, [(Kind.WITHDRAWN, map_id)])
        return published

    return transaction(workspace.engine, work)


def withdraw_granules(
    workspace: Workspace,
    source: str,
    name: str,
    reason: str,
    *,
    now: datetime | None = None,
    dry_run: bool = False,
) -> GranuleWithdrawal:
    """Withdraw the granules of a source and name, in one transaction.

    Parameters
    ----------
    source, name : str
        Product family and the provider's name.
    reason : str
        Why, in one line.
    now : datetime, optional
        The present, for tests.
    dry_run : bool
        Whether to leave everything as it is and only say what would be done.

    Raises
    ------
    UsageError
        When there is no reason.
    NotFoundError
        When no granule is called so.
    """
    said = _one_line(reason)
    withdrawn_at = now or datetime.now(UTC)

    def work(connection: Connection) -> GranuleWithdrawal:
        tried = connection.begin_nested()
        done = withdraw_granule(connection, source, name, said, withdrawn_at)
        if dry_run:
            tried.rollback()
        else:
            tried.commit()
        return done

    return transaction(workspace.engine, work)


def _one_line(reason: str) -> str:
    said = " ".join(reason.split())
    if not said:
        raise UsageError("say why it is withdrawn, in one line")
    return said
