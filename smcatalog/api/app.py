"""The application: one FastAPI app with one lifespan, which further routers can join."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final, cast
from urllib.parse import SplitResult

import asyncpg
from brotli_asgi import BrotliMiddleware
from fastapi import FastAPI
from fastapi.responses import JSONResponse
from stac_fastapi.api.app import StacApi
from stac_fastapi.api.middleware import ProxyHeaderMiddleware
from stac_fastapi.api.models import (
    ItemCollectionUri,
    create_get_request_model,
    create_post_request_model,
    create_request_model,
)
from stac_fastapi.extensions import (
    CollectionSearchExtension,
    CollectionSearchFilterExtension,
    FieldsExtension,
    ItemCollectionFilterExtension,
    OffsetPaginationExtension,
    SearchFilterExtension,
    TokenPaginationExtension,
)
from stac_fastapi.extensions.fields import FieldsConformanceClasses
from stac_fastapi.extensions.query import QueryConformanceClasses
from stac_fastapi.extensions.sort import (
    CollectionSearchSortExtension,
    ItemCollectionSortExtension,
    SearchSortExtension,
)
from stac_fastapi.pgstac.core import health_check
from stac_fastapi.pgstac.db import close_db_connection, connect_to_db
from stac_fastapi.pgstac.extensions import QueryExtension
from stac_fastapi.pgstac.extensions.filter import FiltersClient
from stac_fastapi.types.search import APIRequest
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from smcatalog.api.assets import assets_router
from smcatalog.api.client import ASSETS, CatalogClient, CatalogSearch
from smcatalog.api.errors import install_error_handlers
from smcatalog.api.settings import ApiSettings, pool_settings, stac_settings
from smcatalog.core.errors import DatabaseUnavailable
from smcatalog.core.versions import PGSTAC_VERSION
from smcatalog.store import open_store

__all__ = ["ApiSettings", "create_app"]

_STAC_VERSION: Final = "1.1.0"
_READABLE_HEADERS: Final = [
    "Accept-Ranges",
    "Content-Length",
    "Content-Range",
    "ETag",
    "Last-Modified",
]
"""What scripts of other origins may read: a browser that reads ranges of a COG needs them."""


class _PublicAddress:
    """Makes every link begin with the public URL, whatever the request or a proxy says."""

    def __init__(self, app: ASGIApp, public: SplitResult) -> None:
        self._app = app
        self._scheme = public.scheme
        self._host = public.netloc.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = [(name, value) for name, value in scope["headers"] if name != b"host"]
            scope["scheme"] = self._scheme
            scope["headers"] = [*headers, (b"host", self._host)]
        await self._app(scope, receive, send)


def _search_extensions() -> list[Any]:
    return [
        QueryExtension(),
        SearchSortExtension(),
        FieldsExtension(),
        SearchFilterExtension(client=FiltersClient()),
        TokenPaginationExtension(),
    ]


def _items_extensions() -> list[Any]:
    return [
        QueryExtension(conformance_classes=[QueryConformanceClasses.ITEMS]),
        ItemCollectionSortExtension(),
        FieldsExtension(conformance_classes=[FieldsConformanceClasses.ITEMS]),
        ItemCollectionFilterExtension(client=FiltersClient()),
        TokenPaginationExtension(),
    ]


def _collections_extension() -> Any:
    # Free text is left out: pgstac searches collections so, items not.
    return CollectionSearchExtension.from_extensions(
        [
            QueryExtension(conformance_classes=[QueryConformanceClasses.COLLECTIONS]),
            CollectionSearchSortExtension(),
            FieldsExtension(conformance_classes=[FieldsConformanceClasses.COLLECTIONS]),
            CollectionSearchFilterExtension(client=FiltersClient()),
            OffsetPaginationExtension(),
        ]
    )


def _middlewares(settings: ApiSettings) -> list[Middleware]:
    """Return what stands around the routes, innermost first."""
    public = settings.public
    return [
        # The maps are compressed already, and a range of a recompressed file is none of the file.
        Middleware(BrotliMiddleware, excluded_handlers=[f"/{ASSETS}/"]),
        Middleware(ProxyHeaderMiddleware)
        if public is None
        else Middleware(_PublicAddress, public=public),
        Middleware(
            CORSMiddleware,
            allow_origins=list(settings.cors_origins),
            allow_methods=["GET", "HEAD", "POST", "OPTIONS"],
            allow_headers=["Content-Type", "Range", "If-Range", "If-None-Match"],
            expose_headers=_READABLE_HEADERS,
            max_age=600,
        ),
    ]


async def _connect(app: FastAPI, settings: ApiSettings) -> None:
    try:
        await connect_to_db(app, postgres_settings=pool_settings(settings))
        async with app.state.readpool.acquire() as connection:
            found = await connection.fetchval("SELECT pgstac.get_version()")
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        await close_db_connection(app)
        raise DatabaseUnavailable(
            f"the API cannot use the database: {error}. Is it started ('smcatalog db start'), up to "
            "date ('smcatalog db upgrade'), and open to the API's role?"
        ) from error
    if found != PGSTAC_VERSION:
        await close_db_connection(app)
        raise DatabaseUnavailable(
            f"the database has pgstac {found}, but pgstac {PGSTAC_VERSION} is needed: "
            "run 'smcatalog db upgrade'"
        )


def _lifespan(
    settings: ApiSettings,
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await _connect(app, settings)
        try:
            yield
        finally:
            await close_db_connection(app)

    return lifespan


def create_app(settings: ApiSettings) -> FastAPI:
    """Make the application: STAC API (read only), assets, health.

    The application connects to the database when it starts, not before. Further routers join
    by ``app.include_router(router, prefix=...)``.

    Parameters
    ----------
    settings : ApiSettings
        Database, store, addresses.

    Raises
    ------
    DatabaseUnavailable
        At start, when the database does not answer or its pgstac is another version.
    """
    search, items = _search_extensions(), _items_extensions()
    collections = _collections_extension()
    post_search = create_post_request_model(search, base_model=CatalogSearch)
    stac = stac_settings(settings)
    api = StacApi(
        settings=stac,
        stac_version=_STAC_VERSION,
        title=settings.title,
        description=settings.description,
        app=FastAPI(
            title=settings.title,
            description=settings.description,
            version=stac.stac_fastapi_version,
            openapi_url=stac.openapi_url,
            docs_url=stac.docs_url,
            redoc_url=None,
            root_path=settings.prefix,
            lifespan=_lifespan(settings),
        ),
        client=CatalogClient(
            pgstac_search_model=post_search,
            landing_page_id=stac.stac_fastapi_landing_id,
        ),
        extensions=[*search, *items, collections],
        exceptions={},
        response_class=JSONResponse,
        search_get_request_model=create_get_request_model(search),
        search_post_request_model=post_search,
        items_get_request_model=cast(
            type[APIRequest],
            create_request_model(
                model_name="ItemCollectionUri",
                base_model=ItemCollectionUri,
                extensions=items,
                request_type="GET",
            ),
        ),
        collections_get_request_model=collections.GET,
        middlewares=_middlewares(settings),
        health_check=health_check,
    )
    app = api.app
    app.include_router(assets_router(open_store(settings.store_root)))
    install_error_handlers(app)
    return app
