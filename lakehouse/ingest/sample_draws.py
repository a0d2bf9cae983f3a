"""Random whole numbers that are the same on every processor.

Only the raw 64-bit words of PCG64 are used, whose stream NumPy promises never to change, and only integer arithmetic on them.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

MILLION = 1_000_000


class Draws:
    """One stream of draws; `path` sets streams of the same seed apart, so that a new draw in one shifts no other."""

    def __init__(self, seed: int, *path: int) -> None:
        self._bits = np.random.PCG64(np.random.SeedSequence([seed, *path]))

    def words(self, size: int) -> Ints:
        """Whole numbers of 63 bits."""
        raw = np.asarray(self._bits.random_raw(size), dtype=np.uint64)
        return (raw >> np.uint64(1)).astype(np.int64)

    def below(self, bound: int | Ints, size: int) -> Ints:
        """Numbers from 0 up to `bound` - 1. Bounds stay under 2**53, where the remainder's bias is one in a thousand at the most."""
        return self.words(size) % bound

    def between(self, low: int, high: int, size: int) -> Ints:
        """Numbers from `low` up to and with `high`."""
        return self.below(high - low + 1, size) + low

    def chance(self, parts: int | Ints, size: int) -> Bools:
        """True in `parts` of a million."""
        return self.below(MILLION, size) < parts

    def pick(self, table: tuple[int, ...] | Ints, size: int) -> Ints:
        """Entries of a table, each as likely as the other."""
        entries: Ints = np.asarray(table, dtype=np.int64)
        return entries[self.below(len(table), size)]

    def order(self, size: int) -> Ints:
        """The numbers below `size`, shuffled."""
        return np.argsort(self.words(size), kind="stable").astype(np.int64)

    def weighted(self, weights: Ints, size: int) -> Ints:
        """Positions in `weights`, each as likely as its weight says. Some weight must be above 0."""
        return self.weighted_rows(weights[None, :], np.zeros(size, dtype=np.int64))

    def weighted_rows(self, weights: Ints, rows: Ints) -> Ints:
        """For each entry of `rows` a column of that row of the matrix `weights`. Each row used must have some weight."""
        sums = np.cumsum(weights, dtype=np.int64)
        ends = sums[weights.shape[1] - 1 :: weights.shape[1]]
        totals = np.diff(ends, prepend=0)
        targets = ends[rows] - totals[rows] + self.below(totals[rows], len(rows))
        found: Ints = np.searchsorted(sums, targets, side="right") - rows * weights.shape[1]
        return found


def pick_by_row(draws: Draws, tables: tuple[tuple[int, ...], ...], rows: Ints) -> Ints:
    """For each entry of `rows` an entry of that table; tables may be of different lengths."""
    lengths = np.array([len(table) for table in tables], dtype=np.int64)
    starts = np.cumsum(lengths) - lengths
    entries = np.array([entry for table in tables for entry in table], dtype=np.int64)
    picked: Ints = entries[starts[rows] + draws.below(lengths[rows], len(rows))]
    return picked
