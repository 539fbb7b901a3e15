"""How alembic meets the database: our schema only, one transaction for all revisions.

Whoever runs a command in Python hands its connection over in ``config.attributes["connection"]``;
from the shell the database is named by ``-x url=...`` or ``SMCATALOG_DATABASE_URL``.
"""

import os

import sqlalchemy as sa
from alembic import context

from smcatalog.core.errors import ConfigurationError
from smcatalog.database.engine import schema_engine
from smcatalog.database.migrations import configure_arguments


def run(connection: sa.Connection) -> None:
    context.configure(connection=connection, **configure_arguments())
    with context.begin_transaction():
        context.run_migrations()


def run_from_shell() -> None:
    url = context.get_x_argument(as_dictionary=True).get("url")
    url = url or os.environ.get("SMCATALOG_DATABASE_URL")
    if not url:
        raise ConfigurationError(
            "alembic does not know the database: set SMCATALOG_DATABASE_URL or add -x url=..."
        )
    engine = schema_engine(url)
    try:
        with engine.begin() as connection:
            run(connection)
    finally:
        engine.dispose()


if context.is_offline_mode():
    raise ConfigurationError("migrations look at the database, so they cannot run offline (--sql)")
handed = context.config.attributes.get("connection")
if handed is None:
    run_from_shell()
else:
    run(handed)
