"""SMAP in the simulated world: what an L-band radiometer and a model make of its soil."""

from __future__ import annotations

from ingest.sources.smap_writer.model import MODEL, Spl4smgpWriter
from ingest.sources.smap_writer.writer import ENHANCED, WRITER, Spl3smpWriter

__all__ = ["ENHANCED", "MODEL", "WRITER", "Spl3smpWriter", "Spl4smgpWriter"]
