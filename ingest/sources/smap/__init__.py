"""SMAP radiometer soil moisture on the EASE-Grid 2.0 of 36 km: the daily composite and half orbits.

Structure and flags as the granules of release 18 declare them: SPL3SMP holds a global field for each
overpass, SPL2SMP a list of the cells of one half orbit. Day, direction and granule name come from
inside the file; its name must not contradict them.
"""

from __future__ import annotations

from typing import Final

from ingest.sources.smap.daily import Spl3smp
from ingest.sources.smap.half_orbit import Spl2smp
from ingest.sources.smap.retrievals import RETRIEVALS

__all__ = ["READERS", "RETRIEVALS", "Spl2smp", "Spl3smp"]

READERS: Final = (Spl3smp(), Spl2smp())
