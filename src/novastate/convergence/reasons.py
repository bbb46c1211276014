"""Why a forecast says what it says: one sentence for whoever is on call, and what would help where it does not converge.

Rule: first the verdict with its numbers, then the doubt where there is one, then help: the least bandwidth, the least limit of
the pause (and the pause that really comes of it), auto-converge. What is named as help converges also for a guest that writes as
much faster as 95 % of those do that the guest may be; where nothing does that, *at least* says what the guest as known needs.
It is looked for in some thirty forecasts, to 3 %; `novastate.convergence.inverse` is the exact answer, and takes its time.
"""

from __future__ import annotations

import math

from novastate.convergence.guest import Guest, Limits, Link
from novastate.convergence.inverse import least_above, switching, throttling
from novastate.convergence.precopy import Forecast, Verdict, forecast
from novastate.convergence.variants import varied

__all__ = ["reason_of"]

_MIB = 1 << 20
#: A pause limit, s, that no one would set.
_LONGEST = 60.0
_SURE = 1.65


def reason_of(result: Forecast) -> str:
    """Why *result* is what it is, in one sentence."""
    if result.total is not None and result.downtime is not None:
        return _converges(result, result.total, result.downtime)
    close = f" ({_close(result)})" if _close(result) else ""
    if result.unlimited_total is not None and result.limits.timeout is not None:
        what = (
            f"It would need {_time(result.unlimited_total, result.limits.timeout)}{_throttled(result)}, and is given up"
            f" after {result.limits.timeout:g} s{close}"
        )
    elif not result.rounds:
        what = (
            f"Not even the first pass ends{close}: {_size(result.guest.memory)} are too much for {_link(result.link)}"
        )
    else:
        last = result.rounds[-1]
        size = last.remaining * result.guest.page_size
        what = (
            f"The guest writes as fast as the link sends{_throttled(result)}: each round leaves about"
            f" {_size(size)}, too much for a pause of {_pause(result.limits.downtime)}{close}"
        )
    helps = _helps(result)
    return f"{what}; {helps}."


def _converges(result: Forecast, total: float, pause: float) -> str:
    how = "switches to post-copy" if result.post_copied else "converges"
    idle = ", for the guest writes nothing" if not any(row.rate for row in result.guest.curve.classes) else ""
    instead = "" if result.otherwise is None else f", or {result.otherwise}"
    close = _close(result)
    if close:
        more = _bandwidth(result, varied(result.guest, _SURE))
        close = f" ({close}{'' if more is None else f'; {_rate(more)} would do'})"
    return (
        f"It {how} after {result.syncs} bitmap syncs{_throttled(result)}{idle}: done in {total:.1f} s"
        f" with a pause of {1000 * pause:.0f} ms{instead}{close}."
    )


def _close(result: Forecast) -> str:
    """The doubt, where there is one."""
    return f"close: {result.probability:.0%} likely to complete" if 0.1 <= result.probability <= 0.9 else ""


def _throttled(result: Forecast) -> str:
    return f" at {result.throttle} % throttle" if result.throttle else ""


def _helps(result: Forecast) -> str:
    """What would make it converge."""
    found = []
    for help_of in (_help_of_bandwidth, _help_of_pause):
        told = help_of(result, varied(result.guest, _SURE), "") or help_of(result, result.guest, "at least ")
        found += [told] if told else []
    rules = result.rules
    throttled = throttling(rules)
    if throttled is not None and not rules.auto_converge and not rules.post_copy:
        slowed = forecast(varied(result.guest, _SURE), result.link, result.limits, throttled)
        if slowed.verdict is Verdict.CONVERGES:
            found.append(f"auto-converge (up to {slowed.throttle} % throttle)")
    if not found:
        return "neither more bandwidth nor a longer pause helps" + (
            ", but post-copy may" if not rules.post_copy and switching(rules) is not None else ""
        )
    return f"it needs {', or '.join(found)}"


def _help_of_bandwidth(result: Forecast, guest: Guest, how: str) -> str | None:
    more = _bandwidth(result, guest)
    return None if more is None else how + _rate(more)


def _help_of_pause(result: Forecast, guest: Guest, how: str) -> str | None:
    def at(pause: float) -> bool:
        limits = Limits(pause, result.limits.timeout)
        return forecast(guest, result.link, limits, result.rules).verdict is Verdict.CONVERGES

    longer = least_above(at, max(result.limits.downtime, 0.01), _LONGEST, 0.001)
    if longer is None:
        return None
    pause = forecast(result.guest, result.link, Limits(longer, result.limits.timeout), result.rules).downtime
    real = "" if pause is None else f" (the pause itself: {_pause(pause)})"
    return f"a pause limit of {how}{_pause(longer)}{real}"


def _bandwidth(result: Forecast, guest: Guest) -> float | None:
    """The least limit, in whole MiB/s above that of *result*, with which *guest* converges; None: none."""
    link = result.link

    def at(limit: float) -> bool:
        return forecast(guest, Link(limit, link.line_rate), result.limits, result.rules).verdict is Verdict.CONVERGES

    return least_above(at, link.limit, link.line_rate, _MIB) if link.limit else None


def _rate(value: float) -> str:
    return f"{math.ceil(value / _MIB)} MiB/s"


def _link(link: Link) -> str:
    return f"a limit of {_rate(link.limit)}" if link.limit else "the line"


def _size(value: float) -> str:
    return f"{value / _MIB:.0f} MiB" if value >= 10 * _MIB else f"{value / _MIB:.1f} MiB"


def _time(value: float, beside: float) -> str:
    """*value* s, exact enough to be told from *beside*."""
    return f"{value:.1f} s" if abs(value - beside) < 0.1 * beside or value < 10 else f"{value:.0f} s"


def _pause(value: float) -> str:
    return f"{1000 * value:.0f} ms" if value < 1 else f"{value:.3g} s"
