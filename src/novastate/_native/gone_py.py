"""What a guest has written by then: the exponential of the fleet's kernel and its twin, a polynomial of the same operations."""

from __future__ import annotations

import math

__all__ = ["LN2", "LOG2E", "POLYNOMIAL", "TINY", "WHOLE", "armed", "gone"]

#: Nothing is divided by less.
TINY = 1e-300
LN2 = float.fromhex("0x1.62e42fefa39efp-1")
LOG2E = float.fromhex("0x1.71547652b82fep0")
#: Of 2**f - 1 for f between -1/2 and 1/2, divided by f.
POLYNOMIAL = tuple(
    float.fromhex(text)
    for text in (
        "0x1.62e42fef9cc64p-1", "0x1.ebfbdff823ce4p-3", "0x1.c6b08da70f1c7p-5", "0x1.3b2ab7181ce01p-7",
        "0x1.5d87759513548p-10", "0x1.4308ac8236a36p-13", "0x1.00c0e6fdccd9ap-16", "0x1.63d13adb27880p-20",
    )
)  # fmt: skip
#: Added and taken away again, it leaves the nearest whole number.
WHOLE = 1.5 * 2.0**52 + 1023.0


def gone(t: float) -> tuple[float, float]:
    """1 - 2**t and 2**t for t <= 0, within 2.2e-12; below 2**-1022 about 1 and 0."""
    t = max(t, -1022.0)
    n = (t + WHOLE) - WHOLE
    f = t - n
    f2 = f * f
    f4 = f2 * f2
    q = POLYNOMIAL
    a = (q[0] + q[1] * f) + (q[2] + q[3] * f) * f2
    b = (q[4] + q[5] * f) + (q[6] + q[7] * f) * f2
    scale = math.ldexp(1.0, int(n))
    part = scale * (f * (a + b * f4))
    return (1.0 - scale) - part, scale + part


def armed(t: float, hit: float, share: float) -> float:
    """The share found written of pages that are watched anew in 1 / *share* parts, each just before it is sent.

    *hit* is the share of those watched anew at the sync, 2**t what of them is clean.
    """
    step, rest = gone(t * share)
    return min(hit, max(0.0, 1.0 - rest * hit * share / max(step, TINY)))
