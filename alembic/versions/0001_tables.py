"""The tables, and the yearly partitions of the observations.

Revision ID: 0001
Revises: None
"""

import sqlalchemy as sa
from alembic import op
from geoalchemy2 import Geometry
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

NOW = sa.text("clock_timestamp()")

ENSURE_PARTITION = """
CREATE FUNCTION smcatalog.ensure_observation_partition(year integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    partition text := format('observations_%s', year);
BEGIN
    IF year NOT BETWEEN 1900 AND 2199 THEN
        RAISE EXCEPTION 'there are no observations of the year %', year
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF to_regclass('smcatalog.' || partition) IS NOT NULL THEN
        RETURN;
    END IF;
    -- Two loaders may need the same year at once: the second one waits and finds it made.
    PERFORM pg_advisory_xact_lock(hashtext('smcatalog.observations'), year);
    IF to_regclass('smcatalog.' || partition) IS NULL THEN
        EXECUTE format(
            'CREATE TABLE smcatalog.%I PARTITION OF smcatalog.observations '
            'FOR VALUES FROM (%L) TO (%L)',
            partition, make_timestamptz(year, 1, 1, 0, 0, 0, 'UTC'),
            make_timestamptz(year + 1, 1, 1, 0, 0, 0, 'UTC')
        );
        EXECUTE format(
            'COMMENT ON TABLE smcatalog.%I IS %L', partition, 'Observations of ' || year
        );
    END IF;
END
$function$;

COMMENT ON FUNCTION smcatalog.ensure_observation_partition(integer) IS
    'Makes the partition that holds a year of observations, unless it is there';

REVOKE ALL ON FUNCTION smcatalog.ensure_observation_partition(integer) FROM PUBLIC;
"""


def upgrade() -> None:
    op.create_table(
        "granules",
        sa.Column(
            "id", sa.BigInteger(), sa.Identity(always=True), nullable=False, comment="Surrogate key"
        ),
        sa.Column("source", sa.String(), nullable=False, comment="Product family"),
        sa.Column(
            "name",
            sa.String(),
            nullable=False,
            comment="Name of the granule as its provider gave it",
        ),
        sa.Column(
            "delivered_as",
            sa.String(),
            nullable=False,
            comment="File name under which it came first",
        ),
        sa.Column("sha256", sa.String(length=64), nullable=False, comment="Checksum of the file"),
        sa.Column("size", sa.BigInteger(), nullable=False, comment="Bytes"),
        sa.Column(
            "start_time",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="First instant covered; null for static data",
        ),
        sa.Column(
            "end_time",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="First instant no longer covered",
        ),
        sa.Column(
            "ingested_at",
            sa.DateTime(timezone=True),
            server_default=NOW,
            nullable=False,
            comment="When it was ingested",
        ),
        sa.CheckConstraint(
            "(start_time IS NULL) = (end_time IS NULL)", name=op.f("ck_granules_period_whole")
        ),
        sa.CheckConstraint("start_time < end_time", name=op.f("ck_granules_period_forward")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_granules")),
        sa.UniqueConstraint(
            "source", "name", "sha256", name=op.f("uq_granules_source_name_sha256")
        ),
        schema="smcatalog",
        comment="Granules: one file of a source each; identity is source, name and checksum",
    )
    op.create_index(
        op.f("ix_granules_sha256"), "granules", ["sha256"], unique=False, schema="smcatalog"
    )
    op.create_table(
        "layers",
        sa.Column(
            "id", sa.BigInteger(), sa.Identity(always=True), nullable=False, comment="Surrogate key"
        ),
        sa.Column("source", sa.String(), nullable=False, comment="Product family of its granules"),
        sa.Column(
            "variable", sa.String(), nullable=False, comment="Canonical name of the variable"
        ),
        sa.Column(
            "grid", sa.String(), nullable=False, comment="Name of the grid, windows included"
        ),
        sa.Column(
            "day",
            sa.Date(),
            nullable=True,
            comment="Day it is dated by, the middle of its period; null when static",
        ),
        sa.Column(
            "start_time",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="First instant covered; null when static",
        ),
        sa.Column(
            "end_time",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="First instant no longer covered",
        ),
        sa.Column("key", sa.String(), nullable=False, comment="Key of the file in the store"),
        sa.Column("sha256", sa.String(length=64), nullable=False, comment="Checksum of the file"),
        sa.Column("size", sa.BigInteger(), nullable=False, comment="Bytes of the file"),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=NOW,
            nullable=False,
            comment="When it was recorded",
        ),
        sa.Column(
            "superseded_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When another layer took its place; null while in use",
        ),
        sa.CheckConstraint(
            "(start_time IS NULL) = (day IS NULL)", name=op.f("ck_layers_day_with_period")
        ),
        sa.CheckConstraint(
            "(start_time IS NULL) = (end_time IS NULL)", name=op.f("ck_layers_period_whole")
        ),
        sa.CheckConstraint("start_time < end_time", name=op.f("ck_layers_period_forward")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_layers")),
        schema="smcatalog",
        comment="Layers: one variable on one grid for one day or period, or static",
    )
    op.create_index(
        "ix_layers_source_variable_day",
        "layers",
        ["source", "variable", "day"],
        unique=False,
        schema="smcatalog",
    )
    op.create_index(
        "uq_layers_live",
        "layers",
        ["source", "variable", "grid", "start_time", "end_time"],
        unique=True,
        schema="smcatalog",
        postgresql_where="superseded_at IS NULL",
        postgresql_nulls_not_distinct=True,
    )
    op.create_table(
        "networks",
        sa.Column(
            "id", sa.BigInteger(), sa.Identity(always=True), nullable=False, comment="Surrogate key"
        ),
        sa.Column("name", sa.String(), nullable=False, comment="Name as the provider writes it"),
        sa.Column("title", sa.String(), nullable=True, comment="Full name"),
        sa.Column("citation", sa.String(), nullable=True, comment="How its data are to be cited"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_networks")),
        sa.UniqueConstraint("name", name=op.f("uq_networks_name")),
        schema="smcatalog",
        comment="Networks of soil moisture stations",
    )
    op.create_table(
        "products",
        sa.Column(
            "id", sa.BigInteger(), sa.Identity(always=True), nullable=False, comment="Surrogate key"
        ),
        sa.Column("name", sa.String(), nullable=False, comment="Name, also of the STAC collection"),
        sa.Column("title", sa.String(), nullable=False, comment="Name for people"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_products")),
        sa.UniqueConstraint("name", name=op.f("uq_products_name")),
        schema="smcatalog",
        comment="Products: named families of maps, one STAC collection each",
    )
    op.create_table(
        "quarantine",
        sa.Column(
            "id", sa.BigInteger(), sa.Identity(always=True), nullable=False, comment="Surrogate key"
        ),
        sa.Column("name", sa.String(), nullable=False, comment="Name under which it was delivered"),
        sa.Column(
            "sha256",
            sa.String(),
            nullable=True,
            comment="Checksum of the file; null when it could not be read at all",
        ),
        sa.Column("size", sa.BigInteger(), nullable=True, comment="Bytes, when known"),
        sa.Column(
            "source", sa.String(), nullable=True, comment="Product family, when it was recognised"
        ),
        sa.Column(
            "start_time",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="First instant it would have covered, when known",
        ),
        sa.Column(
            "end_time",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="First instant no longer covered, when known",
        ),
        sa.Column("reason", sa.String(), nullable=False, comment="What is wrong with it"),
        sa.Column(
            "first_seen",
            sa.DateTime(timezone=True),
            server_default=NOW,
            nullable=False,
            comment="When it was refused first",
        ),
        sa.Column(
            "resolved_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When a good file of that name came in; null while it stands",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_quarantine")),
        sa.UniqueConstraint(
            "name",
            "sha256",
            name=op.f("uq_quarantine_name_sha256"),
            postgresql_nulls_not_distinct=True,
        ),
        schema="smcatalog",
        comment="Files that were refused, and why",
    )
    op.create_table(
        "layer_granules",
        sa.Column("layer_id", sa.BigInteger(), nullable=False, comment="The layer"),
        sa.Column(
            "granule_id", sa.BigInteger(), nullable=False, comment="A granule it was made of"
        ),
        sa.ForeignKeyConstraint(
            ["granule_id"], ["smcatalog.granules.id"], name=op.f("fk_layer_granules_granule_id")
        ),
        sa.ForeignKeyConstraint(
            ["layer_id"], ["smcatalog.layers.id"], name=op.f("fk_layer_granules_layer_id")
        ),
        sa.PrimaryKeyConstraint("layer_id", "granule_id", name=op.f("pk_layer_granules")),
        schema="smcatalog",
        comment="Lineage: which granules a layer was made of",
    )
    op.create_index(
        op.f("ix_layer_granules_granule_id"),
        "layer_granules",
        ["granule_id"],
        unique=False,
        schema="smcatalog",
    )
    op.create_table(
        "product_versions",
        sa.Column(
            "id", sa.BigInteger(), sa.Identity(always=True), nullable=False, comment="Surrogate key"
        ),
        sa.Column("product_id", sa.BigInteger(), nullable=False, comment="The product"),
        sa.Column("number", sa.SmallInteger(), nullable=False, comment="1 for the first version"),
        sa.Column("definition", JSONB(), nullable=False, comment="The recipe"),
        sa.Column(
            "fingerprint", sa.String(length=64), nullable=False, comment="Fingerprint of the recipe"
        ),
        sa.Column(
            "training_until",
            sa.Date(),
            nullable=False,
            comment="Training horizon: the last day that models may learn from",
        ),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=NOW,
            nullable=False,
            comment="When it was declared",
        ),
        sa.CheckConstraint("number > 0", name=op.f("ck_product_versions_number")),
        sa.ForeignKeyConstraint(
            ["product_id"], ["smcatalog.products.id"], name=op.f("fk_product_versions_product_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_product_versions")),
        sa.UniqueConstraint("id", "product_id", name=op.f("uq_product_versions_id_product_id")),
        sa.UniqueConstraint(
            "product_id", "fingerprint", name=op.f("uq_product_versions_product_id_fingerprint")
        ),
        sa.UniqueConstraint(
            "product_id", "number", name=op.f("uq_product_versions_product_id_number")
        ),
        schema="smcatalog",
        comment="Versions of products: a recipe each, exactly as declared",
    )
    op.create_table(
        "stations",
        sa.Column(
            "id", sa.BigInteger(), sa.Identity(always=True), nullable=False, comment="Surrogate key"
        ),
        sa.Column("network_id", sa.BigInteger(), nullable=False, comment="Network it belongs to"),
        sa.Column("name", sa.String(), nullable=False, comment="Name as the provider writes it"),
        sa.Column(
            "geometry",
            Geometry("POINT", srid=4326, spatial_index=False),
            nullable=False,
            comment="Place, WGS 84",
        ),
        sa.Column(
            "coordinate_decimals",
            sa.SmallInteger(),
            nullable=False,
            comment="Decimal places of the coordinates as delivered; the finer statement wins",
        ),
        sa.Column("elevation", sa.REAL(), nullable=True, comment="Metres above sea level"),
        sa.Column(
            "same_site_as",
            sa.BigInteger(),
            nullable=True,
            comment="Station of another network at the same place, known earlier: not independent of it",
        ),
        sa.CheckConstraint("same_site_as <> id", name=op.f("ck_stations_not_own_twin")),
        sa.ForeignKeyConstraint(
            ["network_id"], ["smcatalog.networks.id"], name=op.f("fk_stations_network_id")
        ),
        sa.ForeignKeyConstraint(
            ["same_site_as"], ["smcatalog.stations.id"], name=op.f("fk_stations_same_site_as")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_stations")),
        sa.UniqueConstraint("network_id", "name", name=op.f("uq_stations_network_id_name")),
        schema="smcatalog",
        comment="Stations: places where sensors are buried",
    )
    op.create_index(
        "idx_stations_geometry",
        "stations",
        ["geometry"],
        unique=False,
        schema="smcatalog",
        postgresql_using="gist",
    )
    op.create_index(
        op.f("ix_stations_same_site_as"),
        "stations",
        ["same_site_as"],
        unique=False,
        schema="smcatalog",
    )
    op.create_table(
        "partitions",
        sa.Column(
            "id", sa.BigInteger(), sa.Identity(always=True), nullable=False, comment="Surrogate key"
        ),
        sa.Column(
            "product_version_id", sa.BigInteger(), nullable=False, comment="The product version"
        ),
        sa.Column(
            "period", sa.String(), nullable=False, comment="Name of the period, e.g. all or 2018001"
        ),
        sa.Column("zone", sa.String(), nullable=False, comment="Name of the zone, e.g. all"),
        sa.Column(
            "start_time",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="First instant of the samples",
        ),
        sa.Column(
            "end_time",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="First instant no longer in the samples",
        ),
        sa.CheckConstraint("start_time < end_time", name=op.f("ck_partitions_period_forward")),
        sa.ForeignKeyConstraint(
            ["product_version_id"],
            ["smcatalog.product_versions.id"],
            name=op.f("fk_partitions_product_version_id"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_partitions")),
        sa.UniqueConstraint(
            "product_version_id",
            "period",
            "zone",
            name=op.f("uq_partitions_product_version_id_period_zone"),
        ),
        schema="smcatalog",
        comment="Partitions: the period and zone that one model is fitted for",
    )
    op.create_table(
        "sensors",
        sa.Column(
            "id", sa.BigInteger(), sa.Identity(always=True), nullable=False, comment="Surrogate key"
        ),
        sa.Column("station_id", sa.BigInteger(), nullable=False, comment="Station it is at"),
        sa.Column(
            "name", sa.String(), nullable=False, comment="Instrument, as the provider writes it"
        ),
        sa.Column(
            "variable",
            sa.String(),
            nullable=False,
            comment="What it measures: sm is soil moisture, m3 m-3",
        ),
        sa.Column("depth_top", sa.REAL(), nullable=False, comment="Upper end of the depth, m"),
        sa.Column("depth_bottom", sa.REAL(), nullable=False, comment="Lower end of the depth, m"),
        sa.Column(
            "step_hours",
            sa.SmallInteger(),
            nullable=False,
            comment="What a value stands for: 1 = an hour, 24 = a daily mean",
        ),
        sa.CheckConstraint(
            "0 <= depth_top AND depth_top <= depth_bottom", name=op.f("ck_sensors_depths")
        ),
        sa.CheckConstraint("step_hours IN (1, 24)", name=op.f("ck_sensors_step")),
        sa.ForeignKeyConstraint(
            ["station_id"], ["smcatalog.stations.id"], name=op.f("fk_sensors_station_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sensors")),
        sa.UniqueConstraint(
            "station_id",
            "name",
            "variable",
            "depth_top",
            "depth_bottom",
            name=op.f("uq_sensors_station_id_name_variable_depth_top_depth_bottom"),
        ),
        schema="smcatalog",
        comment="Sensors: one instrument at one depth of a station",
    )
    op.create_table(
        "models",
        sa.Column(
            "id", sa.BigInteger(), sa.Identity(always=True), nullable=False, comment="Surrogate key"
        ),
        sa.Column("partition_id", sa.BigInteger(), nullable=False, comment="The partition"),
        sa.Column(
            "fingerprint",
            sa.String(length=64),
            nullable=False,
            comment="Fingerprint of samples, method, parameters and algorithm version",
        ),
        sa.Column(
            "samples_fingerprint",
            sa.String(length=64),
            nullable=False,
            comment="Fingerprint of the samples",
        ),
        sa.Column("n_samples", sa.Integer(), nullable=False, comment="Number of samples"),
        sa.Column("method", sa.String(), nullable=False, comment="Registered name of the method"),
        sa.Column(
            "scores",
            JSONB(),
            nullable=False,
            comment="Scores against the coarse product, by split, and importances",
        ),
        sa.Column(
            "key", sa.String(), nullable=False, comment="Key of the model's file in the store"
        ),
        sa.Column(
            "sha256", sa.String(length=64), nullable=False, comment="Checksum of the model's file"
        ),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=NOW,
            nullable=False,
            comment="When it was fitted",
        ),
        sa.CheckConstraint("n_samples > 0", name=op.f("ck_models_samples")),
        sa.ForeignKeyConstraint(
            ["partition_id"], ["smcatalog.partitions.id"], name=op.f("fk_models_partition_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_models")),
        sa.UniqueConstraint(
            "partition_id", "fingerprint", name=op.f("uq_models_partition_id_fingerprint")
        ),
        schema="smcatalog",
        comment="Models: what a method learned for a partition",
    )
    op.create_table(
        "monthly_statistics",
        sa.Column(
            "product_version_id", sa.BigInteger(), nullable=False, comment="The product version"
        ),
        sa.Column("sensor_id", sa.BigInteger(), nullable=False, comment="The sensor"),
        sa.Column("band", sa.SmallInteger(), nullable=False, comment="The map's band"),
        sa.Column("month", sa.Date(), nullable=False, comment="First day of the month"),
        sa.Column(
            "subject",
            sa.String(),
            nullable=False,
            comment="map: the 1 km map; coarse: the coarse product where the map has a value too",
        ),
        sa.Column("n", sa.Integer(), nullable=False, comment="Number of pairs"),
        sa.Column("mean_estimate", sa.Double(), nullable=False, comment="Mean of the estimates"),
        sa.Column("mean_reference", sa.Double(), nullable=False, comment="Mean of the references"),
        sa.Column(
            "m2_estimate",
            sa.Double(),
            nullable=False,
            comment="Sum of squared deviations of the estimates from their mean",
        ),
        sa.Column(
            "m2_reference",
            sa.Double(),
            nullable=False,
            comment="Sum of squared deviations of the references from their mean",
        ),
        sa.Column(
            "co_moment", sa.Double(), nullable=False, comment="Sum of products of both deviations"
        ),
        sa.Column(
            "sum_absolute_error",
            sa.Double(),
            nullable=False,
            comment="Sum of the absolute differences",
        ),
        sa.CheckConstraint(
            "subject IN ('map', 'coarse')", name=op.f("ck_monthly_statistics_subject")
        ),
        sa.CheckConstraint(
            "extract(day FROM month) = 1", name=op.f("ck_monthly_statistics_first_of_month")
        ),
        sa.CheckConstraint("n > 0", name=op.f("ck_monthly_statistics_count")),
        sa.ForeignKeyConstraint(
            ["product_version_id"],
            ["smcatalog.product_versions.id"],
            name=op.f("fk_monthly_statistics_product_version_id"),
        ),
        sa.ForeignKeyConstraint(
            ["sensor_id"], ["smcatalog.sensors.id"], name=op.f("fk_monthly_statistics_sensor_id")
        ),
        sa.PrimaryKeyConstraint(
            "product_version_id",
            "sensor_id",
            "band",
            "month",
            "subject",
            name=op.f("pk_monthly_statistics"),
        ),
        schema="smcatalog",
        comment="Monthly moments of match-ups, to be merged by the formula of Chan et al. (1983)",
    )
    op.create_index(
        op.f("ix_monthly_statistics_sensor_id"),
        "monthly_statistics",
        ["sensor_id"],
        unique=False,
        schema="smcatalog",
    )
    op.create_table(
        "observations",
        sa.Column("sensor_id", sa.BigInteger(), nullable=False, comment="Sensor that observed"),
        sa.Column(
            "time",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="Start of the hour or day, UTC",
        ),
        sa.Column("value", sa.REAL(), nullable=False, comment="Value in the variable's unit"),
        sa.Column(
            "good", sa.Boolean(), nullable=False, comment="Whether the quality flags let it be used"
        ),
        sa.Column(
            "flag",
            sa.String(),
            nullable=True,
            comment="Quality flags of the provider, as delivered",
        ),
        sa.ForeignKeyConstraint(
            ["sensor_id"], ["smcatalog.sensors.id"], name=op.f("fk_observations_sensor_id")
        ),
        sa.PrimaryKeyConstraint("sensor_id", "time", name=op.f("pk_observations")),
        schema="smcatalog",
        comment="Observations of sensors, partitioned by year",
        postgresql_partition_by="RANGE (time)",
    )
    op.create_table(
        "maps",
        sa.Column(
            "id",
            sa.BigInteger(),
            sa.Identity(always=False),
            nullable=False,
            comment="Surrogate key",
        ),
        sa.Column("product_id", sa.BigInteger(), nullable=False, comment="The product"),
        sa.Column(
            "product_version_id", sa.BigInteger(), nullable=False, comment="The product version"
        ),
        sa.Column(
            "day", sa.Date(), nullable=False, comment="Day it is dated by, the middle of its period"
        ),
        sa.Column(
            "start_time",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="First instant covered",
        ),
        sa.Column(
            "end_time",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="First instant no longer covered",
        ),
        sa.Column("revision", sa.SmallInteger(), nullable=False, comment="1 when first published"),
        sa.Column("item_id", sa.String(), nullable=False, comment="Identifier of its STAC item"),
        sa.Column("grid", sa.String(), nullable=False, comment="Name of its grid"),
        sa.Column("status", sa.String(), nullable=False, comment="provisional or final"),
        sa.Column(
            "fingerprint",
            sa.String(length=64),
            nullable=False,
            comment="Fingerprint of all inputs, parameters and the algorithm's version",
        ),
        sa.Column("model_id", sa.BigInteger(), nullable=False, comment="Model that made it"),
        sa.Column(
            "published_at",
            sa.DateTime(timezone=True),
            server_default=NOW,
            nullable=False,
            comment="When it was published",
        ),
        sa.Column(
            "superseded_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When another map took its place; null while it is live",
        ),
        sa.Column(
            "superseded_by", sa.BigInteger(), nullable=True, comment="The map that took its place"
        ),
        sa.CheckConstraint("status IN ('provisional', 'final')", name=op.f("ck_maps_status")),
        sa.CheckConstraint(
            "(superseded_at IS NULL) = (superseded_by IS NULL)", name=op.f("ck_maps_superseded_by")
        ),
        sa.CheckConstraint("published_at <= superseded_at", name=op.f("ck_maps_superseded_later")),
        sa.CheckConstraint("start_time < end_time", name=op.f("ck_maps_period_forward")),
        sa.ForeignKeyConstraint(
            ["model_id"], ["smcatalog.models.id"], name=op.f("fk_maps_model_id")
        ),
        sa.ForeignKeyConstraint(
            ["product_id"], ["smcatalog.products.id"], name=op.f("fk_maps_product_id")
        ),
        sa.ForeignKeyConstraint(
            ["product_version_id", "product_id"],
            ["smcatalog.product_versions.id", "smcatalog.product_versions.product_id"],
            name=op.f("fk_maps_product_version_id_product_id"),
        ),
        sa.ForeignKeyConstraint(
            ["superseded_by"],
            ["smcatalog.maps.id"],
            name=op.f("fk_maps_superseded_by"),
            initially="DEFERRED",
            deferrable=True,
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_maps")),
        sa.UniqueConstraint("item_id", name=op.f("uq_maps_item_id")),
        sa.UniqueConstraint(
            "product_version_id",
            "day",
            "revision",
            name=op.f("uq_maps_product_version_id_day_revision"),
        ),
        schema="smcatalog",
        comment="Maps: one product version, one day; never overwritten",
    )
    op.create_index(
        op.f("ix_maps_model_id"), "maps", ["model_id"], unique=False, schema="smcatalog"
    )
    op.create_index(
        "uq_maps_live",
        "maps",
        ["product_id", "day"],
        unique=True,
        schema="smcatalog",
        postgresql_where="superseded_at IS NULL",
    )
    op.create_table(
        "map_files",
        sa.Column("map_id", sa.BigInteger(), nullable=False, comment="The map"),
        sa.Column(
            "kind", sa.String(), nullable=False, comment="soil_moisture, uncertainty or quality"
        ),
        sa.Column("key", sa.String(), nullable=False, comment="Key of the file in the store"),
        sa.Column("sha256", sa.String(length=64), nullable=False, comment="Checksum of the file"),
        sa.Column("size", sa.BigInteger(), nullable=False, comment="Bytes of the file"),
        sa.ForeignKeyConstraint(
            ["map_id"], ["smcatalog.maps.id"], name=op.f("fk_map_files_map_id")
        ),
        sa.PrimaryKeyConstraint("map_id", "kind", name=op.f("pk_map_files")),
        schema="smcatalog",
        comment="Files that maps consist of",
    )
    op.create_index(
        op.f("ix_map_files_key"), "map_files", ["key"], unique=False, schema="smcatalog"
    )
    op.create_table(
        "map_layers",
        sa.Column("map_id", sa.BigInteger(), nullable=False, comment="The map"),
        sa.Column("layer_id", sa.BigInteger(), nullable=False, comment="A layer it was made of"),
        sa.Column(
            "role",
            sa.String(),
            nullable=False,
            comment="coarse: the product that was downscaled; covariate: what it was downscaled with",
        ),
        sa.CheckConstraint("role IN ('coarse', 'covariate')", name=op.f("ck_map_layers_role")),
        sa.ForeignKeyConstraint(
            ["layer_id"], ["smcatalog.layers.id"], name=op.f("fk_map_layers_layer_id")
        ),
        sa.ForeignKeyConstraint(
            ["map_id"], ["smcatalog.maps.id"], name=op.f("fk_map_layers_map_id")
        ),
        sa.PrimaryKeyConstraint("map_id", "layer_id", name=op.f("pk_map_layers")),
        schema="smcatalog",
        comment="Lineage: which layers a map was made of",
    )
    op.create_index(
        op.f("ix_map_layers_layer_id"), "map_layers", ["layer_id"], unique=False, schema="smcatalog"
    )
    op.create_table(
        "matchups",
        sa.Column("map_id", sa.BigInteger(), nullable=False, comment="The map"),
        sa.Column("sensor_id", sa.BigInteger(), nullable=False, comment="The sensor"),
        sa.Column(
            "band", sa.SmallInteger(), nullable=False, comment="The map's band, from 1: one a depth"
        ),
        sa.Column(
            "reference",
            sa.Double(),
            nullable=False,
            comment="Mean of the station's daily means over the map's period, m3 m-3",
        ),
        sa.Column(
            "n_days", sa.SmallInteger(), nullable=False, comment="Days that the reference rests on"
        ),
        sa.Column(
            "estimate",
            sa.Double(),
            nullable=True,
            comment="The map's value at the station, m3 m-3; null where the map has none",
        ),
        sa.Column(
            "coarse",
            sa.Double(),
            nullable=True,
            comment="The coarse product's value at the station, m3 m-3",
        ),
        sa.Column("quality", sa.Integer(), nullable=True, comment="The map's quality bits there"),
        sa.Column(
            "computed_at",
            sa.DateTime(timezone=True),
            server_default=NOW,
            nullable=False,
            comment="When it was computed",
        ),
        sa.CheckConstraint("n_days > 0", name=op.f("ck_matchups_days")),
        sa.ForeignKeyConstraint(["map_id"], ["smcatalog.maps.id"], name=op.f("fk_matchups_map_id")),
        sa.ForeignKeyConstraint(
            ["sensor_id"], ["smcatalog.sensors.id"], name=op.f("fk_matchups_sensor_id")
        ),
        sa.PrimaryKeyConstraint("map_id", "sensor_id", "band", name=op.f("pk_matchups")),
        schema="smcatalog",
        comment="Match-ups: a station's observation beside the map's value",
    )
    op.create_index(
        op.f("ix_matchups_sensor_id"), "matchups", ["sensor_id"], unique=False, schema="smcatalog"
    )
    op.execute(ENSURE_PARTITION)


def downgrade() -> None:
    op.execute("DROP FUNCTION smcatalog.ensure_observation_partition(integer)")
    op.drop_table("matchups", schema="smcatalog")
    op.drop_table("map_layers", schema="smcatalog")
    op.drop_table("map_files", schema="smcatalog")
    op.drop_table("maps", schema="smcatalog")
    op.drop_table("observations", schema="smcatalog")
    op.drop_table("monthly_statistics", schema="smcatalog")
    op.drop_table("models", schema="smcatalog")
    op.drop_table("sensors", schema="smcatalog")
    op.drop_table("partitions", schema="smcatalog")
    op.drop_table("stations", schema="smcatalog")
    op.drop_table("product_versions", schema="smcatalog")
    op.drop_table("layer_granules", schema="smcatalog")
    op.drop_table("quarantine", schema="smcatalog")
    op.drop_table("products", schema="smcatalog")
    op.drop_table("networks", schema="smcatalog")
    op.drop_table("layers", schema="smcatalog")
    op.drop_table("granules", schema="smcatalog")
