"""What a forecast says remains unsent at each moment, as a line to draw or to compare with a recording.

Rule: in a round what remains falls evenly, as its bytes go out; at the sync that ends it, it jumps by what was written
meanwhile. In QEMU's first round the block of zero pages goes at once (nine bytes each). After the last sync comes the pause, in which
the rest goes out; with post-copy the rest goes out while the guest runs on the destination. Times count from the request.

The band is the same line for guests as different from the one that is known as its uncertainty says
(`novastate.convergence.variants`): at each moment from the least to the most that remains.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence

import attrs

from novastate.convergence.postcopy import post_copy_of
from novastate.convergence.precopy import Forecast, Round, forecast
from novastate.convergence.variants import varied

__all__ = ["Path", "band", "path_of"]

#: Deviations of the write rates, and against them of the zero pages, of the band's guests.
_DEVIATIONS = (-1.65, -1.35, -1.05, -0.75, -0.45, -0.15, 0.15, 0.45, 0.75, 1.05, 1.35, 1.65)


@attrs.frozen
class Path:
    """(s since the request, bytes that remain) of each corner in *points*; the times never fall, a jump has one time twice.

    *syncs*: the points just after a sync. *stop*: when the guest stops on the source (its pause, or the switch to
    post-copy); None where it is not known to. *throttle*: (s, percent) from when on.
    """

    points: tuple[tuple[float, float], ...]
    syncs: tuple[tuple[float, float], ...]
    stop: float | None
    throttle: tuple[tuple[float, int], ...]

    @property
    def end(self) -> float:
        """The last moment."""
        return self.points[-1][0]

    def at(self, when: float) -> float:
        """Bytes that remain at *when* s: all before the start; of a jump, what is after it; after the end what was there last."""
        place = bisect.bisect_right(self.points, (when, math.inf))
        if place == 0:
            return self.points[0][1]
        before = self.points[place - 1]
        if place == len(self.points):
            return before[1]
        after = self.points[place]
        return before[1] + (after[1] - before[1]) * (when - before[0]) / (after[0] - before[0])


def path_of(result: Forecast) -> Path:
    """The line of *result*. Of a migration that goes round for ever, its first rounds; where not even the first ends, that one."""
    page = result.guest.page_size
    begin = result.rules.begin
    memory = float(result.guest.pages * page)
    points = [(begin, memory)]
    syncs: list[tuple[float, float]] = []
    throttle = [(begin, 0)]
    rounds = result.rounds
    for at, (row, end) in enumerate(zip(rounds, _ends(result, rounds), strict=True)):
        due = max(0.0, (row.remaining - row.dirtied) * page)
        if at == 0 and result.rules.family == "qemu":  # no other tells zero pages from others
            points += _first(result, end, due)
        points += [(end, due), (end, row.remaining * page)]
        syncs.append(points[-1])
        throttle.append((end, row.throttle))
    if not rounds:
        pace = _pace(result)
        end = max(begin, min(begin + memory / pace, result.limits.timeout or math.inf))
        points.append((end, max(0.0, memory - pace * (end - begin))))
    stop = None
    if result.total is not None:
        stop = points[-1][0]
        points.append((max(result.total, stop), 0.0))
    return Path(tuple(points), tuple(syncs), stop, tuple(throttle))


def band(result: Forecast, times: Sequence[float]) -> tuple[list[float], list[float]]:
    """The least and the most that remain, in bytes, at each of *times*."""
    others = (varied(result.guest, deviation) for deviation in _DEVIATIONS)
    lines = [path_of(result), *(path_of(forecast(one, result.link, result.limits, result.rules)) for one in others)]
    at_each = [[line.at(when) for line in lines] for when in times]
    return [min(row) for row in at_each], [max(row) for row in at_each]


def _ends(result: Forecast, rounds: Sequence[Round]) -> list[float]:
    """When each round ends: when the next starts; the last by the pause where there is one, else by the pace of the one before."""
    if not rounds:
        return []
    begin = result.rules.begin
    starts = [begin + row.start for row in rounds]
    ends = starts[1:]
    last = rounds[-1]
    if result.total is not None and result.downtime is not None:
        switch = post_copy_of(result)
        ends.append(result.total - result.downtime - (0.0 if switch is None else switch.lasts))
    else:
        pace = _pace(result)
        if ends and rounds[-2].sent > 0 and ends[-1] > starts[-2]:
            pace = rounds[-2].sent / (ends[-1] - starts[-2])
        end = starts[-1] + last.sent / pace
        ends.append(end if result.total is None else min(end, result.total))
    return [max(start, end) for start, end in zip(starts, ends, strict=True)]


def _pace(result: Forecast) -> float:
    """Bytes/s of a first round: what the least of limit, line and hosts lets through."""
    rules, link = result.rules, result.link
    hosts = rules.wire() / rules.touch if rules.touch else math.inf
    return min(link.limit or math.inf, link.line_rate, hosts)


def _first(result: Forecast, end: float, due: float) -> list[tuple[float, float]]:
    """The corners of the first round: before its block of zero pages, and after it."""
    guest = result.guest
    page = guest.page_size
    tail_zero = min(guest.tail_zero, guest.zero_pages)
    zero = guest.zero_pages - tail_zero
    tail = min(guest.tail, guest.pages - guest.zero_pages)
    front = guest.pages - guest.zero_pages - tail
    behind = (tail + tail_zero) * page
    if due >= behind + zero * page:
        return []  # the sync came before the zero pages did
    left = max(0.0, behind - due) / page  # of the tail, sent before the sync
    share = front / (front + left) if front + left > 0 else 1.0
    begin = result.rules.begin
    when = begin + share * (end - begin)
    return [(when, behind + zero * page), (when, max(due, min(behind, due + left * page)))]
