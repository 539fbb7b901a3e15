"""All writers of the simulated world, by source; listed here a source is simulated and tested."""

from __future__ import annotations

from typing import Final

from ingest.sources import (
    modis_lst_writer,
    modis_vi_writer,
    smap_writer,
    soilgrids_writer,
    srtm_writer,
)
from ingest.stations import ismn_writer
from ingest.world import truth
from ingest.world.writer import MakeWriter

__all__ = ["TRUTH", "WRITERS"]

WRITERS: Final[dict[str, MakeWriter]] = {
    "SPL3SMP": smap_writer.WRITER,
    "MOD11A1": modis_lst_writer.WRITER,
    "MOD13A2": modis_vi_writer.WRITER,
    "SRTMGL3": srtm_writer.WRITER,
    "SoilGrids": soilgrids_writer.WRITER,
    "ISMN": ismn_writer.WRITER,
}
"""Makes the writer of each source."""

TRUTH: Final[MakeWriter] = truth.WRITER
"""Makes the writer of what the world really was like."""
