"""All writers of the simulated world, by source; listed here a source is simulated and tested."""

from __future__ import annotations

from typing import Final

from ingest.sources import (
    amsr_nn_writer,
    cci_writer,
    chirps_writer,
    cscd_writer,
    csdl_writer,
    era5_writer,
    gldas_writer,
    hwsd_writer,
    imerg_writer,
    lai_reprocessed_writer,
    modis_albedo_writer,
    modis_lai_writer,
    modis_land_cover_writer,
    modis_lst21_writer,
    modis_lst_writer,
    modis_nadir_writer,
    modis_reflectance_writer,
    modis_vi_writer,
    sentinel1_writer,
    smap_writer,
    soilgrids_writer,
    srtm_writer,
    viirs_vi_writer,
    zones_writer,
)
from ingest.stations import ismn_writer
from ingest.world import truth
from ingest.world.writer import MakeWriter

__all__ = ["COSTS", "TRUTH", "WRITERS"]

WRITERS: Final[dict[str, MakeWriter]] = {
    "SPL3SMP": smap_writer.WRITER,
    "SPL3SMP_E": smap_writer.ENHANCED,
    "SPL4SMGP": smap_writer.MODEL,
    "MOD11A1": modis_lst_writer.WRITER,
    "MYD21A1N": modis_lst21_writer.WRITER,
    "MOD13A2": modis_vi_writer.WRITER,
    "MOD15A2H": modis_lai_writer.WRITER,
    "MOD09A1": modis_reflectance_writer.WRITER,
    "VNP13A2": viirs_vi_writer.WRITER,
    "MCD43A4": modis_nadir_writer.WRITER,
    "LAI-reprocessed": lai_reprocessed_writer.WRITER,
    "MCD43A3": modis_albedo_writer.TILE,
    "MCD43C3": modis_albedo_writer.GLOBE,
    "MCD43D58": modis_albedo_writer.BAND7,
    "MCD12Q1": modis_land_cover_writer.WRITER,
    "SRTMGL3": srtm_writer.WRITER,
    "SoilGrids": soilgrids_writer.WRITER,
    "HWSD": hwsd_writer.WRITER,
    "CSCD": cscd_writer.WRITER,
    "CSDL": csdl_writer.WRITER,
    "CHIRPS": chirps_writer.WRITER,
    "ESACCI-SM-COMBINED": cci_writer.WRITER,
    "AMSR-NN": amsr_nn_writer.WRITER,
    "ERA5-Land": era5_writer.WRITER,
    "GPM_3IMERGDF": imerg_writer.WRITER,
    "GLDAS-Noah": gldas_writer.WRITER,
    "Sentinel-1": sentinel1_writer.WRITER,
    "zones": zones_writer.WRITER,
    "ISMN": ismn_writer.WRITER,
}
"""Makes the writer of each source."""

TRUTH: Final[MakeWriter] = truth.WRITER
"""Makes the writer of what the world really was like."""

COSTS: Final = {
    "MCD43A4": 360.0,
    "MCD43A3": 240.0,
    "MOD09A1": 210.0,
    "MOD11A1": 150.0,
    "SPL3SMP_E": 130.0,
    "SPL3SMP": 85.0,
    "Sentinel-1": 70.0,
    "MYD21A1N": 65.0,
    "MOD15A2H": 60.0,
    "VNP13A2": 60.0,
    "ERA5-Land": 55.0,
    "SPL4SMGP": 55.0,
    "GLDAS-Noah": 45.0,
    "MOD13A2": 40.0,
    "ESACCI-SM-COMBINED": 35.0,
    "MCD43D58": 30.0,
    "SRTMGL3": 30.0,
    "MCD43C3": 20.0,
    "SoilGrids": 20.0,
}
"""Milliseconds that a day's files of the dearer ones took in a region of 300 km when this was measured; what
is written once is spread over a season. By these two processes share the work: only the ratios matter."""
