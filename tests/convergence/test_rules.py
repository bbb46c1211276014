"""Rules are named by hypervisor and version; what a version has not is refused by name; they tell themselves in words."""

from __future__ import annotations

import math

import attrs
import pytest

from novastate.convergence import DirtyClass, DirtyCurve, Guest, Limits, Link, Rules, Verdict, forecast, versions
from novastate.convergence.versions import CLOUD_HYPERVISOR, QEMU
from novastate.errors import ConvergenceError

MIB = 1 << 20
CURVE = DirtyCurve((DirtyClass(20_000, 40_000),), 100_000)
GUEST = Guest(memory=100_000 * 4096, zero_pages=30_000, page_size=4096, curve=CURVE, busy=0.5)
VERSIONS = ["7.0", "7.1", "7.2", "8.0", "8.1", "8.2", "9.0", "9.1", "9.2", "10.0", "10.1"]
ON = {
    "post_copy_preempt": True,
    "dirty_limit": 1e6,
    "switchover_bandwidth": 1e9,
    "zero_page_in_threads": True,
    "background_sync": 5.0,
}


def number(version):
    return tuple(map(int, version.split(".")))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("option", sorted(QEMU))
def test_what_a_version_has_not_is_refused_by_name(version, option):
    options = {option: ON[option], "accelerator": "kvm-dirty-ring"}
    if number(version) >= QEMU[option][0]:
        assert getattr(Rules.qemu(version, **options), option) == ON[option]
    else:
        with pytest.raises(ConvergenceError, match=option) as caught:
            Rules.qemu(version, **options)
        assert ".".join(map(str, QEMU[option][0])) in str(caught.value)


@pytest.mark.parametrize("version", VERSIONS)
def test_what_a_version_does_unasked(version):
    rules = Rules.qemu(version, auto_converge=True, multifd=4)
    assert rules.background_sync == (5.0 if number(version) >= (9, 2) else 0.0)
    assert rules.wire_zero() == (10.5 if number(version) >= (9, 0) else 9.0)
    assert Rules.qemu(version, multifd=4, zero_page_in_threads=False).wire_zero() == 9.0  # an older machine type
    assert Rules.qemu(version).background_sync == 0.0
    assert Rules.qemu(version).wire_zero() == 9.0


@pytest.mark.parametrize(
    ("options", "field"),
    [({"multifd": 2, "xbzrle_cache": 64 * MIB}, "multifd"), ({"multifd": 2, "post_copy": True}, "multifd"),
     ({"dirty_limit": 1e6, "auto_converge": True, "accelerator": "kvm-dirty-ring"}, "dirty_limit"),
     ({"dirty_limit": 1e6}, "dirty_limit"), ({"accelerator": "xen"}, "accelerator"), ({"speed": 1.0}, "speed"),
     ({"on_timeout": "ignore"}, "on_timeout"), ({"most_rounds": 5}, "most_rounds"), ({"tailslow": 1}, "tailslow"),
     ({"initial": 0.5, "most": 0.1}, "most"), ({"initial": 1.0}, "most"), ({"post_copy_after": 0}, "post_copy_after"),
     ({"post_copy_after": 1.5}, "post_copy_after"), ({"multifd": 2.5}, "multifd"), ({"xbzrle_overflow": 1.1}, "xbzrle_overflow"), ({"background_sync": math.nan}, "background_sync")],
)  # fmt: skip
def test_what_does_not_go_together_or_is_no_rule_is_refused_by_name(options, field):
    with pytest.raises(ConvergenceError, match=field):
        Rules.qemu("10.0", **options)


def test_multifd_and_post_copy_go_together_from_10_1_on():
    assert Rules.qemu("10.1", multifd=2, post_copy=True).post_copy


@pytest.mark.parametrize("version", VERSIONS)
def test_multifd_and_xbzrle_go_together_before_8_2_and_then_pages_go_by_multifd_alone(version):
    asked = {"multifd": 2, "xbzrle_cache": 64.0 * MIB}
    if number(version) >= (8, 2):
        with pytest.raises(ConvergenceError, match=r"multifd: does not go with xbzrle_cache from 8\.2 on"):
            Rules.qemu(version, **asked)
        return
    both, alone = Rules.qemu(version, **asked), Rules.qemu(version, multifd=2)
    assert (both.cached_pages(), both.wire_again()) == (0.0, alone.wire())
    link, limits = Link(limit=64 * MIB), Limits(downtime=0.05)
    with_cache, without = (forecast(GUEST, link, limits, rules) for rules in (both, alone))
    assert (with_cache.verdict, with_cache.unlimited_total) == (without.verdict, without.unlimited_total)
    assert not any("is in the cache" in line for line in both.told())
    assert any("without effect" in line for line in both.told())


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "had", [{}, {"multifd": 2}, {"dirty_limit": 1e6}, {"xbzrle_cache": 1e8}, {"background_sync": 7.0}]
)
@pytest.mark.parametrize(
    "more",
    [{"auto_converge": True}, {"post_copy": True}, {"multifd": 2}, {"speed": 1.0}, {"switchover_bandwidth": 1e9}],
)
def test_an_option_more_is_what_the_version_makes_of_it(version, had, more):
    def make(**options):
        try:
            return Rules.qemu(version, accelerator="kvm-dirty-ring", **options)
        except ConvergenceError:
            return None

    before, after = make(**had), make(**{**had, **more})
    if before is None:
        return
    if after is None:
        with pytest.raises(ConvergenceError):
            before.with_options(**more)
    else:
        assert before.with_options(**more) == after


def test_an_option_more_of_rules_of_ones_own_or_of_cloud_hypervisor():
    assert Rules("own", multifd=2).with_options(post_copy=True) == Rules("own", multifd=2, post_copy=True)
    with pytest.raises(ConvergenceError, match="multifd"):
        Rules("own", multifd=2).with_options(xbzrle_cache=1e8)
    with pytest.raises(ConvergenceError, match="dirty_limit"):
        Rules.qemu().with_options(dirty_limit=1e6)  # not with kvm's bitmaps
    cloud = Rules.cloud_hypervisor()
    assert cloud.with_options(device=0.1) == Rules.cloud_hypervisor(device=0.1)
    with pytest.raises(ConvergenceError, match="post_copy"):
        cloud.with_options(post_copy=True)
    assert cloud.with_options(on_timeout="ignore") == Rules.cloud_hypervisor(on_timeout="ignore")
    with pytest.raises(ConvergenceError, match="on_timeout: needs Cloud Hypervisor 52"):
        Rules.cloud_hypervisor("51.0").with_options(on_timeout="ignore")


@pytest.mark.parametrize("version", ["6.2", "10", "ten", "", None, "10.0.0.x"])
def test_what_is_no_version_of_qemu_is_refused(version):
    with pytest.raises(ConvergenceError, match="version"):
        Rules.qemu(version)


@pytest.mark.parametrize(
    ("told", "name"),
    [(8002000, "qemu-8.2.0"), (10000002, "qemu-10.0.2"), ("8.2.0 (Debian 1:8.2.0+ds-1)", "qemu-8.2.0"),
     ("Debian 1:8.2.0+ds-1", "qemu-8.2.0"), (" (Debian 1:7.2+dfsg-7)", "qemu-7.2"), ("v10.0.0-rc2", "qemu-10.0.0"),
     ("qemu-kvm-9.1.0-15.el10", "qemu-9.1.0"), ("qemu-9.1.2-1.fc41", "qemu-9.1.2"), (" 9.2.1\n", "qemu-9.2.1"),
     ("QEMU emulator version 8.2.7 (openSUSE Leap 15.6)", "qemu-8.2.7")],
)  # fmt: skip
def test_a_version_is_taken_as_libvirt_and_qemu_tell_it(told, name):
    rules = Rules.qemu(told, auto_converge=True)
    assert rules.name == name
    assert rules == Rules.named(name, auto_converge=True)


@pytest.mark.parametrize(
    "told", ["openSUSE Leap 15.6", "xen-10.0", "-10.0", 10, 999_999, True, 8.5e300, "1:8.2", "8.2.0x", "libvirt 10.0"]
)
def test_what_only_looks_like_a_version_is_refused(told):
    with pytest.raises(ConvergenceError, match="version"):
        Rules.qemu(told)


def test_libvirts_number_of_cloud_hypervisor():
    assert Rules.cloud_hypervisor(52000000).name == "cloud-hypervisor-52.0.0"
    assert Rules.cloud_hypervisor(51001000).most_rounds == 5
    assert Rules.cloud_hypervisor("cloud-hypervisor v52.0").name == "cloud-hypervisor-52.0"


def test_a_version_that_nobody_has_read_is_taken_as_the_newest_that_was_read_and_says_so():
    newest = ".".join(map(str, versions.READ["QEMU"]))
    for name in ("15.3", 15003000):
        later = Rules.qemu(name, auto_converge=True)
        assert attrs.evolve(later, name="") == attrs.evolve(Rules.qemu(newest, auto_converge=True), name="")
        assert f"newer than any that was read, {newest}" in later.told()[0]
    for rules in (Rules.qemu(newest), Rules("own"), Rules("own-99.0"), Rules.cloud_hypervisor()):
        assert not any("newer than any" in line for line in rules.told())
    assert "newer than any that was read, 52.0" in Rules.cloud_hypervisor("60.0").told()[0]


def test_rules_are_found_by_name():
    assert Rules.named("qemu-9.2", auto_converge=True) == Rules.qemu("9.2", auto_converge=True)
    assert Rules.named("cloud-hypervisor-51") == Rules.cloud_hypervisor("51")
    for name in ("xen-4.19", "qemu", "", "qemu-1.0", "cloud-hypervisor-15.0"):
        with pytest.raises(ConvergenceError):
            Rules.named(name)


@pytest.mark.parametrize(
    ("rules", "words"),
    [(Rules.qemu("10.0"), ["100 ms", "migration/migration.c", "4104 bytes"]),
     (Rules.qemu("9.2", auto_converge=True, tailslow=True), ["20%", "tail-slow", "5 to 10 s"]),
     (Rules.qemu("8.1", dirty_limit=1e6, accelerator="kvm-dirty-ring"), ["1e+06 bytes/s"]),
     (Rules.qemu("8.0", post_copy=True, xbzrle_cache=64 * MIB), ["After 1 syncs", "16384 pages", "behind what"]),
     (Rules.qemu("8.2", multifd=4, switchover_bandwidth=1e9), ["4 channels", "the migration's thread", "1e+09"]),
     (Rules.cloud_hypervisor("51"), ["after 5 rounds"]),
     (Rules.cloud_hypervisor(on_timeout="ignore"), ["stopped all the same"])],
    ids=lambda value: getattr(value, "name", ""),
)  # fmt: skip
def test_rules_tell_themselves_with_their_sources(rules, words):
    lines = rules.told()
    for word in words:
        assert any(word in line for line in lines), word
    assert any(".c" in line or ".rs" in line for line in lines)


def test_a_cache_smaller_than_its_slots_is_none_and_others_are_powers_of_two():
    assert Rules.qemu(xbzrle_cache=100 * MIB).cached_pages() == 16384
    assert Rules.qemu(xbzrle_cache=4095).cached_pages() == 0
    assert Rules.qemu(xbzrle_cache=64 * MIB, xbzrle_delta=500, xbzrle_overflow=0.5).wire_again() == 500 + 0.5 * 3604
    assert Rules.qemu(xbzrle_cache=64 * MIB, xbzrle_overflow=1.0).wire_again() < 4104


@pytest.mark.parametrize("page", [4096, 65536, 1 << 21, 1 << 30])
def test_a_page_of_any_size_goes_as_pages_of_4_kib(page):
    for rules in (Rules.qemu(), Rules.qemu(multifd=2), Rules.qemu(xbzrle_cache=64 * MIB)):
        parts = page / 4096
        assert rules.wire(page) == parts * rules.wire()
        assert rules.wire_again(page) == pytest.approx(parts * rules.wire_again())
        assert rules.wire_zero(page) == parts * rules.wire_zero()
    law = DirtyCurve((DirtyClass(20_000 * 4096 / page, 30_000 * 4096 / page),), 2**31 // page)
    guest = Guest(2**31, 0, page, law, tail_pages=0, tail_zero=0)
    found = forecast(guest, Link(limit=64 * MIB), Limits(downtime=1.0))
    assert found.verdict is Verdict.CONVERGES
    assert found.rounds[0].sent / (64 * MIB) == pytest.approx(31, rel=0.05)  # the limit holds, whatever the page
    blank = forecast(Guest(2**31, 2**31 // page, page, DirtyCurve((), 2**31 // page)), Link(limit=64 * MIB))
    assert blank.transferred == pytest.approx(2**19 * 9, rel=0.01)


def test_memory_is_armed_by_the_gib_by_kvm_only():
    assert Rules.qemu().chunks(64 * 1024 * MIB) == 64
    assert Rules.qemu().chunks(1) == 1
    assert Rules.qemu(accelerator="tcg").chunks(64 * 1024 * MIB) == 1
    assert Rules.qemu(accelerator="kvm-dirty-ring").chunks(64 * 1024 * MIB) == 1


def test_a_missing_page_waits_for_its_way_and_for_what_is_before_it():
    plain, preempt = Rules.qemu(post_copy=True), Rules.qemu(post_copy=True, post_copy_preempt=True)
    assert preempt.fault(1.25e9) == pytest.approx(0.0003 + 4096 / 1.25e9)
    assert plain.fault(1.25e9) - preempt.fault(1.25e9) == pytest.approx(4 * MIB / 1.25e9)
    assert preempt.fault(1.25e9, 2 * MIB) == pytest.approx(0.0003 + 2 * MIB / 1.25e9)


def test_a_dirty_limit_makes_converge_what_does_not():
    link, limits = Link(limit=64 * MIB), Limits(downtime=0.1)
    rules = Rules.qemu("10.0", dirty_limit=10 * MIB, accelerator="kvm-dirty-ring")
    assert forecast(GUEST, link, limits, Rules.qemu("10.0")).verdict is Verdict.NEVER
    assert forecast(GUEST, link, limits, rules).verdict is Verdict.CONVERGES
    idle = Guest(memory=100_000 * 4096, zero_pages=0, page_size=4096, curve=DirtyCurve((), 100_000))
    assert forecast(idle, link, limits, rules).verdict is Verdict.CONVERGES


def test_cloud_hypervisor_stops_within_the_budget_or_by_number_or_past_the_timeout():
    line = Link(limit=None, line_rate=4e8)
    found = forecast(GUEST, line, Limits(downtime=0.3), Rules.cloud_hypervisor())
    assert found.verdict is Verdict.CONVERGES
    assert found.downtime <= 0.3 + 0.02
    assert found.transferred > 100_000 * 4096  # zero pages too
    line, hard = Link(limit=None, line_rate=1e8), Limits(downtime=0.01, timeout=30)
    assert forecast(GUEST, line, hard, Rules.cloud_hypervisor()).verdict is not Verdict.CONVERGES
    forced = forecast(GUEST, line, hard, Rules.cloud_hypervisor(on_timeout="ignore"))
    assert forced.verdict is Verdict.CONVERGES
    assert 30 <= forced.total < 33
    assert forced.downtime > 0.01
    assert forced.probability > 0.9
    old = forecast(GUEST, line, hard, Rules.cloud_hypervisor("51.1"))
    assert (old.verdict, old.syncs) == (Verdict.CONVERGES, 8)  # all, five rounds, the rest, and the count at the stop


def test_an_older_cloud_hypervisor_has_no_choice_at_the_timeout():
    first = ".".join(map(str, CLOUD_HYPERVISOR["on_timeout"][0]))
    with pytest.raises(ConvergenceError, match=f"needs Cloud Hypervisor {first}"):
        Rules.cloud_hypervisor("51", on_timeout="ignore")
    with pytest.raises(ConvergenceError, match="on_timeout"):
        Rules.cloud_hypervisor(on_timeout="wait")
    with pytest.raises(ConvergenceError, match="auto_converge"):
        Rules.cloud_hypervisor(auto_converge=True)


def test_a_version_with_a_v_is_the_same_version():
    assert Rules.qemu("v10.0") == Rules.qemu("10.0") == Rules.named("qemu-v10.0")
    assert Rules.cloud_hypervisor("v51.0") == Rules.cloud_hypervisor("51.0")
