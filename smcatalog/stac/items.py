"""Items: a published map as STAC sees it."""

from __future__ import annotations

from datetime import UTC, datetime, time
from typing import TYPE_CHECKING, Any, Final

from smcatalog.core.errors import UsageError
from smcatalog.core.maps import MapFile, PublishedMap
from smcatalog.stac.assets import (
    CLASSIFICATION,
    FILE,
    PROJECTION,
    RASTER,
    VERSION,
    asset_fields,
    projection_fields,
)
from smcatalog.stac.footprint import footprint

if TYPE_CHECKING:
    import pystac

__all__ = ["build_item", "collection_href", "instant", "item_href"]

_SHA256_MULTIHASH: Final = "1220"
"""What the multihash format puts before a SHA-256: its code (0x12) and its length (32 bytes)."""


def instant(when: datetime) -> str:
    """Write a time as STAC does: UTC, whole seconds, ``Z``."""
    return f"{when.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def collection_href(product: str) -> str:
    """Return where a collection stands, relative to the root of the catalogue.

    Links are kept this way because the catalogue has no address of its own: the API resolves them
    against the address it was called by, an export against its folder.
    """
    return f"collections/{product}"


def item_href(product: str, item_id: str) -> str:
    """Return where an item stands, relative to the root of the catalogue."""
    return f"{collection_href(product)}/items/{item_id}"


def _files(published: PublishedMap) -> dict[str, MapFile]:
    return {file.kind: file for file in published.files}


def _assets(published: PublishedMap) -> dict[str, pystac.Asset]:
    import pystac  # noqa: PLC0415 - slow to import, and a run with nothing to publish needs none

    files = _files(published)
    fields = asset_fields(published.grid, published.depths)
    if set(files) != set(fields) or len(files) != len(published.files):
        raise UsageError(
            f"map {published.item_id} has the files {sorted(f.kind for f in published.files)}, "
            f"but a map has one file each of {sorted(fields)}"
        )
    assets = {}
    for kind, common in fields.items():
        file = files[kind]
        asset = {
            "href": file.key,
            **common,
            "file:checksum": _SHA256_MULTIHASH + file.sha256,
            "file:size": file.size,
        }
        assets[kind] = pystac.Asset.from_dict(asset)
    return assets


def _properties(published: PublishedMap, title: str | None) -> dict[str, Any]:
    period = published.period
    properties = {
        "title": title or f"{published.product}, {period.day:%Y-%m-%d}",
        "start_datetime": instant(period.start),
        "end_datetime": instant(period.last_second),
        "created": instant(published.published_at),
        **projection_fields(published.grid),
        "version": f"{published.version}.{published.revision}",
        "deprecated": published.deprecated,
        "smcatalog:product": published.product,
        "smcatalog:status": str(published.status),
        "smcatalog:fingerprint": published.fingerprint,
        "smcatalog:model": published.model,
        "smcatalog:grid": published.grid.name,
    }
    if published.withdrawn is not None:
        properties["smcatalog:withdrawn"] = published.withdrawn
    return properties


def _links(published: PublishedMap) -> list[pystac.Link]:
    import pystac  # noqa: PLC0415

    links = [
        pystac.Link("collection", collection_href(published.product), pystac.MediaType.JSON),
    ]
    for relation, other in (
        ("predecessor-version", published.predecessor),
        ("successor-version", published.successor),
    ):
        if other is not None:
            href = item_href(published.product, other)
            links.append(pystac.Link(relation, href, pystac.MediaType.GEOJSON, title=other))
    return links


def build_item(published: PublishedMap, *, title: str | None = None) -> pystac.Item:
    """Build the STAC 1.1 item of a map: the same map gives the same JSON.

    ``datetime`` is noon UTC of the day that the map is dated by, the middle of a period of whole
    days (and for an even number of days the noon after the middle): a client that knows instants
    only finds the map on its day, in every time zone but the outermost. The period itself is
    ``start_datetime`` to ``end_datetime``, both inclusive as STAC has it, so the end is the
    period's last second; searches compare with these two.

    Addresses are relative: assets are keys of the store, links stand below the root of the
    catalogue (see `collection_href`). Whoever hands items out rewrites them.

    Properties of our own: ``smcatalog:product``, ``smcatalog:status`` (provisional or final),
    ``smcatalog:fingerprint`` (of all inputs), ``smcatalog:model`` (fingerprint of the model),
    ``smcatalog:grid`` (the grid's name), ``smcatalog:withdrawn`` (why it was withdrawn, only if it was); in bands ``smcatalog:depth`` ([top, bottom] in metres).

    Parameters
    ----------
    published : PublishedMap
        The map.
    title : str, optional
        For people; product and day by default.

    Raises
    ------
    UsageError
        When the map lacks one of its files, or its grid crosses the antimeridian.
    """
    import pystac  # noqa: PLC0415

    place = footprint(published.grid)
    item = pystac.Item(
        id=published.item_id,
        geometry=place.geometry,
        bbox=list(place.bbox),
        datetime=datetime.combine(published.period.day, time(12), tzinfo=UTC),
        properties=_properties(published, title),
        stac_extensions=[PROJECTION, RASTER, FILE, CLASSIFICATION, VERSION],
        assets=_assets(published),
    )
    item.collection_id = published.product
    item.add_links(_links(published))
    return item
