"""SMAP soil moisture on the EASE-Grid 2.0 of 36 and 9 km: daily composites, half orbits and the model.

Structure and flags as the granules of release 18 declare them: SPL3SMP and SPL3SMP_E hold a global field for
each overpass, SPL2SMP a list of the cells of one half orbit, SPL4SMGP fields of three hours each. Day,
direction and granule name come from inside the file; its name must not contradict them. SPL2SMAP_S holds scenes on
the grids of 3 and 1 km.
"""

from __future__ import annotations

from typing import Final

from ingest.sources.smap.daily import SPL3SMP_E, Spl3smp
from ingest.sources.smap.half_orbit import Spl2smp
from ingest.sources.smap.model import Spl4smgp
from ingest.sources.smap.retrievals import RETRIEVALS
from ingest.sources.smap.scene import Spl2smapS

__all__ = ["READERS", "RETRIEVALS", "Spl2smapS", "Spl2smp", "Spl3smp", "Spl4smgp"]

READERS: Final = (Spl3smp(), Spl2smp(), Spl3smp(product=SPL3SMP_E), Spl4smgp(), Spl2smapS())
