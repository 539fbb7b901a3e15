"""What the API needs to know; nothing is read from the environment here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from pydantic_settings import BaseSettings, PydanticBaseSettingsSource
from stac_fastapi.pgstac.config import PostgresSettings, ServerSettings, Settings

from smcatalog.core.errors import ConfigurationError

__all__ = ["ApiSettings", "pool_settings", "stac_settings"]


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """Settings of the API.

    Parameters
    ----------
    database_url : str
        libpq URL, also of a Unix socket: ``postgresql:///smcatalog?host=/run/pg&user=smcatalog_api``.
    store_root : Path or str
        Folder of the store, or text like ``s3://bucket/prefix``.
    public_url : str, optional
        Address that people reach the API by, e.g. ``https://maps.example.org/stac``: all links begin
        with it. Without it they begin with what the request says (``Host``, ``X-Forwarded-*``), which
        suits a private machine but lets any caller choose.
    root_path : str
        Path prefix that a proxy in front strips off; that of ``public_url`` by default.
    cors_origins : tuple of str
        Origins whose scripts may read; ``*`` for all.
    pool_size : int
        Most connections to the database.
    statement_timeout : float
        Seconds after which a query is given up.
    title, description : str
        For the landing page.

    Raises
    ------
    ConfigurationError
        When an address cannot be one.
    """

    database_url: str
    store_root: Path | str
    public_url: str | None = None
    root_path: str = ""
    cors_origins: tuple[str, ...] = ("*",)
    pool_size: int = 10
    statement_timeout: float = 30.0
    title: str = "Soil moisture at 1 km"
    description: str = (
        "Daily maps of soil moisture at 1 km, downscaled from coarse satellite and model products"
    )

    def __post_init__(self) -> None:
        scheme = urlsplit(self.database_url).scheme.partition("+")[0]
        if scheme not in {"postgresql", "postgres"}:
            raise ConfigurationError(
                f"the database's URL must begin with postgresql://, got '{scheme}://'"
            )
        if self.public_url is not None:
            parts = urlsplit(self.public_url)
            if parts.scheme not in {"http", "https"} or not parts.netloc:
                raise ConfigurationError(
                    f"the public URL must be like https://maps.example.org/stac, got '{self.public_url}'"
                )
        if self.root_path and not self.root_path.startswith("/"):
            raise ConfigurationError(f"the root path must begin with /, got '{self.root_path}'")

    @property
    def public(self) -> SplitResult | None:
        """The public URL in parts."""
        return None if self.public_url is None else urlsplit(self.public_url.rstrip("/"))

    @property
    def prefix(self) -> str:
        """Path before every path of ours in links, without a slash at its end."""
        return (self.root_path or (self.public.path if self.public else "")).rstrip("/")


class _Explicit(BaseSettings):
    """Settings that come from their constructor alone, never from the environment or a file."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)


class _StacSettings(_Explicit, Settings):  # type: ignore[misc] # ships no types
    """stac-fastapi-pgstac's settings."""


class _PoolSettings(_Explicit, PostgresSettings):  # type: ignore[misc] # ships no types
    """stac-fastapi-pgstac's database settings, which know no socket, with a URL instead."""

    url: str = ""
    pguser: str = ""
    pgpassword: str = ""
    pghost: str = ""
    pgport: int = 0
    pgdatabase: str = ""

    @property
    def connection_string(self) -> str:
        return self.url


def stac_settings(settings: ApiSettings) -> Settings:
    """Return the settings of stac-fastapi-pgstac.

    Items are put together with what their collection has in common (hydrated) here: pgstac's own
    function for it takes 5 ms of the database an item.
    """
    return _StacSettings(
        stac_fastapi_title=settings.title,
        stac_fastapi_description=settings.description,
        stac_fastapi_version="1",
        stac_fastapi_landing_id="smcatalog",
        root_path=settings.prefix,
        cors_origins=settings.cors_origins,
        use_api_hydrate=True,
    )


def pool_settings(settings: ApiSettings) -> PostgresSettings:
    """Return the settings of the database's connection pool.

    Exact counts of matches come with every search, and are counted at each: pgstac otherwise
    keeps them for a day, and a new map would not show. Its tables of past searches, which it
    else writes at every search, are left alone, so that serving writes nothing.
    """
    scheme, _, rest = settings.database_url.partition("://")
    server: dict[str, Any] = {
        "application_name": "smcatalog api",
        "search_path": "pgstac,public",
        "TimeZone": "UTC",
        "statement_timeout": str(round(settings.statement_timeout * 1000)),
        "default_transaction_read_only": "on",
        "pgstac.context": "on",
        "pgstac.context_stats_ttl": "0 seconds",
        "pgstac.readonly": "true",
    }
    return _PoolSettings(
        url=f"{scheme.partition('+')[0]}://{rest}",
        db_max_conn_size=settings.pool_size,
        server_settings=ServerSettings(**server),
    )
