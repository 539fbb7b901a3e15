"""Long arrays of few different texts, such as quality flags."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["kinds_of"]

_WORD: Final = 8
_ODD: Final = 0x9E3779B97F4A7C15
"""A multiplier that spreads words over 64 bits."""


def kinds_of(texts: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """Return the different texts of an array, and for each text its place among them.

    The same as ``numpy.unique(texts, return_inverse=True)`` but for the order, a tenth of the time: texts
    are told apart by one number each.

    Parameters
    ----------
    texts : ndarray of str or bytes, shape (n,)

    Returns
    -------
    kinds : ndarray of the same type, shape (k,)
    index : ndarray of int, shape (n,)
        ``kinds[index]`` are the texts.
    """
    n, size = len(texts), texts.dtype.itemsize
    if not n or not size:
        return texts[:1], np.zeros(n, np.intp)
    width = -(-size // _WORD)
    words = np.zeros((n, width * _WORD), np.uint8)
    words[:, :size] = np.ascontiguousarray(texts).view(np.uint8).reshape(n, size)
    columns = words.view(np.uint64)
    keys = columns[:, 0].copy()
    for column in columns.T[1:]:
        keys = keys * np.uint64(_ODD) + column  # wraps around
    _, first, index = np.unique(keys, return_index=True, return_inverse=True)
    kinds = texts[first]
    if width > 1 and not np.array_equal(kinds[index], texts):
        # two texts of the same number: not seen yet
        kinds, index = np.unique(texts, return_inverse=True)
    return kinds, index
