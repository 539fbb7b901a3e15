"""Observations that models learn from: what comes or goes of them leaves a note, as layers do.

A product that learns from stations reads the source 'in-situ'; days on which observations came or went are looked at
again, and a model is fitted anew when what its days teach is different.

Revision ID: 0014
Revises: 0013
"""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

NOTES = """
CREATE FUNCTION smcatalog.note_observation_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    -- as for layers: a product that is declared at this moment finds the observations, or we find it
    PERFORM pg_advisory_xact_lock_shared(hashtext('smcatalog.product_inputs'));
    IF NOT EXISTS (SELECT FROM smcatalog.product_inputs WHERE source = 'in-situ') THEN
        RETURN NULL;
    END IF;
    INSERT INTO smcatalog.plan_changes (product_version_id, first_day, last_day)
    SELECT i.product_version_id, (min(o.time) AT TIME ZONE 'UTC')::date - 1,
           (max(o.time) AT TIME ZONE 'UTC')::date + 1
    FROM changed o
    JOIN smcatalog.sensors s ON s.id = o.sensor_id
    JOIN smcatalog.product_inputs i ON i.source = 'in-situ' AND i.variable = s.variable
    GROUP BY i.product_version_id;
    RETURN NULL;
END
$function$;

CREATE FUNCTION smcatalog.note_station_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(hashtext('smcatalog.product_inputs'));
    INSERT INTO smcatalog.plan_changes (product_version_id)
    SELECT DISTINCT i.product_version_id FROM smcatalog.product_inputs i WHERE i.source = 'in-situ';
    RETURN NULL;
END
$function$;

COMMENT ON FUNCTION smcatalog.note_observation_change() IS
    'Notes for every active product version that learns from stations on which days their observations changed';
COMMENT ON FUNCTION smcatalog.note_station_change() IS
    'Notes for every active product version that learns from stations that one stands elsewhere than it was said';

REVOKE ALL ON FUNCTION smcatalog.note_observation_change(), smcatalog.note_station_change() FROM PUBLIC;

CREATE TRIGGER observations_came AFTER INSERT ON smcatalog.observations
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION smcatalog.note_observation_change();
CREATE TRIGGER observations_changed AFTER UPDATE ON smcatalog.observations
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION smcatalog.note_observation_change();
CREATE TRIGGER observations_went AFTER DELETE ON smcatalog.observations
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION smcatalog.note_observation_change();
CREATE TRIGGER station_moved AFTER UPDATE OF geometry ON smcatalog.stations
    FOR EACH ROW EXECUTE FUNCTION smcatalog.note_station_change();
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(NOTES)


def downgrade() -> None:
    for name in ("came", "changed", "went"):
        op.execute(f"DROP TRIGGER observations_{name} ON smcatalog.observations")
    op.execute("DROP TRIGGER station_moved ON smcatalog.stations")
    op.execute("DROP FUNCTION smcatalog.note_observation_change(), smcatalog.note_station_change()")
