"""Random numbers that belong to a place or a day, and fractal fields made of them.

Nothing here depends on the order of calls or on the extent that is asked for: a larger region or a later
start shows the same world.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["field", "generator", "white"]

_MASK: Final = np.uint64(0xFFFFFFFF)


def generator(seed: int, *keys: object) -> np.random.Generator:
    """Return the generator of a purpose: the same for the same seed and keys, whatever came before."""
    return np.random.default_rng(_number(seed, *keys))


def _number(seed: int, *keys: object) -> int:
    text = "\x1f".join([str(seed), *map(str, keys)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")


def white(seed: int, key: str, first: int, count: int) -> NDArray[np.float64]:
    """Return independent standard normal numbers of a range of whole numbers, such as days.

    Parameters
    ----------
    first, count : int
        The range; any part of it gives the same numbers.
    """
    numbers: NDArray[np.float64] = _lattice(
        _number(seed, key), range(1), range(first, first + count)
    )[0]
    return numbers


def _lattice(stream: int, rows: range, columns: range) -> NDArray[np.float64]:
    """Return a standard normal number for each point of a lattice, each from its own place."""
    row, column = (
        np.array(points, np.int64).astype(np.uint64)
        for points in ((rows.start, rows.stop), (columns.start, columns.stop))
    )
    i = np.arange(len(rows), dtype=np.uint64)[:, np.newaxis] + row[0]
    j = np.arange(len(columns), dtype=np.uint64)[np.newaxis, :] + column[0]
    bits = _mixed(_mixed(np.uint64(stream) + i * _GOLDEN) + j * _GOLDEN)
    # Box and Muller (1958), from the two halves of the bits
    radius = np.sqrt(-2.0 * np.log(((bits & _MASK).astype(np.float64) + 0.5) / 2.0**32))
    angle = 2.0 * np.pi * (bits >> np.uint64(32)).astype(np.float64) / 2.0**32
    normal: NDArray[np.float64] = radius * np.cos(angle)
    return normal


def _mixed(bits: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Scatter bits (the finalizer of SplitMix64, Steele et al. 2014); overflow is meant."""
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))


_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)


def _weights(position: NDArray[np.float64]) -> tuple[range, Any]:
    """Cubic B-spline weights of lattice points for each position, sparse, shape (positions, points)."""
    return _weights_of(position.tobytes())


@lru_cache(maxsize=64)  # a simulation asks for the same few places every day
def _weights_of(places: bytes) -> tuple[range, Any]:
    from scipy.sparse import csr_array  # noqa: PLC0415 - slow

    position = np.frombuffer(places)
    base = np.floor(position).astype(int)
    points = range(int(base.min()) - 1, int(base.max()) + 3)
    t = position - base
    spline = (
        (1 - t) ** 3,
        3 * t**3 - 6 * t**2 + 4,
        -3 * t**3 + 3 * t**2 + 3 * t + 1,
        t**3,
    )
    point = (base - 1 - points.start)[:, np.newaxis] + np.arange(4)
    ends = np.arange(len(position) + 1) * 4
    weights = (np.stack(spline, axis=1).ravel() / 6, point.ravel(), ends)
    return points, csr_array(weights, shape=(len(position), len(points)))


def field(
    seed: int,
    key: str,
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    *,
    longest: float,
    shortest: float,
    roughness: float,
) -> NDArray[np.float64]:
    """Return a fractal field of unit variance on the crossings of columns and rows.

    Octaves of smoothed lattice noise, each half as long as the one before and ``roughness`` times as
    strong: 0.5 gives the relief of old hills, 0.7 that of patchwork.

    Parameters
    ----------
    x, y : ndarray of float, shape (columns,) and (rows,)
        Places, in any unit of length.
    longest, shortest : float
        Wavelengths of the first octave and a bound for the last, in the same unit.

    Returns
    -------
    ndarray of float64, shape (rows, columns)
        Mean 0 and variance 1 over all places and seeds.
    """
    total = np.zeros((len(y), len(x)))
    power, strength, octave = 0.0, 1.0, 0
    length = longest
    while length >= shortest:
        spacing = length / 2
        columns, wx = _weights(x / spacing)
        rows, wy = _weights(y / spacing)
        lattice = _lattice(_number(seed, key, octave), rows, columns)
        total += (wx @ (wy @ (strength * lattice)).T).T
        power += strength**2 * _SPLINE_POWER**2
        strength, length, octave = strength * roughness, length / 2, octave + 1
    result: NDArray[np.float64] = total / np.sqrt(power)
    return result


_SPLINE_POWER: Final = 151 / 315
"""Mean over a cell of the sum of squared cubic B-spline weights, in one direction."""
