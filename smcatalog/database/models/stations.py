"""Networks, stations, sensors and what they observed."""

from __future__ import annotations

from datetime import datetime

from geoalchemy2 import Geometry, WKBElement
from sqlalchemy import (
    REAL,
    BigInteger,
    CheckConstraint,
    DateTime,
    ForeignKey,
    SmallInteger,
    UniqueConstraint,
)
from sqlalchemy.orm import Mapped, mapped_column

from smcatalog.database.models.base import Base, Key

__all__ = ["Network", "Observation", "Sensor", "Station"]


class Network(Base):
    """A network of stations."""

    __tablename__ = "networks"
    __table_args__ = {"comment": "Networks of soil moisture stations"}  # noqa: RUF012

    id: Mapped[Key] = mapped_column(comment="Surrogate key")
    name: Mapped[str] = mapped_column(unique=True, comment="Name as the provider writes it")
    title: Mapped[str | None] = mapped_column(comment="Full name")
    citation: Mapped[str | None] = mapped_column(comment="How its data are to be cited")


class Station(Base):
    """A place where sensors are buried."""

    __tablename__ = "stations"
    __table_args__ = (
        UniqueConstraint("network_id", "name"),
        CheckConstraint("same_site_as <> id", name="not_own_twin"),
        {"comment": "Stations: places where sensors are buried"},
    )

    id: Mapped[Key] = mapped_column(comment="Surrogate key")
    network_id: Mapped[int] = mapped_column(ForeignKey(Network.id), comment="Network it belongs to")
    name: Mapped[str] = mapped_column(comment="Name as the provider writes it")
    geometry: Mapped[WKBElement] = mapped_column(
        Geometry("POINT", srid=4326, spatial_index=True), comment="Place, WGS 84"
    )
    coordinate_decimals: Mapped[int] = mapped_column(
        SmallInteger,
        comment="Decimal places of the coordinates as delivered; the finer statement wins",
    )
    elevation: Mapped[float | None] = mapped_column(REAL, comment="Metres above sea level")
    same_site_as: Mapped[int | None] = mapped_column(
        ForeignKey("smcatalog.stations.id"),
        index=True,
        comment="Station of another network at the same place, known earlier: not independent of it",
    )


class Sensor(Base):
    """One instrument at one depth of a station."""

    __tablename__ = "sensors"
    __table_args__ = (
        UniqueConstraint("station_id", "name", "variable", "depth_top", "depth_bottom"),
        CheckConstraint("0 <= depth_top AND depth_top <= depth_bottom", name="depths"),
        CheckConstraint("step_hours IN (1, 24)", name="step"),
        {"comment": "Sensors: one instrument at one depth of a station"},
    )

    id: Mapped[Key] = mapped_column(comment="Surrogate key")
    station_id: Mapped[int] = mapped_column(ForeignKey(Station.id), comment="Station it is at")
    name: Mapped[str] = mapped_column(comment="Instrument, as the provider writes it")
    variable: Mapped[str] = mapped_column(comment="What it measures: sm is soil moisture, m3 m-3")
    depth_top: Mapped[float] = mapped_column(REAL, comment="Upper end of the depth, m")
    depth_bottom: Mapped[float] = mapped_column(REAL, comment="Lower end of the depth, m")
    step_hours: Mapped[int] = mapped_column(
        SmallInteger, comment="What a value stands for: 1 = an hour, 24 = a daily mean"
    )


class Observation(Base):
    """One value of one sensor. Partitioned by year of `time`.

    That the sensor is there, triggers see to: a foreign key would look at each row by itself.
    """

    __tablename__ = "observations"
    __table_args__ = {  # noqa: RUF012
        "comment": "Observations of sensors, partitioned by year",
        "postgresql_partition_by": "RANGE (time)",
    }

    sensor_id: Mapped[int] = mapped_column(
        BigInteger, primary_key=True, autoincrement=False, comment="Sensor that observed"
    )
    time: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), primary_key=True, comment="Start of the hour or day, UTC"
    )
    value: Mapped[float] = mapped_column(REAL, comment="Value in the variable's unit")
    good: Mapped[bool] = mapped_column(comment="Whether the quality flags let it be used")
    flag: Mapped[str | None] = mapped_column(comment="Quality flags of the provider, as delivered")
