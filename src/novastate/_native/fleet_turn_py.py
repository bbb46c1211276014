"""What a guest sends in a turn of the migration thread: for the twin of the fleet's kernel, in its first pass and in its rounds."""

from __future__ import annotations

import math

__all__ = ["SLOT", "TURN", "WIRE_ZERO", "Way"]

SLOT, TURN = 0.1, 0.05
WIRE_ZERO = 9.0


class Way:
    """A guest that sends: what does not change, what is left of each part, and when and how much was sent.

    Bytes: `quota` of a slot, `wire` of a page, `sent`, `slot_sent`; seconds a page: `first`, `again`, `blank`, and `dtp`, by
    which a bandwidth in bytes a ms becomes the pages of `theta`; `sw` the bandwidth that is announced, or 0; pages that were
    never sent: `front`, `zero`, `tail`, `tail_zero`, and of the ring `virgin`; `slot_at` when the slot began, `over` whether
    the last turn ended it.
    """

    __slots__ = (
        "again", "blank", "dtp", "first", "front", "iagain", "iblank", "ifirst", "iwire", "now", "over", "quota", "sent",
        "slot_at", "slot_sent", "sw", "tail", "tail_zero", "theta", "virgin", "wire", "zero",
    )  # fmt: skip

    def __init__(
        self, quota: float, wire: float, first: float, again: float, blank: float, dtp: float, sw: float
    ) -> None:
        self.quota, self.wire, self.iwire = quota, wire, 1.0 / wire
        self.first, self.again, self.blank = first, again, blank
        self.ifirst, self.iagain, self.iblank = 1.0 / first, 1.0 / again, 1.0 / blank
        self.dtp, self.sw = dtp, sw
        self.front = self.zero = self.tail = self.tail_zero = self.virgin = 0.0
        self.now = self.slot_at = self.slot_sent = self.sent = self.theta = 0.0
        self.over = False

    def untouched(self) -> float:
        """Pages that the first pass has left."""
        return ((self.front + self.zero) + self.tail) + self.tail_zero

    def due(self, pending: float) -> bool:
        """Whether the dirty bitmap is to be synced: less is left than the threshold, or nothing, where there is none yet."""
        return pending < self.theta or (pending <= 0.0 and self.theta <= 0.0)

    def slots(self, jump: float, sent: float, theta: float) -> None:
        """A run of *jump* equal full slots, in which *sent* bytes leave, and the threshold that they give."""
        self.sent = self.sent + sent
        self.now = self.now + jump * SLOT
        self.slot_at = self.now
        self.theta = theta

    def turn(self, pending: float, dirty: float) -> float:
        """A turn: until the quota or the time is used up, or all is sent; a whole slot where no sync falls due in its middle.

        Of *pending* pages *dirty* are in the ring, which comes last, first those of it that were never sent; returns how many
        leave that.
        """
        budget, iwz = max(0.0, self.quota - self.slot_sent), 1.0 / WIRE_ZERO
        # What the budget leaves of each part, and the time that those before it take.
        bytes1 = self.front * self.wire
        bytes2 = bytes1 + self.zero * WIRE_ZERO
        bytes3 = bytes2 + self.tail * self.wire
        bytes4 = bytes3 + self.tail_zero * WIRE_ZERO
        time1 = self.front * self.first
        time2 = time1 + self.zero * self.blank
        time3 = time2 + self.tail * self.first
        time4 = time3 + self.tail_zero * self.blank
        bytes5, time5 = bytes4 + self.virgin * self.wire, time4 + self.virgin * self.first
        parts = (
            (min(self.front, budget * self.iwire), 0.0, self.ifirst),
            (min(self.zero, (budget - bytes1) * iwz), time1, self.iblank),
            (min(self.tail, (budget - bytes2) * self.iwire), time2, self.ifirst),
            (min(self.tail_zero, (budget - bytes3) * iwz), time3, self.iblank),
            (min(self.virgin, (budget - bytes4) * self.iwire), time4, self.ifirst),
            (min(dirty - self.virgin, (budget - bytes5) * self.iwire), time5, self.iagain),
        )
        front, zero, tail, tail_zero, virgin, more = [max(0.0, min(most, (TURN - at) * by)) for most, at, by in parts]
        fresh = self.now <= self.slot_at and self.slot_sent <= 0.0
        if fresh and self.theta <= pending - ((((front + tail) + virgin) + (zero + tail_zero)) + more):
            front, zero, tail, tail_zero, virgin, more = [
                max(0.0, min(most, (SLOT - at) * by)) for most, at, by in parts
            ]
        self.front = self.front - front
        self.zero = self.zero - zero
        self.tail = self.tail - tail
        self.tail_zero = self.tail_zero - tail_zero
        dear, cheap = (front + tail) + virgin, zero + tail_zero
        took = (dear * self.first + cheap * self.blank) + more * self.again
        used = (dear + more) * self.wire + cheap * WIRE_ZERO
        self.now = self.now + took
        self.sent = self.sent + used
        self.slot_sent = self.slot_sent + used
        self._sleep()
        return virgin + more

    def _sleep(self) -> None:
        """The end of a turn: the thread sleeps where the quota is used up, and the slot may end."""
        end = self.slot_at + SLOT
        if self.quota * 0.9999999 <= self.slot_sent and self.now < end:
            self.now = end
        self.over = end - 1e-9 <= self.now
        if self.over:
            spent = math.floor((self.now - self.slot_at) * 1000.0 + 0.5)
            self.theta = (self.sw if self.sw > 0.0 else self.slot_sent / max(spent, 1.0)) * self.dtp
            self.slot_at, self.slot_sent = self.now, 0.0
