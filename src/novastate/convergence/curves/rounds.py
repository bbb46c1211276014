"""What the rounds of a running migration say of W: each sync finds the pages written since the one before.

Rule: a sync after T seconds counts only bits that were not set: of W(T) pages, spread over all N, the share u/N is still unsent and
counted already. So W(T) = new / (1 - u/N). The new pages are known exactly from job statistics taken before and after: what
remains grew by them and shrank by what was sent, a normal page with 8 bytes of header, a zero page with 9 bytes in all.

Source: QEMU 10.0 migration/ram.c (ram_bitmap_sync, save_zero_page); the header of a page is 8 bytes, that of a zero page 8 and its byte 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from novastate.convergence import bounds
from novastate.errors import ConvergenceError

__all__ = ["found_pages", "new_pages", "round_points"]

#: Bytes on the wire of a page's header, and of a zero page.
_HEADER, _ZERO = 8, 9
#: A round's count is of one window: what one window of a guest that is steady differs by, as a share.
_UNSTEADY = 0.03


def new_pages(before: Mapping[str, float], after: Mapping[str, float], *, page_size: int = 4096) -> float:
    """Pages that syncs between two statistics of one job have found, exactly where no page was compressed.

    Each has libvirt's ``memory_remaining`` and ``memory_processed`` (bytes) and ``memory_constant`` (zero pages).
    Raises `ConvergenceError` naming the field that is missing, is no number, or falls where it cannot.
    """
    page_size = bounds.page_size("page_size", page_size)
    told: list[tuple[float, float, float]] = []
    for name, job in (("before", before), ("after", after)):
        bounds.instance(name, job, Mapping)
        values: list[float] = []
        for field in ("memory_remaining", "memory_processed", "memory_constant"):
            if field not in job:
                raise ConvergenceError(f"{name}[{field!r}]", None, "must be there")
            values.append(bounds.number(f"{name}[{field!r}]", job[field]))
        told.append((values[0], values[1], values[2]))
    (remaining, processed, constant), (remaining2, processed2, constant2) = told
    for field, old, new in (("memory_processed", processed, processed2), ("memory_constant", constant, constant2)):
        if new < old:
            raise ConvergenceError(f"after[{field!r}]", new, f"must not be below the {old:g} before")
    return found_pages(
        remaining2 - remaining, processed2 - processed, constant2 - constant, page_size, page_size + _HEADER
    )


def found_pages(remaining: float, processed: float, constant: float, page_size: int, wire: float) -> float:
    """The same of what the three have risen by, where a page of *page_size* bytes takes *wire* bytes on the wire."""
    sent = max(0.0, processed - _ZERO * constant) / wire + constant
    return max(0.0, remaining / page_size + sent)


def round_points(rounds: Iterable[tuple[float, float, float]], page_count: int) -> list[tuple[float, float, float]]:
    """(tau, pages, deviation) of *rounds*: (T in s, new pages, pages still unsent at the sync). Raises `ConvergenceError`."""
    bounds.whole("page_count", page_count, 1, bounds.MOST_PAGES)
    points: list[tuple[float, float, float]] = []
    for at, (seconds, new, unsent) in enumerate(bounds.rows("rounds", rounds, 3)):
        tau = bounds.number(f"rounds[{at}][0]", seconds, bounds.SHORTEST, bounds.LONGEST)
        left = bounds.number(f"rounds[{at}][2]", unsent, 0, page_count)
        found = bounds.number(f"rounds[{at}][1]", new, 0, page_count - left)
        if left == page_count:
            continue  # all of it was unsent already: nothing could be seen
        pages = found / (1.0 - left / page_count)
        points.append((tau, pages, max(1.0, found**0.5, _UNSTEADY * pages)))
    if not points:
        raise ConvergenceError("rounds", 0, "must hold a round in which a page was sent")
    return points
