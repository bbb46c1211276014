"""Every kind of forecast has one sentence that says what happens, how sure that is, and what would help."""

from __future__ import annotations

import re

import attrs
import pytest

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
    "converges": (CALM, LINK, Limits(0.3, 800), Rules.qemu(), r"^It converges after \d bitmap syncs: done in \d\.\d s with a pause of \d+ ms\.$"),
    "idle": (IDLE, LINK, Limits(), Rules.qemu(), r"^It converges after \d bitmap syncs, for the guest writes nothing: done in 4\.\d s "),
    "throttled": (BUSY, LINK, Limits(), AUTO, r"^It converges after \d+ bitmap syncs at \d\d % throttle: done in \d+\.\d s"),
    "post-copy": (BUSY, LINK, Limits(0.05), POST, r"^It switches to post-copy after 3 bitmap syncs: done in 4\.\d s with a pause of 3 ms"),
    "unlimited": (CALM, Link(None), Limits(), Rules.qemu(), r"^It converges after \d+ bitmap syncs: done in \d\.\d s"),
    "never": (
        BUSY, LINK, Limits(0.05), Rules.qemu(),
        (r"^The guest writes as fast as the link sends: each round leaves about \d+ MiB, too much for a pause of 50 ms;"
        r" it needs \d+ MiB/s, or a pause limit of [\d.]+ (ms|s) \(the pause itself: \d+ ms\), or auto-converge \(up to \d\d % throttle\)\.$"),
    ),
    "never, throttled": (WILD, LINK, Limits(0.03, 800), AUTO, r"^The guest writes as fast as the link sends at 99 % throttle: each round leaves about 3\d\d MiB, "),
    "never, even without a limit": (WILD, Link(None), Limits(0.01), Rules.qemu(), r"^The guest writes as fast as the link sends: .*; it needs a pause limit of"),
    "not even one pass, and nothing helps": (
        attrs.evolve(WILD, memory=2.0**50), Link(1.0, 1.0), Limits(0.01), Rules.qemu(),
        (r"^Not even the first pass ends: 1073741824 MiB are too much for a limit of 1 MiB/s;"
        r" neither more bandwidth nor a longer pause helps, but post-copy may\.$"),
    ),
    "times out": (
        CALM, LINK, Limits(0.3, 3.0), Rules.qemu(),
        r"^It would need 4\.\d s, and is given up after 3 s; it needs \d+ MiB/s, or a pause limit of [\d.]+ s \(the pause itself: .*\)\.$",
    ),
    "times out, post-copy too": (CALM, LINK, Limits(0.3, 0.5), POST, r"^It would need 4\.\d s, and is given up after 0\.5 s; .*\.$"),
    "a hypervisor that neither throttles nor post-copies": (
        WILD, Link(None, 1e8), Limits(0.3, 20), Rules.cloud_hypervisor(), r"; neither more bandwidth nor a longer pause helps\.$|it needs a pause limit of",
    ),
    "no one knows": (
        guest(4.0, spread=0.9), LINK, Limits(0.05), Rules.qemu(),
        r"each round leaves .*\(close: \d\d% likely to complete\); it needs (at least )?\d+ MiB/s",
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
    number, unit = re.search(r"pause limit of ([\d.]+) (ms|s)", told).groups()
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
    assert ("post-copy may" in forecast(huge, Link(MIB, 2e6), Limits(0.01), rules).reason) is switched
