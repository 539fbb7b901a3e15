"""Configuration texts of the private cluster: pure functions from values to files' contents."""

from collections.abc import Iterable
from pathlib import Path

__all__ = [
    "PORT",
    "ROLES",
    "SUPERUSER",
    "access_rules",
    "fits_socket",
    "server_settings",
    "user_map",
]

PORT = 5432  # only names the socket's file: the server opens no TCP port
SUPERUSER = "smcatalog"
ROLES = (SUPERUSER, "smcatalog_writer", "smcatalog_analyst", "smcatalog_api")

_MAP = "smcatalog"
_MAX_SOCKET_BYTES = 107  # sun_path holds 108 with the closing zero
_PLAIN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/._+-=~")

# For a machine with 2 cores and 24 GiB whose other processes are the workers.
_SETTINGS = {
    "cluster_name": "'smcatalog'",
    "listen_addresses": "''",
    "port": str(PORT),
    "unix_socket_permissions": "0700",
    "max_connections": "60",
    "shared_buffers": "512MB",
    "effective_cache_size": "8GB",
    "work_mem": "32MB",
    "maintenance_work_mem": "256MB",
    "max_wal_size": "2GB",
    "random_page_cost": "1.1",
    "jit": "off",
    "timezone": "'UTC'",
    "log_timezone": "'UTC'",
    # a week of logs, each weekday's file written over a week later
    "logging_collector": "on",
    "log_directory": "'log'",
    "log_filename": "'postgresql-%a.log'",
    "log_truncate_on_rotation": "on",
    "log_rotation_age": "1d",
    "log_rotation_size": "0",
    "log_line_prefix": "'%m [%p] %q%u@%d '",
}
_NOT_DURABLE = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "128MB",
}


def server_settings(socket_dir: Path, *, durable: bool) -> str:
    """Text of ``smcatalog.conf``, which ``postgresql.conf`` includes.

    Parameters
    ----------
    socket_dir : Path
        Directory of the server's socket; `fits_socket` holds for it.
    durable : bool
        False trades safety in a crash for speed; for throw-away clusters only.
    """
    settings = _SETTINGS | {"unix_socket_directories": f"'{socket_dir}'"}
    if not durable:
        settings |= _NOT_DURABLE
    head = (
        "# Written at each start of the private cluster. Your own settings: ALTER SYSTEM SET ...\n"
    )
    return head + "".join(f"{name} = {value}\n" for name, value in settings.items())


def access_rules() -> str:
    """Text of ``pg_hba.conf``: the socket only, and the kernel says who is calling."""
    return f"local all all peer map={_MAP}\n"


def user_map(users: Iterable[str]) -> str:
    """Text of ``pg_ident.conf``: these users of the machine may act as any of our roles."""
    return "".join(f'{_MAP} "{user}" {role}\n' for user in sorted(set(users)) for role in ROLES)


def fits_socket(directory: Path) -> bool:
    """Whether the server's socket can live in a directory.

    The kernel limits the length of the address. Commas, quotes and the like mean something in the
    settings and connection strings that name the directory, so only plain letters pass.
    """
    address = f"{directory}/.s.PGSQL.{PORT}"
    return len(address) <= _MAX_SOCKET_BYTES and _PLAIN.issuperset(address)
