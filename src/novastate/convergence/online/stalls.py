"""Stalls: a migration that gets nowhere, told from a network that blinks.

Two kinds, each with a clock of its own:

- *no bytes*: nothing at all was sent for `NO_BYTES` seconds. QEMU sends in every slot of 100 ms while anything is unsent; a sync of a
  guest that is throttled by 99 % takes 1 s, and TCP repairs a lost packet within 0.2 + 0.4 + 0.8 + 1.6 = 3 s (RFC 6298's backoff
  with Linux's least timeout of 200 ms). What lasts longer is no blip.
- *no gain*: bytes flow, but what is left just after a sync has not been less than before for `NO_GAIN` seconds and
  `ROUNDS` rounds. The lowest mark is that of the rounds, not of the moment: within a round what remains always falls. Auto-converge
  throttles further every 2.1 s at most, so that its steps come several times within that; while it still rises the clock waits.

The second clock only runs while bytes flow: a blip stops it, and the longer round that a blip leaves behind gets another `ROUNDS` rounds.

(Nova had one low-water mark for both, ``live_migration_progress_timeout``, and took it out: every round resets such a mark.)
"""

from __future__ import annotations

import enum

import attrs

from novastate.convergence.online.statistics import Sample

__all__ = ["NO_BYTES", "NO_GAIN", "ROUNDS", "Stall", "Stalls"]

NO_BYTES = 5.0
NO_GAIN = 10.0
ROUNDS = 4
#: By how much the lowest mark must fall to count as a gain.
_GAIN = 0.95
#: Between two looks further apart than a blip, silence is not known.
_LOOK = 0.25


class Stall(enum.Enum):
    """Why a migration gets nowhere."""

    #: Nothing is sent: the link, or the other side.
    NO_BYTES = "no bytes"
    #: Bytes flow, and each round leaves as much as the one before.
    NO_GAIN = "no gain"


@attrs.define
class Stalls:
    """Told of every sample, says whether the migration stalls."""

    _last: Sample | None = None
    _silent: float = 0.0
    _lowest: float = float("inf")
    _flowing: float = 0.0
    _rounds: int = 0
    _blip: bool = False

    @property
    def silent(self) -> float:
        """For how long nothing was sent, s."""
        return self._silent

    def observe(self, sample: Sample) -> Stall | None:
        """What *sample*, a later one each time, says together with those before."""
        last, self._last = self._last, sample
        if last is None or not sample.memory_processed:
            return None
        passed = sample.elapsed - last.elapsed
        if sample.memory_processed == last.memory_processed and sample.disk_remaining == last.disk_remaining:
            self._silent += passed
        else:
            if self._silent > 2 * _LOOK:  # a blip: the round that it made longer must not count
                self._rounds = min(self._rounds, 0)
                self._blip = True
            self._silent = 0.0
            self._flowing += passed
        if sample.iteration > max(last.iteration, 1):
            self._synced(sample, sample.iteration - max(last.iteration, 1))
        if sample.throttle > last.throttle:
            self._flowing, self._rounds = 0.0, 0
        if sample.post_copy:
            self._flowing, self._rounds = 0.0, 0
        if self._silent >= NO_BYTES:
            return Stall.NO_BYTES
        return Stall.NO_GAIN if self._flowing >= NO_GAIN and self._rounds >= ROUNDS else None

    def _synced(self, sample: Sample, count: int) -> None:
        """A look after *count* syncs."""
        if sample.memory_remaining < _GAIN * self._lowest:
            self._lowest = sample.memory_remaining
            self._flowing, self._rounds = 0.0, 0
        elif self._blip:
            self._blip = False
            self._flowing, self._rounds = 0.0, 0
        else:
            self._rounds += count
