"""Where in its memory a guest writes, where that decides what the first round finds.

Rule: KVM watches memory of many GiB anew in parts, each just before it is sent (`Rules.rearm`). So what the sync after the first pass finds
of a page is what was written since its part was sent: nearly all that the pass has lasted at low addresses, next to nothing at
high ones. The forecast takes the written pages as scattered over all of the memory. They may as well lie together, anywhere: then
the first pass is the same, what it leaves is that of their place, and after it the parts are those that they lie in.

Source: see `novastate._native.ring_py`.
"""

from __future__ import annotations

import math
from array import array

from novastate._native import precopy as kernel
from novastate._native.precopy_fields import (
    CLASS_FIELDS,
    CONVERGED,
    OUT_FIELDS,
    ROUND_FIELDS,
    SCENARIO_FIELDS,
    START_FIELDS,
    Start,
    whole_ms,
)

__all__ = ["matters", "run_at"]

(
    _PAGES, _ZERO, _TAIL, _TAIL_ZERO, _PAGE, _WIRE, _QUOTA, _FIRST, _SLOT, _DOWNTIME, _SWITCHOVER, _CHUNKS, _POSTCOPY, _CACHE,
    _FAMILY, _TRIGGER,
) = (
    SCENARIO_FIELDS.index(field)
    for field in (
        "pages", "zero", "tail", "tail_zero", "page", "wire", "quota", "first", "slot", "downtime", "switchover", "chunks", "postcopy",
        "cache", "family", "trigger",
    )
)  # fmt: skip
#: Of a law's extent so many places are looked at.
_STEPS = 8


def matters(scenario: array[float]) -> bool:
    """Whether the place decides anything by these rules; a switch to post-copy, an XBZRLE cache, and a pause limit of 0, under which the
    first sync may be the last, are left to the mean.
    """
    plain = not (scenario[_POSTCOPY] or scenario[_CACHE] or scenario[_FAMILY])
    return plain and scenario[_CHUNKS] > 1.0 and scenario[_DOWNTIME] > 0.0


def run_at(place: float, scenario: array[float], classes: array[float], member: array[float]) -> array[float]:
    """The kernel's row of the one *member*, whose pages lie together *place* (0 to 1) of the way to the end of the memory."""
    out, rounds = array("d", bytes(8 * OUT_FIELDS)), array("d", bytes(8 * ROUND_FIELDS * 2))
    count = kernel.run(scenario, classes, member, out, rounds)
    laws = [classes[at : at + CLASS_FIELDS] for at in range(0, len(classes), CLASS_FIELDS)]
    written = sum(size for size, _, _ in laws)
    if not count or not written or (count == 1 and out[0] != CONVERGED):
        return out
    ended = rounds[ROUND_FIELDS] if count > 1 else out[1] - out[2]
    _, sent, dirtied, remaining, throttle = rounds[:ROUND_FIELDS]
    pages, chunks = scenario[_PAGES], scenario[_CHUNKS]
    extent = min(1.0, written / pages)
    unsent = max(0.0, remaining - dirtied)
    passed = max(0.0, 1.0 - unsent / pages)
    spans: list[float] = []
    for step in range(_STEPS):
        where = place * (1.0 - extent) + (step + 0.5) / _STEPS * extent
        # What is not sent yet is dirty still.
        spans.append(ended * max(0.0, 1.0 - math.floor(where * chunks) / chunks / passed) if where < passed else 0.0)
    found = [
        sum(_written(size, rate * member[0], ordered, span) for span in spans) / _STEPS for size, rate, ordered in laws
    ]
    new = sum(found)
    per = min(scenario[_SLOT] / scenario[_FIRST], (scenario[_QUOTA] or math.inf) / scenario[_WIRE])
    pace = scenario[_SWITCHOVER] or per * scenario[_WIRE] / whole_ms(scenario[_SLOT])
    # Unsent are the last by address: zero pages at the end, others before them, and before these of the block of zero pages.
    zeros = min(max(scenario[_ZERO] + member[3], 0.0), pages)
    tail_zero = min(unsent, scenario[_TAIL_ZERO], zeros)
    tail = min(unsent - tail_zero, scenario[_TAIL] * member[2])
    zero = min(unsent - tail, zeros)
    start = Start(
        left=unsent, zero=zero, tail=tail, tail_zero=tail_zero, syncs=2.0, theta=pace * scenario[_DOWNTIME] * 1000.0,
        throttle=throttle, high=float(new * scenario[_PAGE] > scenario[_TRIGGER] * sent), widest=new,
    )  # fmt: skip
    row = array("d", [*(getattr(start, field) for field in START_FIELDS), *found])
    after = scenario[:]
    after[_CHUNKS] = max(1.0, math.ceil(extent * chunks))
    rest = array("d", bytes(8 * OUT_FIELDS))
    kernel.run(after, classes, array("d", [member[0], member[1], 1.0, 0.0]), rest, array("d"), row)
    rest[1] += ended
    rest[3] += sent
    return rest


def _written(size: float, rate: float, ordered: float, span: float) -> float:
    return min(rate * span, size) if ordered else -size * math.expm1(-rate * span / max(size, 1e-300))
