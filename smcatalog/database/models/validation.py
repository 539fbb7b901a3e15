"""Maps beside stations: match-ups and their monthly roll-up."""

from __future__ import annotations

from datetime import date

from sqlalchemy import (
    CheckConstraint,
    Date,
    Double,
    ForeignKey,
    Integer,
    SmallInteger,
)
from sqlalchemy.orm import Mapped, mapped_column

from smcatalog.database.models.base import Base, Now
from smcatalog.database.models.outputs import Map, ProductVersion
from smcatalog.database.models.stations import Sensor

__all__ = ["Matchup", "MonthlyStatistics"]


class Matchup(Base):
    """A station's observation beside the map's value of that day, place and depth."""

    __tablename__ = "matchups"
    __table_args__ = (
        CheckConstraint("n_days > 0", name="days"),
        {"comment": "Match-ups: a station's observation beside the map's value"},
    )

    map_id: Mapped[int] = mapped_column(ForeignKey(Map.id), primary_key=True, comment="The map")
    sensor_id: Mapped[int] = mapped_column(
        ForeignKey(Sensor.id), primary_key=True, index=True, comment="The sensor"
    )
    band: Mapped[int] = mapped_column(
        SmallInteger, primary_key=True, comment="The map's band, from 1: one a depth"
    )
    reference: Mapped[float] = mapped_column(
        Double, comment="Mean of the station's daily means over the map's period, m3 m-3"
    )
    n_days: Mapped[int] = mapped_column(SmallInteger, comment="Days that the reference rests on")
    estimate: Mapped[float | None] = mapped_column(
        Double, comment="The map's value at the station, m3 m-3; null where the map has none"
    )
    coarse: Mapped[float | None] = mapped_column(
        Double, comment="The coarse product's value at the station, m3 m-3"
    )
    quality: Mapped[int | None] = mapped_column(Integer, comment="The map's quality bits there")
    computed_at: Mapped[Now] = mapped_column(comment="When it was computed")


class MonthlyStatistics(Base):
    """Moments of a month's match-ups, mergeable by Chan's formula."""

    __tablename__ = "monthly_statistics"
    __table_args__ = (
        CheckConstraint("subject IN ('map', 'coarse')", name="subject"),
        CheckConstraint("n > 0", name="count"),
        CheckConstraint("extract(day FROM month) = 1", name="first_of_month"),
        {
            "comment": "Monthly moments of match-ups, to be merged by the formula of Chan et al. (1983)"
        },
    )

    product_version_id: Mapped[int] = mapped_column(
        ForeignKey(ProductVersion.id), primary_key=True, comment="The product version"
    )
    sensor_id: Mapped[int] = mapped_column(
        ForeignKey(Sensor.id), primary_key=True, index=True, comment="The sensor"
    )
    band: Mapped[int] = mapped_column(SmallInteger, primary_key=True, comment="The map's band")
    month: Mapped[date] = mapped_column(Date, primary_key=True, comment="First day of the month")
    subject: Mapped[str] = mapped_column(
        primary_key=True,
        comment="map: the 1 km map; coarse: the coarse product where the map has a value too",
    )
    n: Mapped[int] = mapped_column(Integer, comment="Number of pairs")
    mean_estimate: Mapped[float] = mapped_column(Double, comment="Mean of the estimates")
    mean_reference: Mapped[float] = mapped_column(Double, comment="Mean of the references")
    m2_estimate: Mapped[float] = mapped_column(
        Double, comment="Sum of squared deviations of the estimates from their mean"
    )
    m2_reference: Mapped[float] = mapped_column(
        Double, comment="Sum of squared deviations of the references from their mean"
    )
    co_moment: Mapped[float] = mapped_column(Double, comment="Sum of products of both deviations")
    sum_absolute_error: Mapped[float] = mapped_column(
        Double, comment="Sum of the absolute differences"
    )
