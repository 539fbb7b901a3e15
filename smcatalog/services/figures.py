"""What all figures share: they need matplotlib, a folder that can be made, and the same bytes for the same content."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from smcatalog.core.errors import UsageError

__all__ = ["figure_folder", "need_matplotlib", "new_figure", "save_figure"]


def need_matplotlib() -> None:
    """Say what is missing before anything is read or worked out.

    Raises
    ------
    UsageError
        When matplotlib is not installed.
    """
    try:
        import matplotlib.figure  # noqa: F401 - a part that may not be there
    except ImportError as error:
        raise UsageError("pictures need matplotlib: pip install 'smcatalog[plot]'") from error


def new_figure(width: float, height: float, *, dpi: int = 120, pad: float | None = None) -> Any:
    """Return an empty figure whose parts make room for each other.

    Parameters
    ----------
    width, height : float
        Inches.
    dpi : int
        Pixels of an inch.
    pad : float, optional
        Inches around each part; matplotlib's own by default.

    Raises
    ------
    UsageError
        When matplotlib is not installed.
    """
    need_matplotlib()
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(w_pad=pad, h_pad=pad)
    return Figure(figsize=(width, height), dpi=dpi, layout=layout)


def figure_folder(folder: Path) -> Path:
    """Make a folder for figures unless it is there.

    Raises
    ------
    UsageError
        When matplotlib is not installed or the folder cannot be made.
    """
    need_matplotlib()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot make the folder {folder} for figures: {error}") from error
    return folder


def save_figure(figure: Any, path: Path) -> Path:
    """Write a figure without the versions of what drew it.

    Raises
    ------
    UsageError
        When the file cannot be written, or its name ends in what no picture does.
    """
    try:
        figure.savefig(path, metadata={"Software": None})
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot write {path}: {error}") from error
    return path
