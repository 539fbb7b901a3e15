"""Put the database's address together, then become the command.

The password is read from a secret's file, so that it stands in no image and no compose file. Only
the process itself sees it.

``DATABASE_HOST``, ``DATABASE_ROLE`` and ``DATABASE_PASSWORD_FILE`` are set by the compose file.
"""  # noqa: INP001 - a program of the image, not a package

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote


def database_url(env: Mapping[str, str]) -> str | None:
    """Address of the database for the container's role; None when no host is named."""
    host = env.get("DATABASE_HOST")
    if not host:
        return None
    role = env["DATABASE_ROLE"]
    password = Path(env["DATABASE_PASSWORD_FILE"]).read_text(encoding="utf-8").strip()
    return f"postgresql://{role}:{quote(password, safe='')}@{host}:5432/smcatalog"


def main() -> None:
    """Set the addresses and run the command in this process's place."""
    url = database_url(os.environ)
    if url is not None:
        os.environ["SMCATALOG_DATABASE_URL"] = url
        os.environ["SMCATALOG_API_DATABASE_URL"] = url
    os.execvp(sys.argv[1], sys.argv[1:])  # noqa: S606 - the command is the container's


if __name__ == "__main__":
    main()
