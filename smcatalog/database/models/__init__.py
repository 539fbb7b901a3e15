"""Tables of the schema ``smcatalog``, as SQLAlchemy models."""

from smcatalog.database.models.announcements import Announcement, Webhook
from smcatalog.database.models.base import SCHEMA, Base
from smcatalog.database.models.damage import DamagedFile
from smcatalog.database.models.deliveries import Delivery
from smcatalog.database.models.inputs import Granule, Layer, LayerGranule, Quarantine
from smcatalog.database.models.jobs import JobTrouble, QuarantinedJob, StepTotal
from smcatalog.database.models.outputs import (
    Map,
    MapFile,
    MapLayer,
    Model,
    Partition,
    Product,
    ProductVersion,
)
from smcatalog.database.models.plan import PlanChange, PlanDay, ProductInput, ReprocessRequest
from smcatalog.database.models.stations import Network, Observation, Sensor, Station
from smcatalog.database.models.validation import Matchup, MonthlyStatistics
from smcatalog.database.models.zones import Zone

__all__ = [
    "SCHEMA",
    "Announcement",
    "Base",
    "DamagedFile",
    "Delivery",
    "Granule",
    "JobTrouble",
    "Layer",
    "LayerGranule",
    "Map",
    "MapFile",
    "MapLayer",
    "Matchup",
    "Model",
    "MonthlyStatistics",
    "Network",
    "Observation",
    "Partition",
    "PlanChange",
    "PlanDay",
    "Product",
    "ProductInput",
    "ProductVersion",
    "Quarantine",
    "QuarantinedJob",
    "ReprocessRequest",
    "Sensor",
    "Station",
    "StepTotal",
    "Webhook",
    "Zone",
]
