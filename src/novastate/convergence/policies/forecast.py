"""The policy that acts on what is foreseen.

Rules of `ForecastPolicy`, which keeps an operator's budget (longest pause, latest end, throttling, post-copy):

- while the migration will end within the budget, nothing is done;
- where the pause would be too long, the downtime limit is lowered at once: to one that brings it within the budget, or else to one
  under which it does not pause so long, though it then hardly ends;
- else the limit is raised, to the least that brings it within the budget;
- where no limit does, it switches to post-copy if it may, or else does what the operator chose: abort at once, wait until the latest
  end, or pause the guest. For that the outlook must have been the same for `patience` seconds, after whole rounds were counted;
- while no bytes flow nothing is decided, but for the latest end;
- where nothing is foreseen the limit rises in Nova's steps (the default number and delay) up to the longest pause, and the latest
  end counts.
"""

from __future__ import annotations

from typing import Literal, get_args

import attrs

from novastate.convergence import bounds
from novastate.convergence.online.stalls import Stall
from novastate.convergence.policies.base import (
    MOST,
    Advice,
    Foreseen,
    JobAction,
    Prospect,
    SituationLike,
    check_situation,
    overdue,
)
from novastate.convergence.policies.nova import downtime_steps

__all__ = ["ForecastPolicy"]

#: What is done with a migration that will not end within its budget, where it may not switch to post-copy.
Otherwise = Literal["abort", "wait", "pause"]
#: The limits that are tried: each so many times the one before, then twice halfway back.
_STEP, _LADDER, _BACK = 1.5, 12, 2
#: A new limit must make it as likely as this, and its pause this share of the longest one.
_LIKELY, _WITHIN = 0.8, 0.8


@attrs.frozen
class ForecastPolicy:
    """Keeps an operator's budget by what is foreseen (a `Foreseen` situation; in any other it goes by Nova's steps and the time).

    *longest_pause* s; *latest_end* s since the request (None: whenever), for each GiB that moves where *per_gib*; *throttle*,
    whether a guest may be throttled for it; *post_copy*, whether it may switch; *otherwise*: ``"abort"`` at once, ``"wait"`` until
    the latest end, or ``"pause"`` the guest; *patience*: seconds for which a bad outlook must last. Raises `ConvergenceError`
    for a number out of bounds.

    The limit that the hypervisor is given may be longer than *longest_pause*: it is reckoned with the bandwidth limit, which the pause
    itself does not know (migration.c sends the rest at line rate). What counts is the pause that is foreseen: a limit under which
    that is longer is not set, and one that is set is lowered.

    >>> from novastate.convergence import Situation
    >>> ForecastPolicy(latest_end=60, otherwise="wait").decide(Situation(elapsed=61)).action
    'abort'
    """

    longest_pause: float = attrs.field(default=0.5, validator=bounds.valid(0, bounds.LONGEST_PAUSE, above=True))
    latest_end: float | None = attrs.field(default=None, validator=bounds.valid(0, MOST, optional=True))
    per_gib: bool = attrs.field(default=False, validator=bounds.flagged)
    throttle: bool = attrs.field(default=True, validator=bounds.flagged)
    post_copy: bool = attrs.field(default=False, validator=bounds.flagged)
    otherwise: Otherwise = attrs.field(default="abort", validator=bounds.one_of(*get_args(Otherwise)))
    patience: float = attrs.field(default=5.0, validator=bounds.valid(0, MOST))

    def end(self, data_gb: float) -> float | None:
        """The latest end of a migration of *data_gb* GiB, s since the request; None where there is none."""
        size = bounds.number("data_gb", data_gb, 0, MOST)
        return None if self.latest_end is None else self.latest_end * (size if self.per_gib else 1.0)

    def decide(self, outlook: SituationLike) -> Advice:
        """What to do now, with the reason in one sentence."""
        check_situation(outlook)
        if outlook.post_copy:
            return Advice(None, "none", "the guest runs on the destination already")
        end = self.end(outlook.data_gb)
        if overdue(outlook, end):
            return self._end(f"not complete after {end:g} s, its latest end", wait="abort")
        if not isinstance(outlook, Foreseen):
            return self._unforeseen(outlook)
        if outlook.stalled is Stall.NO_BYTES:
            return Advice(None, "none", "nothing is sent: the link is waited for")
        if self._fits(outlook, outlook, self.longest_pause, 0.5):
            return Advice(None, "none", f"done in {outlook.eta:.1f} s, within the budget")
        problem = self._problem(outlook)
        too_long = self._too_long(outlook, self.longest_pause)
        if too_long:
            limit, found = self._lower(outlook)
            if found is not None:
                return Advice(limit, "none", f"{problem}; with a limit of {limit} ms {_told(found)}")
        elif outlook.rounds < 1:
            return Advice(None, "none", f"{problem}, by what was known before; a whole round is waited for")
        else:
            limit, found = self._least(outlook)
            if found is not None:
                return Advice(limit, "none", f"{problem}; with a limit of {limit} ms {_told(found)}")
        # What still may end in time is left alone.
        hopeless = too_long or outlook.eta is None or self._late(outlook, outlook) or self._forbidden(outlook)
        waits = outlook.steady < self.patience or outlook.rounds < 2
        soon = too_long and outlook.eta is not None and outlook.eta <= self.patience
        if not hopeless or (waits and not soon):
            return Advice(None, "none", f"{problem}, and no limit helps; it is watched a little longer")
        return self._end(
            f"{problem}, and no limit within {1000 * self.longest_pause:.0f} ms of pause helps", wait="none"
        )

    def _unforeseen(self, outlook: SituationLike) -> Advice:
        steps = downtime_steps(1000 * self.longest_pause, outlook.data_gb)
        limit = max((max(1, ms) for start, ms in steps if start < outlook.elapsed), default=0)
        if limit <= (outlook.current_downtime or 0):
            return Advice(None, "none", "nothing is foreseen of it: the present downtime limit holds")
        return Advice(
            limit, "none", f"nothing is foreseen of it: after {outlook.elapsed:.0f} s the limit is {limit} ms"
        )

    def _end(self, why: str, wait: JobAction) -> Advice:
        if self.post_copy:
            return Advice(None, "force_complete", f"{why}: it switches to post-copy")
        if self.otherwise == "pause":
            return Advice(None, "force_complete", f"{why}: the guest is paused until it is done")
        action: JobAction = "abort" if self.otherwise == "abort" else wait
        return Advice(None, action, f"{why}: it is {'given up' if action == 'abort' else 'waited for'}")

    def _late(self, prospect: Prospect, now: SituationLike) -> bool:
        end = self.end(now.data_gb)
        return end is not None and prospect.eta is not None and now.elapsed + prospect.eta > end

    def _forbidden(self, prospect: Prospect) -> bool:
        return prospect.throttle > 0 and not self.throttle

    def _too_long(self, prospect: Prospect, pause: float) -> bool:
        return (prospect.downtime or 0.0) > pause

    def _fits(self, prospect: Prospect, now: SituationLike, pause: float, likely: float) -> bool:
        if prospect.eta is None or prospect.probability < likely or self._forbidden(prospect):
            return False
        return not self._too_long(prospect, pause) and not self._late(prospect, now)

    def _problem(self, outlook: Foreseen) -> str:
        if outlook.eta is None:
            return "it does not converge"
        if self._too_long(outlook, self.longest_pause):
            return f"its pause would be {1000 * (outlook.downtime or 0.0):.0f} ms"
        if self._forbidden(outlook):
            return f"it converges only by throttling the guest ({outlook.throttle:.0%})"
        if self._late(outlook, outlook):
            return f"it would end after {outlook.elapsed + outlook.eta:.0f} s, later than its latest end"
        return f"it is {outlook.probability:.0%} likely to converge"

    def _lower(self, outlook: Foreseen) -> tuple[int, Prospect | None]:
        """A downtime limit below the present one, ms, that brings it within the budget, else one that at least keeps its pause within
        it; and what comes of it, None where no limit does.

        First those no longer than the longest pause, which no pause passes by much whatever the chance; then longer ones.
        """
        now, sure = outlook.current_downtime or 1, max(1, int(1000 * _WITHIN * self.longest_pause))
        short = _down(min(sure, now - 1))
        tried: list[tuple[int, Prospect]] = []
        for limit in (*short, *reversed([one for one in _down(now - 1) if one > sure])):
            found = outlook.under(limit / 1000)
            if self._fits(found, outlook, _WITHIN * self.longest_pause, _LIKELY):
                return limit, found
            tried.append((limit, found))
        for limit, found in tried[: len(short)]:
            if not self._too_long(found, self.longest_pause):
                return limit, found
        return now, None

    def _least(self, outlook: Foreseen) -> tuple[int, Prospect | None]:
        """The least downtime limit, ms, that brings it within the budget; and what comes of it, None where no limit does."""
        now = outlook.current_downtime or 1

        def tried(limit: int) -> Prospect | None:
            found = outlook.under(limit / 1000)
            return found if self._fits(found, outlook, _WITHIN * self.longest_pause, _LIKELY) else None

        low = now
        for step in range(1, _LADDER + 1):
            high = round(min(max(now * _STEP**step, now + step), 1000 * bounds.LONGEST_PAUSE))
            found = tried(high)
            if found is None:
                low = high
                continue
            for _ in range(_BACK):
                middle = (low + high) // 2
                other = tried(middle) if low < middle < high else None
                low, high, found = (low, middle, other) if other is not None else (middle, high, found)
            return high, found
        return now, None


def _down(top: int) -> list[int]:
    """Limits from *top* ms down to 1, each `_STEP` times shorter than the one before."""
    found: list[int] = []
    while top >= 1:
        found.append(top)
        top = int(top / _STEP)
    return found


def _told(prospect: Prospect) -> str:
    if prospect.probability < _LIKELY or prospect.eta is None or prospect.downtime is None:
        return "it does not pause so long, but hardly converges either"
    return f"it is done in {prospect.eta:.1f} s with a pause of {1000 * prospect.downtime:.0f} ms"
