"""Why a forecast says what it says: one sentence for whoever is on call, and what would help where it does not converge.

Rule: first the verdict with its numbers, and the limit that it breaks where the rules ignore one; then the doubt where there is
one; where it does not converge, what the guest writes in a round, and what would help: the least bandwidth, the least limit of the
pause (and the pause that really comes of it), auto-converge, or where there is nothing else post-copy. Help is looked for with a
guest that writes as much faster as 95 % of those do that the guest may be, and *at least* says that it is what the guest as known
needs. Whatever is named was tried by a forecast of the guest itself, and completes more likely than not. It is looked for in
some forty forecasts, to 3 %; `novastate.convergence.inverse` is the exact answer, and takes its time.
"""

from __future__ import annotations

import math

import attrs

from novastate.convergence.guest import Guest, Limits, Link
from novastate.convergence.hosts import PACE, guessed
from novastate.convergence.inverse import least_above, switching, throttling
from novastate.convergence.precopy import Forecast, Verdict, forecast
from novastate.convergence.rules import Rules
from novastate.convergence.variants import varied

__all__ = ["reason_of"]

_MIB = 1 << 20
#: A pause limit, s, that no one would set: s are taken for ms.
_LONGEST = 60.0
_SURE = 1.65
#: Help is named from this probability on, and without reserve from the second.
_HELPS, _LIKELY = 0.5, 0.8
#: Rounds at the end of which the same remains but for this share are told as one.
_LAST, _ALIKE = 6, 0.1


def reason_of(result: Forecast) -> str:
    """Why *result* is what it is, in one sentence."""
    if result.total is not None and result.downtime is not None:
        return _converges(result, result.total, result.downtime)
    close = f" ({_close(result)})" if _close(result) else ""
    if result.unlimited_total is not None and result.limits.timeout is not None:
        guess = "" if _host(result) else _guess(result)
        what = (
            f"It would need {_time(result.unlimited_total, result.limits.timeout)}{_throttled(result)}{guess}, and is given up"
            f" after {result.limits.timeout:g} s{close}"
        )
    else:
        what = _never(result) + close
    parts = [what + _long(result), _host(result), _helps(result)]
    return f"{'; '.join(part for part in parts if part)}."


def _never(result: Forecast) -> str:
    """What a round writes, and that it is too much."""
    endless = forecast(result.guest, result.link, Limits(result.limits.downtime), result.rules)
    rounds = endless.rounds
    if len(rounds) < 2:
        size = _size(result.guest.memory)
        return f"Not even the first pass ends in the time that is looked ahead: {size} are too much for {_link(result.link)}"
    page = result.guest.page_size
    row, lasts = rounds[-2], rounds[-1].start - rounds[-2].start
    left = [one.remaining * page for one in rounds[-_LAST:-1]]
    least, most = min(left), max(left)
    alike = most <= (1.0 + _ALIKE) * least
    remain = f"about {_size(row.remaining * page)}" if alike else f"{_size(least)} to {_size(most)}"
    return (
        f"In a round of {_pause(lasts)}{_throttled(endless)} the guest writes {_size(row.dirtied * page)}: {remain} remain"
        f" after each, too much for a pause limit of {_pause(result.limits.downtime)}"
    )


def _converges(result: Forecast, total: float, pause: float) -> str:
    rounds = max(result.syncs - 2, len(result.rounds))  # the last may end without a sync of its own
    after = f"after {rounds} round{'' if rounds == 1 else 's'}{_throttled(result)}"
    how = f"It {'switches to post-copy' if result.post_copied else 'converges'} {after}"
    timeout = result.limits.timeout
    late = f", after the timeout of {timeout:g} s" if timeout is not None and total > timeout else ""
    if _at_the_timeout(result, total):
        how = f"The guest is stopped by the timeout {after}, whatever remains"
    elif result.rules.most_rounds and rounds > result.rules.most_rounds:
        how = f"The guest is stopped {after}, whatever remains"
    idle = ", for the guest writes nothing" if not any(row.rate for row in result.guest.curve.classes) else ""
    instead = "" if result.otherwise is None else f", or {result.otherwise}"
    close = _close(result)
    if close:
        more = _bandwidth(result, varied(result.guest, _SURE))
        if more is not None and _chance(result, link=attrs.evolve(result.link, limit=more)) >= _LIKELY:
            close += f"; {_rate(more)} would do"
        close = f" ({close})"
    limit = result.limits.downtime
    over = f", over the limit of {_pause(limit)}" if pause > limit and _pause(pause) != _pause(limit) else ""
    long = _long(result)
    return f"{how}{idle}: done in {total:.1f} s{late}, with a pause of {_pause(pause)}{over}{long}{_guess(result)}{instead}{close}."


def _at_the_timeout(result: Forecast, total: float) -> bool:
    """Whether it is the timeout that stops the guest, by rules that ignore what remains then."""
    if not result.rules.ignores_timeout or result.limits.timeout is None:
        return False
    freely = forecast(result.guest, result.link, Limits(result.limits.downtime), result.rules)
    return freely.total is None or freely.total > total


def _close(result: Forecast) -> str:
    """The doubt, where there is one."""
    return f"close: {result.probability:.0%} likely to complete" if 0.1 <= result.probability <= 0.9 else ""


def _throttled(result: Forecast) -> str:
    return f" at {result.throttle} % throttle" if result.throttle else ""


def _long(result: Forecast) -> str:
    """That a limit of the pause is longer than anyone means, where it is."""
    limit = result.limits.downtime
    return f", under a pause limit of {limit:g} s (Limits.downtime is in s, not ms)" if limit > _LONGEST else ""


def _guess(result: Forecast) -> str:
    """That the time is that of hosts of which nobody has said what they let through, where it is."""
    if not guessed(result.link, result.rules):
        return ""
    return f", between hosts that take {PACE / 1e6:.0f} MB/s, which is a guess (Rules.first_touch)"


def _host(result: Forecast) -> str:
    """That it is the pace of the hosts that holds it up, where it is: at the line's rate it would converge but for that."""
    rules, line = result.rules, attrs.evolve(result.link, limit=None)
    if _chance(result, link=line) >= _HELPS:
        return ""
    quick = attrs.evolve(rules, first_touch=0.0)
    for field, quicker in (("first_touch", quick), ("rewrite", attrs.evolve(quick, rewrite=0.0))):
        if _chance(result, link=line, rules=quicker) >= _HELPS:
            pace = rules.wire() / (rules.touch if field == "first_touch" else rules.rewrite)
            guess = ", a guess" if field == "first_touch" and guessed(line, rules) else ""
            return f"the hosts take {pace / 1e6:.0f} MB/s at most (Rules.{field}{guess}), whatever the link carries"
    return ""


def _helps(result: Forecast) -> str:
    """What would make it converge."""
    found = [told for told in (_help_of_bandwidth(result), _help_of_pause(result)) if told]
    throttled, switched = throttling(result.rules), switching(result.rules)
    if throttled is not None and not result.rules.auto_converge and not result.rules.post_copy:
        slowed = forecast(result.guest, result.link, result.limits, throttled)
        if slowed.verdict is Verdict.CONVERGES and slowed.throttle and slowed.probability >= _HELPS:
            likely = "" if slowed.probability >= _LIKELY else f", {slowed.probability:.0%} likely to complete"
            found.append(f"auto-converge (up to {slowed.throttle} % throttle{likely})")
    if found:
        return f"it needs {', or '.join(found)}"
    nothing = f"{'neither all of the line nor a' if result.link.limit else 'no'} longer pause was found to help"
    if switched is not None and not result.rules.post_copy and _chance(result, rules=switched) >= _HELPS:
        return f"it needs post-copy: {nothing}"
    return nothing


def _help_of_bandwidth(result: Forecast) -> str | None:
    for who in (varied(result.guest, _SURE), result.guest):
        more = _bandwidth(result, who)
        chance = 0.0 if more is None else _chance(result, link=attrs.evolve(result.link, limit=more))
        if more is not None and chance >= _HELPS:
            return _reserve(chance) + _rate(more)
    return None


def _help_of_pause(result: Forecast) -> str | None:
    for who in (varied(result.guest, _SURE), result.guest):
        longer = _longer(result, who)
        if longer is None:
            continue
        there = forecast(result.guest, result.link, attrs.evolve(result.limits, downtime=longer), result.rules)
        if there.downtime is not None and there.probability >= _HELPS:
            beyond = ", devices and all" if there.downtime > longer else ""
            limit = f"a pause limit of {_reserve(there.probability)}{_pause(longer)}"
            return f"{limit} (the pause itself: {_pause(there.downtime)}{beyond})"
    return None


def _reserve(chance: float) -> str:
    return "" if chance >= _LIKELY else "at least "


def _chance(result: Forecast, link: Link | None = None, rules: Rules | None = None) -> float:
    """The probability that the same guest completes in time over *link* by *rules*; 0 where the verdict is another."""
    there = forecast(result.guest, link or result.link, result.limits, rules or result.rules)
    return there.probability if there.verdict is Verdict.CONVERGES else 0.0


def _bandwidth(result: Forecast, guest: Guest) -> float | None:
    """The least limit, in whole MiB/s above that of *result*, with which *guest* converges; None: none."""
    link = result.link

    def at(limit: float) -> bool:
        return forecast(guest, Link(limit, link.line_rate), result.limits, result.rules).verdict is Verdict.CONVERGES

    return least_above(at, link.limit, link.line_rate, _MIB) if link.limit else None


def _longer(result: Forecast, guest: Guest) -> float | None:
    """The least limit of the pause above that of *result* with which *guest* converges, as many digits as are told; None: none."""

    def at(pause: float) -> bool:
        limits = Limits(pause, result.limits.timeout)
        return forecast(guest, result.link, limits, result.rules).verdict is Verdict.CONVERGES

    longer = least_above(at, max(result.limits.downtime, 0.01), _LONGEST, 0.001)
    if longer is None or longer < 1.0:
        return longer
    unit = 0.01 if longer < 10.0 else 0.1
    return round(math.ceil(longer / unit - 1e-9) * unit, 2)


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
    return f"{1000 * value:.0f} ms" if value < 1 else f"{value:.3g} s" if value < 100 else f"{value:.0f} s"
