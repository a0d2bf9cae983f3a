"""Ages and ratios, made from the facts that feature rows hold: the same for training, batch answers and serving.

A feature row says when something happened, not how long ago: that changes with every moment, and the row need not.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def days_since(days: ArrayLike, moments: ArrayLike) -> Floats:
    """Whole days from a day to the moment asked, NaN where the day is missing.

    Both as datetime64 or days since 1970-01-01, of equal length or one for all. In serving the moment asked is the later of the online
    store's marker and the row's own.
    """
    return np.asarray(_counted(moments) - _counted(days), dtype=np.float64)


def ratio(part: ArrayLike, whole: ArrayLike) -> Floats:
    """part / whole, NaN where the whole is zero or either is missing."""
    above, below = np.asarray(part, dtype=np.float64), np.asarray(whole, dtype=np.float64)
    shape = np.broadcast_shapes(above.shape, below.shape)
    return np.asarray(np.divide(above, below, out=np.full(shape, np.nan), where=below != 0), dtype=np.float64)


def _counted(times: ArrayLike) -> Floats:
    """Days since 1970-01-01, floored to whole ones."""
    found = np.asarray(times)
    if found.dtype.kind == "M":
        days = found.astype("datetime64[D]")
        return np.where(np.isnat(days), np.nan, days.astype(np.int64).astype(np.float64))
    return np.floor(found.astype(np.float64))
