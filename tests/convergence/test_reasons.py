"""Every kind of forecast has one sentence that says what happens, how sure that is, and what would help."""

from __future__ import annotations

import random
import re

import attrs
import pytest

from novastate._native import NATIVE
from novastate.convergence import DirtyClass, DirtyCurve, Guest, Limits, Link, Rules, Verdict, forecast

MIB = 1 << 20
PAGES = 98434
LINK = Link(64 * MIB, 1e9)


def guest(rate=1.0, size=16000, spread=0.0, **more):
    rows = (DirtyClass(size, 15000 * rate), DirtyClass(60, 2400))
    return Guest(PAGES * 4096, 32079, 4096, DirtyCurve(rows, PAGES, spread), **more)


IDLE = Guest(PAGES * 4096, 32079, 4096, DirtyCurve((DirtyClass(10, 0.0),), PAGES))
CALM = guest(0.2)
BUSY = guest(4.0, busy=1.0)
WILD = Guest(PAGES * 4096, 0, 4096, DirtyCurve((DirtyClass(90000, 1e9),), PAGES), busy=0.05)
AUTO = Rules.qemu(auto_converge=True)
POST = Rules.qemu(post_copy=True)

CASES = {
    "converges": (CALM, LINK, Limits(0.3, 800), Rules.qemu(), r"^It converges after \d rounds?: done in \d\.\d s, with a pause of \d+ ms\.$"),
    "idle": (IDLE, LINK, Limits(), Rules.qemu(), r"^It converges after \d rounds?, for the guest writes nothing: done in 4\.\d s, "),
    "throttled": (BUSY, LINK, Limits(), AUTO, r"^It converges after \d+ rounds at \d\d % throttle: done in \d+\.\d s"),
    "post-copy": (BUSY, LINK, Limits(0.05), POST, r"^It switches to post-copy after 1 round: done in 4\.\d s, with a pause of 3 ms"),
    "unlimited": (CALM, Link(None), Limits(), Rules.qemu(), r"^It converges after \d+ rounds?: done in \d\.\d s"),
    "never": (
        BUSY, LINK, Limits(0.05), Rules.qemu(),
        (r"^In a round of [\d.]+ (ms|s) the guest writes \d+ MiB: about \d+ MiB remain after each, too much for a pause limit of 50 ms;"
        r" it needs \d+ MiB/s, or a pause limit of [\d.]+ (ms|s) \(the pause itself: \d+ ms\), or auto-converge \(up to \d\d % throttle\)\.$"),
    ),
    "never, throttled": (WILD, LINK, Limits(0.03, 800), AUTO, r"^In a round of [\d.]+ (ms|s) at 99 % throttle the guest writes \d+ MiB: about 3\d\d MiB remain"),
    "never, even without a limit": (WILD, Link(None), Limits(0.01), Rules.qemu(), r"^In a round of .* the guest writes .*; it needs a pause limit of"),
    "not even one pass, and nothing helps": (
        attrs.evolve(WILD, memory=2.0**50), Link(1.0, 1.0), Limits(0.01), Rules.qemu(),
        (r"^Not even the first pass ends in the time that is looked ahead: 1073741824 MiB are too much for a limit of 1 MiB/s;"
        r" neither all of the line nor a longer pause was found to help\.$"),
    ),
    "times out": (
        CALM, LINK, Limits(0.3, 3.0), Rules.qemu(),
        r"^It would need 4\.\d s, and is given up after 3 s; it needs \d+ MiB/s, or a pause limit of [\d.]+ s \(the pause itself: .*\)\.$",
    ),
    "times out, post-copy too": (CALM, LINK, Limits(0.3, 0.5), POST, r"^It would need 4\.\d s, and is given up after 0\.5 s; .*\.$"),
    "a hypervisor that neither throttles nor post-copies": (
        WILD, Link(None, 1e8), Limits(0.3, 20), Rules.cloud_hypervisor(), r"^In a round of .*; it needs a pause limit of",
    ),
    "a limit of 0": (
        CALM, LINK, Limits(0.0, 800), Rules.qemu(),
        r"^It converges after 1 round: done in [\d.]+ s, with a pause of \d+ ms, over the limit of 0 ms\.$",
    ),
    "the hosts, not the link": (
        attrs.evolve(CALM, memory=64 * 2.0**30), Link(None, 12.5e9), Limits(0.3, 120), Rules.qemu(),
        (r"^It would need 17[56] s, and is given up after 120 s \(close: 50% likely to complete\);"
        r" the hosts take 391 MB/s at most \(Rules.first_touch, a guess\),"
        r" whatever the link carries; no longer pause was found to help\.$"),
    ),
    "stopped by the timeout": (
        BUSY, LINK, Limits(0.05, 60), Rules.cloud_hypervisor(on_timeout="ignore"),
        (r"^The guest is stopped by the timeout after \d+ rounds, whatever remains: done in 6\d\.\d s, after the timeout of 60 s,"
        r" with a pause of \d+ ms, over the limit of 50 ms\.$"),
    ),
    "stopped after so many rounds": (
        BUSY, LINK, Limits(0.05), Rules.cloud_hypervisor("51.0"),
        r"^The guest is stopped after 6 rounds, whatever remains: done in \d+\.\d s, with a pause of \d+ ms, over the limit of 50 ms\.$",
    ),
    "the first round, too late, and ignored": (
        CALM, LINK, Limits(0.3, 2), Rules.cloud_hypervisor(on_timeout="ignore"), r": done in \d\.\d s, after the timeout of 2 s, with a pause of",
    ),
    "no one knows": (
        guest(4.0, spread=0.9), LINK, Limits(0.05), Rules.qemu(),
        r"remain after each, .*\(close: \d\d% likely to complete\); it needs (at least )?\d+ MiB/s",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_every_case_has_its_sentence(case):
    who, link, limits, rules, pattern = CASES[case]
    found = forecast(who, link, limits, rules).reason
    assert re.search(pattern, found), found
    assert found.count(". ") == 0
    assert found.endswith(".")


def test_the_cases_are_all_verdicts_there_are():
    found = {forecast(*case[:4]).verdict for case in CASES.values()}
    assert found == set(Verdict)


def test_what_is_named_as_help_does_help():
    who = guest(4.0)
    told = forecast(who, LINK, Limits(0.05)).reason
    bandwidth = float(re.search(r"needs (\d+) MiB/s", told)[1]) * MIB
    better = forecast(who, Link(bandwidth, 1e9), Limits(0.05))
    assert better.verdict is Verdict.CONVERGES
    assert better.probability >= 0.8
    number, unit = re.search(r", or a pause limit of ([\d.]+) (ms|s)", told).groups()
    longer = forecast(who, LINK, Limits(float(number) / (1000 if unit == "ms" else 1)))
    assert longer.probability >= 0.8
    assert f"the pause itself: {1000 * longer.downtime:.0f} ms" in told


def test_a_close_call_says_what_would_make_it_likely():
    at = next(
        found
        for found in (forecast(guest(0.8 + 0.02 * step), LINK) for step in range(60))
        if found.verdict is Verdict.CONVERGES and found.probability < 0.85
    )
    bandwidth = float(re.search(r"close: \d\d% likely to complete; (\d+) MiB/s would do", at.reason)[1])
    assert bandwidth > 64
    assert forecast(at.guest, Link(bandwidth * MIB, 1e9)).probability > at.probability


def test_a_forecast_asks_for_its_reason_only_when_asked(monkeypatch):
    import novastate.convergence.reasons as home

    asked = []
    monkeypatch.setattr(home, "reason_of", lambda result: asked.append(result) or "so.")
    result = forecast(BUSY, LINK, Limits(0.05))
    assert (result.probability, asked) == (result.probability, [])
    assert (result.reason, result.reason, asked) == ("so.", "so.", [result])


@pytest.mark.parametrize(
    ("rules", "throttled", "switched"),
    [
        (Rules.qemu("10.0"), True, True),
        (Rules.qemu("10.0", multifd=2), True, False),
        (Rules.qemu("10.1", multifd=2), True, True),
        (Rules.qemu("10.0", dirty_limit=1e12, accelerator="kvm-dirty-ring"), False, True),
        (Rules.cloud_hypervisor(), False, False),
    ],
)
def test_no_help_is_named_that_the_hypervisor_refuses(rules, throttled, switched):
    assert ("auto-converge" in forecast(BUSY, LINK, Limits(0.05, 800), rules).reason) is throttled
    huge = attrs.evolve(WILD, memory=80 * 2.0**30)
    assert ("needs post-copy" in forecast(huge, Link(MIB, 2e6), Limits(0.01), rules).reason) is switched


RULES = (
    Rules.qemu(), Rules.qemu("9.0", auto_converge=True), AUTO, POST, Rules.qemu(multifd=2),
    Rules.cloud_hypervisor(), Rules.cloud_hypervisor("51.0"), Rules.cloud_hypervisor(on_timeout="ignore"),
)  # fmt: skip


def anyone(seed):
    """A random forecast."""
    draw = random.Random(seed)
    memory = 4096 * int(2 ** draw.uniform(15, 24))
    pages = memory // 4096
    rows = (
        DirtyClass(pages * 10 ** draw.uniform(-4, -0.1), 10 ** draw.uniform(2, 6.5)),
        DirtyClass(pages * 0.01, 10 ** draw.uniform(1, 4)),
    )
    curve = DirtyCurve(rows, pages, draw.choice((0.0, 0.1, 0.4)))
    who = Guest(memory, int(pages * draw.uniform(0, 0.6)), 4096, curve, busy=draw.choice((0.05, 0.5, 1.0)))
    link = Link(draw.choice((None, 2 ** draw.uniform(20, 30))), 10 ** draw.uniform(7.5, 10.1))
    limits = Limits(draw.choice((0.0, 0.01, 0.05, 0.1, 0.3, 1.0, 3.0)), draw.choice((None, 60, 800)))
    return forecast(who, link, limits, draw.choice(RULES))


def seconds(number, unit):
    return float(number) / (1000 if unit == "ms" else 1)


def again(of, **changed):
    """The forecast *of* the same with something *changed*."""
    given = {"guest": of.guest, "link": of.link, "limits": of.limits, "rules": of.rules}
    return forecast(**(given | changed))


@pytest.mark.parametrize("seed", range(120 if NATIVE else 12))
def test_what_a_sentence_claims_is_so(seed):
    result = anyone(seed)
    told = result.reason
    assert told.count(". ") == 0
    if result.total is not None:
        assert f"after {len(result.rounds)} round" in told or len(result.rounds) == 256
        assert ("over the limit" in told) == (result.downtime > result.limits.downtime + 0.5e-3) or result.downtime >= 1
        assert ("after the timeout" in told) == (result.total > (result.limits.timeout or 1e9))
        rules = attrs.evolve(result.rules, on_timeout="cancel", most_rounds=0)
        forced = again(result, limits=Limits(result.limits.downtime), rules=rules)
        assert ("is stopped" in told) == (
            forced.total is None or forced.total > result.total
        ) or result.rules.most_rounds
        return
    what, _, helps = told.partition(";")
    if found := re.search(
        r"a round of ([\d.]+) (ms|s)(?: at \d+ % throttle)? the guest writes ([\d.]+) MiB: (?:about ([\d.]+)|([\d.]+) MiB to ([\d.]+)) MiB",
        what,
    ):
        lasts, written = seconds(*found.group(1, 2)), float(found[3])
        # No more than its dirty curve says; memory that is watched anew in parts may have had two rounds for it.
        assert written <= 1.05 * result.guest.curve.pages(2.0 * lasts) / 256 + 0.1
        rounds = again(result, limits=Limits(result.limits.downtime)).rounds[-6:-1]
        low, high = (float(found[at] or found[4]) for at in (5, 6))
        for row in rounds:
            assert 0.9 * low - 0.5 <= row.remaining / 256 <= 1.1 * high + 0.5
    if found := re.search(r"needs (?:at least )?(\d+) MiB/s", helps):
        assert again(result, link=Link(int(found[1]) * MIB, result.link.line_rate)).probability >= 0.5
    if found := re.search(
        r"a pause limit of (?:at least )?([\d.]+) (ms|s) \(the pause itself: ([\d.]+) (ms|s)(, devices and all)?", helps
    ):
        there = again(result, limits=attrs.evolve(result.limits, downtime=seconds(*found.group(1, 2))))
        assert there.probability >= 0.5
        assert there.downtime == pytest.approx(seconds(*found.group(3, 4)), rel=0.01, abs=0.6e-3)
        assert (there.downtime > there.limits.downtime) == bool(found[5])
    if "auto-converge" in helps:
        assert again(result, rules=result.rules.with_options(auto_converge=True)).probability >= 0.5
    if "post-copy" in helps:
        assert again(result, rules=result.rules.with_options(post_copy=True)).probability >= 0.5
    if "Rules.first_touch" in helps:
        unheld = again(
            result, link=Link(None, result.link.line_rate), rules=attrs.evolve(result.rules, first_touch=0.0)
        )
        assert unheld.probability >= 0.5
    if "all of the line" in helps:
        assert again(result, link=Link(result.link.line_rate, result.link.line_rate)).total is None


def test_a_pause_limit_that_no_one_means_is_named():
    for limits, rules in (
        (Limits(300), Rules.qemu()),
        (Limits(300, 1), Rules.qemu()),
        (Limits(300), Rules.cloud_hypervisor()),
    ):
        assert "a pause limit of 300 s (Limits.downtime is in s, not ms)" in forecast(BUSY, LINK, limits, rules).reason
    assert "not ms" not in forecast(BUSY, LINK, Limits(60)).reason
