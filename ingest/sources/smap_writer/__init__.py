"""SPL3SMP of the simulated world: daily composites of what an L-band radiometer makes of its soil."""

from __future__ import annotations

from ingest.sources.smap_writer.writer import WRITER, Spl3smpWriter

__all__ = ["WRITER", "Spl3smpWriter"]
