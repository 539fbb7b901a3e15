"""Our STAC client: pgstac's, with addresses that lead somewhere."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

from fastapi import Request, Response
from pydantic import field_validator, model_validator
from stac_fastapi.api.models import GeoJSONResponse
from stac_fastapi.pgstac.core import CoreCrudClient
from stac_fastapi.pgstac.types.search import PgstacSearch
from stac_fastapi.types.requests import get_base_url
from stac_fastapi.types.stac import ItemCollection

__all__ = ["ASSETS", "CatalogClient", "CatalogSearch", "public_href"]

ASSETS = "assets"
"""First part of the path under which the store's maps are served."""


def public_href(base_url: str, href: str) -> str:
    """Return the public address of an asset; one that already is an address stays as it is.

    Examples
    --------
    >>> public_href("https://example.org/stac/", "maps/a.tif")
    'https://example.org/stac/assets/maps/a.tif'
    """
    if urlsplit(href).scheme or href.startswith("/"):
        return href
    return f"{base_url.rstrip('/')}/{ASSETS}/{quote(href)}"


def _publish_addresses(feature: Mapping[str, Any], base_url: str) -> None:
    # With the fields extension an item may lack its assets, and an asset its address.
    for asset in (feature.get("assets") or {}).values():
        if isinstance(asset, dict) and isinstance(asset.get("href"), str):
            asset["href"] = public_href(base_url, asset["href"])
    # Without its identifier a feature's links are left as they are stored.
    for link in feature.get("links") or ():
        link["href"] = urljoin(base_url, link["href"])


class CatalogSearch(PgstacSearch):  # type: ignore[misc] # ships no types
    """A search, with what the models below let through and no database can answer refused."""

    @model_validator(mode="before")
    @classmethod
    def _object(cls, search: Any) -> Any:
        if not isinstance(search, dict):
            raise ValueError("a search is a JSON object")  # noqa: TRY004 - pydantic's convention
        return search

    @field_validator("bbox", mode="after", check_fields=False)
    @classmethod
    def _finite(cls, bbox: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if bbox is not None and not all(math.isfinite(value) for value in bbox):
            raise ValueError("every number of a bbox must be finite")
        return bbox

    @field_validator("conf", mode="after", check_fields=False)
    @classmethod
    def _no_settings(cls, conf: dict[str, Any] | None) -> None:
        # They would override the server's: whether counts are exact, whether searches are kept.
        if conf:
            raise ValueError("this server takes no settings from a search")


def _geojson(answer: ItemCollection | Response) -> Response:
    """Return an answer as a response; with the fields extension it is one already."""
    return answer if isinstance(answer, Response) else GeoJSONResponse(answer)


class CatalogClient(CoreCrudClient):  # type: ignore[misc] # ships no types
    """Reads items from pgstac and rewrites their store-relative addresses.

    Links between items are kept relative to the root of the catalogue and need no more than
    what stac-fastapi-pgstac does to every link: resolving it against the API's address.

    Answers are written as they are: what comes out of the database's JSON needs no encoder that looks
    at each of its values first, which takes longer than all the rest of a search.
    """

    async def post_search(
        self, search_request: PgstacSearch, request: Request, **others: Any
    ) -> Response:
        """Answer ``POST /search``."""
        return _geojson(await super().post_search(search_request, request, **others))

    async def get_search(self, request: Request, **asked: Any) -> Response:
        """Answer ``GET /search``."""
        return _geojson(await super().get_search(request, **asked))

    async def item_collection(self, collection_id: str, request: Request, **asked: Any) -> Response:
        """Answer ``GET /collections/{collection_id}/items``."""
        return _geojson(await super().item_collection(collection_id, request, **asked))

    async def _search_base(self, search_request: PgstacSearch, request: Request) -> ItemCollection:
        """Search, for all of item, items and search."""
        found: ItemCollection = await super()._search_base(search_request, request)
        base_url = get_base_url(request)
        for feature in found.get("features", []):
            _publish_addresses(feature, base_url)
        return found

    def _clean_search_args(
        self, base_args: dict[str, Any], *, fields: list[str] | None = None, **others: Any
    ) -> dict[str, Any]:
        """Bring GET's parameters into the form of a search; empty field names are left out."""
        named = [field for field in fields or () if field.lstrip("+-")]
        cleaned: dict[str, Any] = super()._clean_search_args(
            base_args, fields=named or None, **others
        )
        return cleaned
