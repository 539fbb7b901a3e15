"""ERA5 and ERA5-Land: hours of the reanalyses, and days that the provider made of them."""

from __future__ import annotations

from typing import Final

from ingest.sources.era5.days import LEAST_HOURS, LEAST_SUMMED
from ingest.sources.era5.reader import Era5

__all__ = ["LEAST_HOURS", "LEAST_SUMMED", "READERS", "Era5"]

READERS: Final = (
    Era5("ERA5", "ERA5 reanalysis: water and heat of the soil and the air above it, 0.25 degrees"),
    Era5("ERA5-Land", "ERA5-Land reanalysis: the same over land, 0.1 degrees", land=True),
)
