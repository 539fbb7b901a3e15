"""Upgrade the database, then give the roles of worker and API their passwords."""  # noqa: INP001 - a program of the image, not a package

import os
from pathlib import Path

import psycopg
from psycopg import sql

from smcatalog.database.upgrade import upgrade

PASSWORDS = {
    "smcatalog_writer": "WRITER_PASSWORD_FILE",
    "smcatalog_api": "API_PASSWORD_FILE",
}


def main() -> None:
    """Do both; safe to repeat."""
    url = os.environ["SMCATALOG_DATABASE_URL"]
    report = upgrade(url)
    print(f"schema {report.revision}, pgstac {report.pgstac}")  # noqa: T201 - a container's log
    with psycopg.connect(url) as connection:
        for role, variable in PASSWORDS.items():
            password = Path(os.environ[variable]).read_text(encoding="utf-8").strip()
            connection.execute(
                sql.SQL("ALTER ROLE {} PASSWORD {}").format(
                    sql.Identifier(role), sql.Literal(password)
                )
            )


if __name__ == "__main__":
    main()
