"""Who may do what: the roles, their memberships and grants, and the settings of the database.

Three roles beside the owner of the schema, each able to log in and none with a password until an
administrator sets one:

- ``smcatalog_writer`` for workers: reads and writes our tables, pgstac's and the queue's.
- ``smcatalog_analyst`` for people with SQL: reads the views, nothing else.
- ``smcatalog_api`` for the API: searches in pgstac and reads the views.

All statements here are safe to repeat.
"""

from __future__ import annotations

from typing import Final

from smcatalog.database.queue_schema import INSTALLED

__all__ = ["ANALYST", "API", "WRITER", "grants", "is_complete", "roles", "settings"]

WRITER: Final = "smcatalog_writer"
ANALYST: Final = "smcatalog_analyst"
API: Final = "smcatalog_api"

_MEMBERSHIPS: Final = {WRITER: ("pgstac_read", "pgstac_ingest"), API: ("pgstac_read",), ANALYST: ()}
_SETTINGS: Final = {
    # Without schema smcatalog: its tables are always named in full, and one of them shares its
    # name with a view that pgstac's functions find through this path.
    "search_path": "views, pgstac, public",
    "timezone": "'UTC'",
}
_PGSTAC_SETTINGS: Final = {
    "context": "on",  # searches answer with numberMatched
    "use_queue": "false",  # nobody drains a queue
    "update_collection_extent": "false",  # the extent is what the product declares
}


def roles() -> str:
    """Return SQL that makes the roles and their memberships."""
    lines = []
    for role, groups in _MEMBERSHIPS.items():
        lines.append(f"""
            DO $$ BEGIN
                CREATE ROLE {role} LOGIN NOCREATEDB NOCREATEROLE NOSUPERUSER;
            EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
            END $$;
        """)
        # A grant that is there already is left alone: repeating it would write a row of a
        # catalogue that all databases of the server share.
        lines.extend(
            f"""
            DO $$ BEGIN
                IF NOT pg_has_role('{role}', '{group}', 'MEMBER') THEN
                    GRANT {group} TO {role};
                END IF;
            END $$;
            """
            for group in groups
        )
    return "".join(lines)


def grants() -> str:
    """Return SQL that gives each role what it needs on our schemas and takes the rest away."""
    tables, views = "ALL TABLES IN SCHEMA smcatalog, procrastinate", "ALL TABLES IN SCHEMA views"
    readers = f"{WRITER}, {ANALYST}, {API}"
    return f"""
        REVOKE CREATE ON SCHEMA public FROM PUBLIC;
        REVOKE ALL ON SCHEMA smcatalog, procrastinate, views FROM PUBLIC, {ANALYST}, {API};
        REVOKE ALL ON {tables} FROM {ANALYST}, {API};

        GRANT USAGE ON SCHEMA smcatalog, procrastinate TO {WRITER};
        GRANT SELECT, INSERT, UPDATE, DELETE ON {tables} TO {WRITER};
        REVOKE INSERT, UPDATE, DELETE
            ON smcatalog.alembic_version, procrastinate.{INSTALLED} FROM {WRITER};
        GRANT USAGE ON ALL SEQUENCES IN SCHEMA smcatalog, procrastinate TO {WRITER};
        GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA procrastinate TO {WRITER};
        GRANT EXECUTE ON FUNCTION smcatalog.ensure_observation_partition(integer) TO {WRITER};

        GRANT USAGE ON SCHEMA views TO {readers};
        GRANT SELECT ON {views} TO {readers};
        GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA views TO {readers};
    """


def settings(database: str) -> str:
    """Return SQL for what belongs to the database itself and does not travel with a template.

    Parameters
    ----------
    database : str
        Quoted as an SQL identifier.
    """
    lines = [f"ALTER DATABASE {database} SET {k} = {v};" for k, v in _SETTINGS.items()]
    lines.append(f"""
        REVOKE CREATE, TEMPORARY ON DATABASE {database} FROM PUBLIC;
        -- match-ups are loaded through a temporary table; pgstac's searches may make some, too
        GRANT TEMPORARY ON DATABASE {database} TO {WRITER}, {API};
    """)
    return "".join(lines)


def pgstac_settings() -> str:
    """Return SQL for pgstac's own settings."""
    rows = ", ".join(f"('{name}', '{value}')" for name, value in _PGSTAC_SETTINGS.items())
    return f"""
        INSERT INTO pgstac.pgstac_settings (name, value) VALUES {rows}
        ON CONFLICT (name) DO UPDATE SET value = EXCLUDED.value
        WHERE pgstac_settings.value IS DISTINCT FROM EXCLUDED.value;
    """  # noqa: S608 - constants of this module


def is_complete() -> str:
    """Return a query whose one row says whether roles, grants and settings are all in place.

    Columns: ``roles``, ``grants``, ``settings``. Only asked once the schemas and roles exist.
    """
    members = " AND ".join(
        f"pg_has_role('{role}', '{group}', 'MEMBER')"
        for role, groups in _MEMBERSHIPS.items()
        for group in groups
    )
    stac = " OR ".join(f"(name = '{n}' AND value = '{v}')" for n, v in _PGSTAC_SETTINGS.items())
    in_force = " AND ".join(
        f"'{setting}' = ANY (coalesce(s.setconfig, '{{}}'))"
        for setting in (
            f"search_path={_SETTINGS['search_path']}",
            "TimeZone=UTC",
        )
    )
    return f"""
        SELECT
            {members} AS roles,
            (
                SELECT bool_and(
                    CASE n.nspname
                    WHEN 'views' THEN has_table_privilege('{WRITER}', c.oid, 'SELECT')
                        AND has_table_privilege('{ANALYST}', c.oid, 'SELECT')
                        AND has_table_privilege('{API}', c.oid, 'SELECT')
                    ELSE (c.relispartition OR c.relname IN ('alembic_version', '{INSTALLED}')
                          OR has_table_privilege('{WRITER}', c.oid, 'SELECT')
                            AND has_table_privilege('{WRITER}', c.oid, 'INSERT')
                            AND has_table_privilege('{WRITER}', c.oid, 'UPDATE')
                            AND has_table_privilege('{WRITER}', c.oid, 'DELETE'))
                        AND NOT has_table_privilege('{ANALYST}', c.oid, 'SELECT')
                        AND NOT has_table_privilege('{API}', c.oid, 'SELECT')
                    END)
                FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                WHERE n.nspname IN ('smcatalog', 'procrastinate', 'views')
                    AND c.relkind IN ('r', 'p', 'v', 'm')
            )
            AND NOT EXISTS (
                SELECT FROM pg_proc f, unnest(ARRAY['{WRITER}', '{ANALYST}', '{API}']) AS reader
                WHERE f.pronamespace = to_regnamespace('views')
                  AND NOT has_function_privilege(reader, f.oid, 'EXECUTE')
            )
            AND has_schema_privilege('{ANALYST}', 'views', 'USAGE')
            AND has_schema_privilege('{API}', 'views', 'USAGE')
            AND has_schema_privilege('{WRITER}', 'smcatalog', 'USAGE')
            AND has_schema_privilege('{WRITER}', 'procrastinate', 'USAGE')
            AND (
                SELECT bool_and(has_function_privilege('{WRITER}', p.oid, 'EXECUTE')
                                AND p.proconfig IS NOT NULL)
                FROM pg_proc p WHERE p.pronamespace = 'procrastinate'::regnamespace
            )
            AND NOT has_schema_privilege('{ANALYST}', 'public', 'CREATE')
            AND (
                SELECT bool_and(has_sequence_privilege('{WRITER}', c.oid, 'USAGE'))
                FROM pg_class c
                WHERE c.relnamespace IN ('smcatalog'::regnamespace, 'procrastinate'::regnamespace)
                    AND c.relkind = 'S'
            )
            AND has_function_privilege(
                '{WRITER}', 'smcatalog.ensure_observation_partition(integer)', 'EXECUTE') AS grants,
            (
                SELECT count(*) = {len(_PGSTAC_SETTINGS)} FROM pgstac.pgstac_settings WHERE {stac}
            )
            AND EXISTS (
                SELECT FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase
                WHERE d.datname = current_database() AND s.setrole = 0 AND {in_force}
            )
            AND has_database_privilege('{WRITER}', current_database(), 'TEMPORARY')
            AND NOT has_database_privilege('{ANALYST}', current_database(), 'TEMPORARY')
                AS settings
    """  # noqa: S608 - constants of this module
