"""Windows in space and time that grow until they hold enough samples (Liu et al. 2024, section 3.4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from smcatalog.core.errors import UsageError
from smcatalog.methods.values import Matrix

__all__ = ["Growth", "Windows", "adaptive_windows", "valid_samples", "window_counts"]

Order = Literal["alternate", "space", "time", "volume"]
_ORDERS: Final = ("alternate", "space", "time", "volume")


@dataclass(frozen=True, slots=True)
class Growth:
    """How windows grow.

    The paper starts at 3 x 3 pixels and one day and increases side and days "incrementally" until the
    window holds eight valid pixels for each predictor, up to side 5 and 3 days; it tested largest sides of
    3 to 10 and durations of 1 to 5 days. It says neither in which order they grow, nor where a window of
    an even side or number of days lies, nor what happens when the largest holds too few. Ours:

    * in turn, the side first (``alternate``): a neighbour of today is of more use than the pixel itself
      yesterday as long as little is known; other orders are parameters;
    * sides grow by 2, so that the pixel stays in the middle; with an even length the window reaches one
      further up, left and back;
    * the largest window is used as long as it holds ``fewest`` samples for each predictor; else the pixel
      has none.

    Parameters
    ----------
    first_side, last_side, side_step : int
        Sides of the window [pixels].
    first_days, last_days : int
        Lengths of the window [d].
    per_predictor : int
        Samples for each predictor that end the growth.
    fewest : int
        Samples for each predictor without which there is no window.
    order : {"alternate", "space", "time", "volume"}
        Side and days in turn, side first; the side to its end and then days; days and then the side; all
        combinations by their number of pixels.
    past_only : bool
        Days reach back only, for maps of the same night; else they lie around the day.
    """

    first_side: int = 3
    last_side: int = 5
    side_step: int = 2
    first_days: int = 1
    last_days: int = 3
    per_predictor: int = 8
    fewest: int = 2
    order: Order = "alternate"
    past_only: bool = False

    def __post_init__(self) -> None:
        sides = 1 <= self.first_side <= self.last_side and self.side_step >= 1
        if not sides or not 1 <= self.first_days <= self.last_days:
            raise UsageError(
                "windows grow from a side and days of 1 or more to others not smaller, "
                f"got {self.first_side} to {self.last_side} pixels by {self.side_step} "
                f"and {self.first_days} to {self.last_days} days"
            )
        if self.order not in _ORDERS:
            raise UsageError(f"windows grow in the order {', '.join(_ORDERS)}, not '{self.order}'")
        if not 1 <= self.fewest <= self.per_predictor:
            raise UsageError("the fewest samples are between 1 and those that end the growth")

    @property
    def stages(self) -> tuple[tuple[int, int], ...]:
        """Pairs of side and days, in the order in which they are tried."""
        sides = list(range(self.first_side, self.last_side + 1, self.side_step))
        days = list(range(self.first_days, self.last_days + 1))
        if self.order == "volume":
            pairs = [(side, day) for side in sides for day in days]
            return tuple(sorted(pairs, key=lambda pair: (pair[0] ** 2 * pair[1], pair[1])))
        if self.order == "space":
            return tuple([(side, days[0]) for side in sides] + [(sides[-1], d) for d in days[1:]])
        if self.order == "time":
            return tuple([(sides[0], day) for day in days] + [(s, days[-1]) for s in sides[1:]])
        found = [(sides[0], days[0])]
        for step in range(1, max(len(sides), len(days))):
            before = found[-1]
            found.append((sides[min(step, len(sides) - 1)], before[1]))
            found.append((found[-1][0], days[min(step, len(days) - 1)]))
        return tuple(dict.fromkeys(found))

    def reach(self, side: int, days: int) -> tuple[tuple[int, int], tuple[int, int]]:
        """Return how far a window reaches: pixels (before, after) and days (before, after)."""
        back = days - 1 if self.past_only else days // 2
        return (side // 2, (side - 1) // 2), (back, days - 1 - back)


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """Windows of the pixels of a day.

    Parameters
    ----------
    side, days : ndarray of int16, shape (rows, columns)
        Size of each pixel's window [pixels, d]; 0 where there is none.
    count : ndarray of int32, shape (rows, columns)
        Samples in it; where there is no window those of the largest.
    members : ndarray of int32, shape (rows * columns, m)
        Samples of each pixel's window as places in the flattened target (t, rows, columns), ascending; -1 after the last.
    """

    side: NDArray[np.int16]
    days: NDArray[np.int16]
    count: NDArray[np.int32]
    members: NDArray[np.int32]

    @property
    def exists(self) -> NDArray[np.bool_]:
        """Pixels that have a window, shape (rows * columns,)."""
        found: NDArray[np.bool_] = (self.side > 0).ravel()
        return found


def valid_samples(features: Matrix, target: Matrix) -> NDArray[np.bool_]:
    """Return where features (p, t, rows, columns) and target (t, rows, columns) are all known.

    Raises
    ------
    UsageError
        When their shapes do not belong together.
    """
    if features.ndim != 4 or features.shape[1:] != target.shape:  # noqa: PLR2004
        raise UsageError(
            f"windows need features (p, t, rows, columns) and a target (t, rows, columns), got {features.shape} and {target.shape}"
        )
    known: NDArray[np.bool_] = np.isfinite(target) & np.isfinite(features).all(axis=0)
    return known


def window_counts(
    valid: NDArray[np.bool_], day: int, side: int, days: int, growth: Growth
) -> NDArray[np.int32]:
    """Count samples in the window of every pixel, from sums over the cube from its corner.

    Parameters
    ----------
    valid : ndarray of bool, shape (t, rows, columns)
    day : int
        Day of the windows, a place in the first axis.
    side, days : int
        Size of the windows; they end at the edges of the cube.

    Returns
    -------
    ndarray of int32, shape (rows, columns)
    """
    (up, down), (back, ahead) = growth.reach(side, days)
    first, last = max(day - back, 0), min(day + ahead + 1, len(valid))
    plane = valid[first:last].sum(axis=0, dtype=np.int64)
    total = np.pad(plane.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    rows, columns = plane.shape
    r, c = np.arange(rows), np.arange(columns)
    r0, r1 = np.maximum(r - up, 0)[:, None], np.minimum(r + down + 1, rows)[:, None]
    c0, c1 = np.maximum(c - up, 0), np.minimum(c + down + 1, columns)
    counts: NDArray[np.int32] = (
        total[r1, c1] - total[r0, c1] - total[r1, c0] + total[r0, c0]
    ).astype(np.int32)
    return counts


def adaptive_windows(
    features: Matrix,
    target: Matrix,
    day: int,
    growth: Growth | None = None,
    *,
    wanted: NDArray[np.bool_] | None = None,
) -> Windows:
    """Find the window of every coarse pixel of a day.

    Parameters
    ----------
    features : ndarray of float, shape (p, t, rows, columns)
        Predictors at the coarse scale, NaN where unknown.
    target : ndarray of float, shape (t, rows, columns)
        Coarse soil moisture [m³ m⁻³], NaN where unknown. A pixel without a value of its own still has a window.
    day : int
        Place of the day in the cubes' time axis.
    growth : Growth, optional
        How windows grow; as the paper has it when absent.
    wanted : ndarray of bool, shape (rows, columns), optional
        Pixels that need a window; all when absent.

    Raises
    ------
    UsageError
        When shapes do not belong together or the day is not in the cubes.
    """
    growth = growth or Growth()
    valid = valid_samples(features, target)
    if not 0 <= day < len(target):
        raise UsageError(f"day {day} is not among the {len(target)} days of the cubes")
    p = len(features)
    shape = target.shape[1:]
    stages = growth.stages
    open_ = np.ones(shape, bool) if wanted is None else wanted.copy()
    stage = np.full(shape, -1, np.int16)
    count = np.zeros(shape, np.int32)
    for number, (side, days) in enumerate(stages):
        here = window_counts(valid, day, side, days, growth)
        least = growth.fewest if number == len(stages) - 1 else growth.per_predictor
        count[open_] = here[open_]
        closes = open_ & (here >= least * p)
        stage[closes] = number
        open_ &= ~closes
    size = np.array([*stages, (0, 0)], np.int16)[stage]
    members = _members(valid, day, stage, growth)
    return Windows(size[..., 0], size[..., 1], count, members)


def _members(
    valid: NDArray[np.bool_], day: int, stage: NDArray[np.int16], growth: Growth
) -> NDArray[np.int32]:
    """Return the samples of each pixel's window, those of a stage at once."""
    times, rows, columns = valid.shape
    parts = []
    for number, (side, days) in enumerate(growth.stages):
        places = np.flatnonzero(stage.ravel() == number)
        if len(places) == 0:
            continue
        (up, down), (back, ahead) = growth.reach(side, days)
        steps = np.meshgrid(
            np.arange(-back, ahead + 1),
            np.arange(-up, down + 1),
            np.arange(-up, down + 1),
            indexing="ij",
        )
        t, r, c = (step.ravel()[None] for step in steps)
        t = t + day
        r = r + (places // columns)[:, None]
        c = c + (places % columns)[:, None]
        inside = (t >= 0) & (t < times) & (r >= 0) & (r < rows) & (c >= 0) & (c < columns)
        flat = np.where(inside, (t * rows + r) * columns + c, 0)
        flat = np.where(inside & valid.ravel()[flat], flat, valid.size)
        flat.sort(axis=1)  # what is not there comes last
        parts.append((places, np.where(flat < valid.size, flat, -1).astype(np.int32)))
    widest = max((int((part >= 0).sum(axis=1).max()) for _, part in parts), default=0)
    members = np.full((rows * columns, widest), -1, np.int32)
    for places, part in parts:
        width = min(widest, part.shape[1])
        members[places, :width] = part[:, :width]
    return members
