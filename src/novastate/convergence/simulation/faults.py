"""The faults of a guest in post-copy: the missing pages that it writes to before they have come.

Rule: the missing pages come in the order of address, from page 0 on (QEMU 10.0 migration/ram.c ram_postcopy_send_discard_bitmap begins
anew there), while the guest writes at full speed. A page that it writes to first is one fault. A part of at most 1/16384 of the memory
comes at one time, which is that of its middle page.
Left out, as in `novastate.convergence.postcopy`: what the guest only reads, that it waits, and that a fault brings its page sooner.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from novastate.convergence.simulation.writers import Marks

if TYPE_CHECKING:
    import numpy.typing as npt

    from novastate.convergence.simulation.writers import Writer

    Words = npt.NDArray[np.uint64]
    Floats = npt.NDArray[np.float64]

__all__ = ["STEPS", "faults_of", "steps_of"]

#: In how many steps the pages come to a guest that writes in an order.
STEPS = 128
#: Parts, as a power of two.
_PARTS = 14
_BITS = np.array([byte.bit_count() for byte in range(256)], dtype=np.uint8)


def steps_of(come: list[tuple[float, float]]) -> Floats:
    """How long each of the `STEPS` shares took to come: *come* has shares, from 0 to 1, and by when they had."""
    shares, times = zip(*come, strict=True)
    clock: Floats = np.interp(np.arange(STEPS + 1) / STEPS, shares, times)
    clock[0] = times[0]  # not when the first page came: the link may have stood still before
    return np.diff(clock)


def faults_of(missing: Words, writer: Writer, seconds: Floats) -> int:
    """To how many of the *missing* pages *writer* writes before they have come: a share 1 / `STEPS` in each of *seconds*."""
    part = max(6, (64 * len(missing) - 1).bit_length() - _PARTS)
    words = 1 << (part - 6)
    counts = np.add.reduceat(_counts(missing), np.arange(0, len(missing), words))
    total = int(counts.sum())
    if not total:
        return 0
    come = (np.cumsum(counts) - 0.5 * counts) / total * STEPS
    found, now, early = np.zeros((3, len(missing)), dtype=np.uint64)
    left = missing.copy()
    for step, lasts in enumerate(seconds.tolist()):
        left[: int(np.searchsorted(come, step + 0.5)) * words] = 0
        writer.write(now, lasts)
        found |= now & left
        now[:] = 0
    writer.flush(Marks(now, early, come, part, until=True))
    return int(_counts((found | now) & missing).sum())


def _counts(words: Words) -> npt.NDArray[np.int64]:
    """How many bits are set in each word."""
    counts: npt.NDArray[np.int64] = _BITS[words.view(np.uint8)].reshape(-1, 8).sum(axis=1, dtype=np.int64)
    return counts
