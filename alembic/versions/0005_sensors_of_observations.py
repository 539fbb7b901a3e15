"""Which sensors observations belong to is checked once a statement, no longer once a row.

A foreign key looks its row up for every single observation, and that was three quarters of the work of
loading them. The triggers keep what it promised: no observation without its sensor, no sensor goes, or changes
its key, while it has observations, whoever loads and deletes at the same time. What is written into a
partition by its own name is not checked: nobody does.

Revision ID: 0005
Revises: 0004
"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

FOREIGN_KEY = "fk_observations_sensor_id"

CHECKS = """
CREATE FUNCTION smcatalog.check_observed_sensors() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    missing bigint;
BEGIN
    -- who deletes one of these sensors now waits, and then finds the observations
    WITH written AS (SELECT DISTINCT sensor_id FROM new_observations),
    known AS (
        SELECT s.id FROM smcatalog.sensors s
        WHERE s.id IN (SELECT sensor_id FROM written) FOR KEY SHARE OF s
    )
    SELECT w.sensor_id INTO missing FROM written w LEFT JOIN known k ON k.id = w.sensor_id
    WHERE k.id IS NULL ORDER BY 1 LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'there is no sensor %', missing
            USING ERRCODE = 'foreign_key_violation', SCHEMA = 'smcatalog',
                  TABLE = 'observations', COLUMN = 'sensor_id';
    END IF;
    RETURN NULL;
END
$function$;

CREATE FUNCTION smcatalog.keep_observed_sensors() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        IF EXISTS (SELECT FROM smcatalog.observations) THEN
            RAISE EXCEPTION 'sensors have observations' USING ERRCODE = 'foreign_key_violation';
        END IF;
    ELSIF EXISTS (SELECT FROM smcatalog.observations WHERE sensor_id = OLD.id) THEN
        RAISE EXCEPTION 'sensor % has observations', OLD.id
            USING ERRCODE = 'foreign_key_violation', SCHEMA = 'smcatalog', TABLE = 'sensors';
    END IF;
    RETURN CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
END
$function$;

COMMENT ON FUNCTION smcatalog.check_observed_sensors() IS
    'Refuses observations of sensors that are not there';
COMMENT ON FUNCTION smcatalog.keep_observed_sensors() IS
    'Refuses to let sensors go that have observations';

REVOKE ALL ON FUNCTION smcatalog.check_observed_sensors(), smcatalog.keep_observed_sensors() FROM PUBLIC;

CREATE TRIGGER sensors_of_new AFTER INSERT ON smcatalog.observations
    REFERENCING NEW TABLE AS new_observations
    FOR EACH STATEMENT EXECUTE FUNCTION smcatalog.check_observed_sensors();
CREATE TRIGGER sensors_of_changed AFTER UPDATE ON smcatalog.observations
    REFERENCING NEW TABLE AS new_observations
    FOR EACH STATEMENT EXECUTE FUNCTION smcatalog.check_observed_sensors();
CREATE TRIGGER keep_observed BEFORE DELETE OR UPDATE OF id ON smcatalog.sensors
    FOR EACH ROW EXECUTE FUNCTION smcatalog.keep_observed_sensors();
CREATE TRIGGER keep_all_observed BEFORE TRUNCATE ON smcatalog.sensors
    FOR EACH STATEMENT EXECUTE FUNCTION smcatalog.keep_observed_sensors();
"""


def upgrade() -> None:
    op.drop_constraint(FOREIGN_KEY, "observations", schema="smcatalog", type_="foreignkey")
    op.execute(CHECKS)


def downgrade() -> None:
    for table, trigger in (
        ("observations", "sensors_of_new"),
        ("observations", "sensors_of_changed"),
        ("sensors", "keep_observed"),
        ("sensors", "keep_all_observed"),
    ):
        op.execute(f"DROP TRIGGER {trigger} ON smcatalog.{table}")
    op.execute(
        "DROP FUNCTION smcatalog.check_observed_sensors(), smcatalog.keep_observed_sensors()"
    )
    op.create_foreign_key(
        FOREIGN_KEY, "observations", "sensors", ["sensor_id"], ["id"],
        source_schema="smcatalog", referent_schema="smcatalog",
    )  # fmt: skip
