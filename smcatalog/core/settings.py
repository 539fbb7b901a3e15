"""Settings: where things are, from the environment and a configuration file.

Read once at the door of the command line or API, then handed down as a frozen value.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final, Self

from smcatalog.core.errors import ConfigurationError
from smcatalog.core.locations import S3Location

__all__ = ["Settings"]

_PREFIX: Final = "SMCATALOG_"
_PATHS: Final = frozenset({"home", "store", "inbox", "webhook_secret_file"})
_WORKER: Final = "worker"


def _default_home() -> Path:
    import platformdirs  # noqa: PLC0415 - only needed when nothing is set

    return Path(platformdirs.user_data_dir("smcatalog", appauthor=False))


@dataclass(frozen=True, slots=True)
class Settings:
    """What is in force.

    Parameters
    ----------
    home : Path
        Folder of the private cluster, the store and the work area. ``SMCATALOG_HOME``.
    store : Path or str
        Where maps, layers and models lie: a folder, or text like ``s3://bucket/prefix``.
        ``SMCATALOG_STORE``; the folder ``store`` in the home by default. Keys of a bucket come from the
        environment (``AWS_ACCESS_KEY_ID`` and its like) or the machine's role, never from here.
    database_url : str or None
        SQLAlchemy or libpq URL of the database. ``SMCATALOG_DATABASE_URL``; None means the
        private cluster of the home.
    api_database_url : str or None
        The same for the API's read-only role. ``SMCATALOG_API_DATABASE_URL``.
    public_url : str or None
        Address under which the API is reached from outside. ``SMCATALOG_PUBLIC_URL``.
    worker : mapping of str to str
        How workers behave, by the names of `smcatalog.jobs.WorkerOptions`, e.g. ``grace_seconds``.
        ``SMCATALOG_WORKER_GRACE_SECONDS`` and so on, or the file's table ``[worker]``.
    inbox : Path or None
        Folder that files are delivered to, for the nights. ``SMCATALOG_INBOX``.
    webhook_url : str or None
        Address that announcements are posted to. ``SMCATALOG_WEBHOOK_URL``; None: to nobody.
    webhook_secret_file : Path or None
        File with the secret that they are signed with. ``SMCATALOG_WEBHOOK_SECRET_FILE``.
    """

    home: Path
    store: Path | str
    database_url: str | None = None
    api_database_url: str | None = None
    public_url: str | None = None
    worker: Mapping[str, str] = field(default_factory=dict)
    webhook_url: str | None = field(default=None, repr=False)  # may be a secret itself
    webhook_secret_file: Path | None = None
    inbox: Path | None = None

    @property
    def cache(self) -> Path:
        """Folder of what can be made again at any time."""
        return self.home / "cache"

    @property
    def work(self) -> Path:
        """Folder of temporary files on their way to a store that is no folder."""
        return self.home / "work"

    @classmethod
    def load(cls, config: Path | None = None, env: Mapping[str, str] = os.environ) -> Self:
        """Read settings from the environment, then from a TOML file, which wins.

        Parameters
        ----------
        config : Path, optional
            TOML file with any of ``home``, ``store``, ``database_url``, ``api_database_url``,
            ``public_url``, ``inbox``, ``webhook_url``, ``webhook_secret_file`` at its top level, and a table
            ``[worker]``. Relative paths are relative to the file.
        env : mapping
            The environment.

        Raises
        ------
        ConfigurationError
            When the file cannot be read or holds something that is not a setting, or the store's
            address is none.
        """
        names = {one.name for one in fields(cls)} - {_WORKER}
        prefix = f"{_PREFIX}{_WORKER}_".upper()
        worker = {
            name.removeprefix(prefix).lower(): text
            for name, text in env.items()
            if name.startswith(prefix) and text
        }
        values: dict[str, str] = {
            name: env[_PREFIX + name.upper()] for name in names if env.get(_PREFIX + name.upper())
        }
        if config is not None:
            content = _read_config(config)
            worker |= _read_worker(config, content.pop(_WORKER, {}))
            values |= _read_values(config, content, names)
        store = values.pop("store") if _is_address(values.get("store", "")) else None
        paths = {n: Path(v).expanduser().absolute() for n, v in values.items() if n in _PATHS}
        home = paths.get("home") or _default_home()
        return cls(
            home=home,
            store=S3Location.parse(store).url if store else paths.get("store", home / "store"),
            database_url=values.get("database_url"),
            api_database_url=values.get("api_database_url"),
            public_url=values.get("public_url"),
            worker=worker,
            webhook_url=values.get("webhook_url"),
            webhook_secret_file=paths.get("webhook_secret_file"),
            inbox=paths.get("inbox"),
        )


def _is_address(value: str) -> bool:
    """Say whether a store is named by an address rather than a path."""
    return "://" in value


def _read_config(config: Path) -> dict[str, Any]:
    try:
        with config.open("rb") as stream:
            return tomllib.load(stream)
    except OSError as error:
        raise ConfigurationError(f"cannot read {config}: {error.strerror}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{config} is not valid TOML: {error}") from error


def _read_worker(config: Path, table: Any) -> dict[str, str]:
    if not isinstance(table, dict):
        raise ConfigurationError(f"{config}: '{_WORKER}' must be a table: write [{_WORKER}]")
    return {
        name: ",".join(map(str, value)) if isinstance(value, list) else str(value)
        for name, value in table.items()
    }


def _read_values(config: Path, content: dict[str, Any], names: set[str]) -> dict[str, str]:
    for name, value in content.items():
        if name not in names:
            raise ConfigurationError(
                f"{config}: '{name}' is not a setting; there are {', '.join(sorted(names))}"
            )
        if not isinstance(value, str) or not value:
            raise ConfigurationError(f"{config}: '{name}' must be a text, got {value!r}")
    return {
        name: str(config.parent / value) if name in _PATHS and not _is_address(value) else value
        for name, value in content.items()
    }
