"""What others forecast with, on the same guest, link and limits: total time in s, or None where the model says never.

- `recursion`: the textbook's rounds on the guest's own dirty curve: V <- W(V / B) until V <= B * downtime limit, with B the
  bandwidth limit. (The page-level models of Nathan et al., SoCC'15, and of most papers since.)
- `closed_form`: one dirty rate D, lambda = D / B: total = M / B (1 - lambda^n) / (1 - lambda), at most 30 rounds (Clark et al.,
  NSDI'05; Liu et al., HPDC'11).
- `simgrid`: SimGrid's live migration (Hirofuchi, Lebre, Pouilloux, "SimGrid VM", IEEE TCC 2015; src/plugins/vm/VmLiveMigration.cpp).
  Stage 1 sends the memory, all of it: there are no zero pages. Stage 2 sends min(dp_rate * computation, dp_cap) again and again
  while more remains than bandwidth * max_downtime; stage 3 stops the guest and sends the rest. dp_rate * computation is D * t
  for a guest that computes steadily, and dp_cap, the working set, 0.9 of the memory unless told. A migration whose rounds
  stop shrinking goes on until its timeout of 1e7 s: never.

The first two are given the guest's zero pages, and leave them out. None knows slots, the unsent share at a sync, what a zero page
takes, or the line rate of the pause. Where zero pages are only guessed errors may cancel: recursion and closed form are too long by
themselves, and come nearer than they should where too many zero pages are assumed (accuracy.md, the resident size).
"""

from __future__ import annotations

from novastate.convergence import Forecast
from novastate.convergence.evaluation import closed_form

__all__ = ["BASELINES", "closed_form", "recursion", "simgrid"]

_ROUNDS = 1000


def _speed(result: Forecast) -> float:
    """Bytes/s of the link: its limit, or what the hosts reach without one."""
    page = result.guest.page_size
    return result.link.limit or page / max(result.rules.touch, page / result.link.line_rate)


def recursion(result: Forecast) -> float | None:
    guest, speed = result.guest, _speed(result)
    left = (guest.pages - guest.zero_pages) * guest.page_size
    total = 0.0
    for _ in range(_ROUNDS):
        took = left / speed
        total += took
        again = guest.curve.pages(took) * guest.page_size
        if again <= speed * result.limits.downtime:
            return total + again / speed
        if again >= left * (1 - 1e-9):
            return None
        left = again
    return None


def simgrid(result: Forecast) -> float | None:
    guest, speed = result.guest, _speed(result)
    rate = guest.curve.pages(1.0) * guest.page_size
    most = 0.9 * guest.memory
    left = guest.memory
    total = 0.0
    for _ in range(_ROUNDS):
        took = left / speed
        total += took
        again = min(rate * took, most)
        if again <= speed * result.limits.downtime:
            return total + again / speed
        if again >= left * (1 - 1e-9):
            return None
        left = again
    return None


#: Every baseline, by the name that a table gives it.
BASELINES = {"recursion on W": recursion, "closed form": closed_form, "SimGrid": simgrid}
