"""Recordings are read or refused with the place named; what they show is forecast."""

from __future__ import annotations

import copy
import json
import math
import os
import re
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from novastate.convergence import Recording, Rules, Verdict, evaluate, replay_recording
from novastate.convergence.online.replay import looks
from novastate.convergence.recordings import load_all
from novastate.errors import ConvergenceError

RECORDINGS = Path(__file__).parents[2] / "examples" / "recordings"
PLAIN = RECORDINGS / "31-zipf-r128.json"
WHOLE = json.loads(PLAIN.read_text())
SMALL = json.dumps({**WHOLE, "samples": WHOLE["samples"][-2:], "qemu_trace": WHOLE["qemu_trace"][:5], "events": []})


def known_before(data):
    return {key: data[key] for key in ("config", "versions", "pre", "link", "given") if key in data}


@pytest.fixture(scope="module")
def data():
    return json.loads(PLAIN.read_text())


def test_all_six_examples_are_forecast_both_ways():
    found, broken = load_all(RECORDINGS)
    assert len(found) == 6
    assert broken == []
    law = evaluate(found, "law")
    assert [row.right for row in law.rows] == [True] * 5
    assert [name for name, _ in law.skipped] == ["218-memcached-w90-b100"]
    host = evaluate(found, "host")
    assert len(host.rows) == 6
    assert host.as_json()["verdicts_wrong_decided"] == []


def test_with_the_law_known_the_total_is_right_within_three_percent():
    law = evaluate(load_all(RECORDINGS)[0], "law")
    for row in law.rows:
        if row.outcome.completed:
            assert abs(row.total_error) < 0.035, row.name
            assert abs(row.hypervisor_error) < 0.03, row.name
            assert abs(row.bytes_error) < 0.02, row.name
            assert row.covered, row.name
    plain = law.only(plain=True).as_json()
    assert plain["recordings"] == 4
    assert plain["total_error"]["p90"] < plain["textbook_error"]["p90"]


@pytest.fixture(scope="module")
def every_law():
    found, broken = load_all(Path(__file__).parents[2] / "benchmarks" / "recordings")
    assert (len(found), broken) == (80, [])
    return evaluate(found, "law")


def test_with_the_law_known_every_forecast_is_right_over_all_recordings(every_law):
    """The whole set that accuracy is judged by, a little above what is reached; no decided verdict is wrong."""
    result = every_law
    plain, others = (result.only(plain=which).as_json() for which in (True, False))
    assert plain["recordings"] >= 50
    assert plain["total_error"]["count"] >= 40
    assert (others["recordings"], others["total_error"]["count"]) == (13, 12)
    for part, key, median, p90 in (
        (plain, "total_error", 0.008, 0.045),
        (plain, "hypervisor_error", 0.002, 0.025),
        (plain, "bytes_error", 0.0025, 0.02),
        (others, "total_error", 0.03, 0.08),
        (others, "bytes_error", 0.015, 0.04),
    ):
        assert part[key]["median"] <= median, key
        assert part[key]["p90"] <= p90, key
    assert plain["downtime_near_share"] >= 0.75
    for part in (plain, others):
        assert 0.85 <= part["downtime_interval_coverage"] <= 1.0
    assert 0.85 <= plain["interval_coverage"] <= 0.98
    assert len(plain["verdicts_wrong"]) <= 1
    assert plain["verdicts_wrong_decided"] == others["verdicts_wrong_decided"] == []
    assert plain["textbook_error"]["median"] > plain["total_error"]["p90"]


def test_a_forecast_uses_only_what_was_known_before(data):
    whole = Recording("whole", data)
    part = Recording("part", known_before(data))
    assert part.outcome is None
    first, second = whole.forecast("host"), part.forecast("host")
    assert (first.total, first.probability) == (second.total, second.probability)
    # Whatever else the file says does not matter.
    spoilt = dict(data, samples=[], events=[], qemu_trace=[], final={"completed_stats": {"time_elapsed": 1}})
    assert Recording("spoilt", spoilt).forecast("host").total == first.total


def test_given_zero_pages_stand_in_for_those_that_were_counted(data):
    part = known_before(data)
    with pytest.raises(ConvergenceError, match=r"given\.zero_pages"):
        Recording("part", part).forecast("law")
    sampled = Recording("part", dict(part, given={"zero_pages": 31988}))
    assert sampled.forecast("law").total == Recording("whole", data).forecast("law").total
    low, high = sampled.forecast("host").total_interval
    wide_low, wide_high = Recording("part", part).forecast("host").total_interval
    assert high - low <= wide_high - wide_low


def test_recorded_options_become_rules(data):
    changed = copy.deepcopy(data)
    changed["config"].update(auto_converge=True, ac_initial=50, postcopy="yes", postcopy_after_iter=2, xbzrle=16)
    rules = Recording("x", changed).rules
    assert (rules.name, rules.auto_converge, rules.initial) == ("qemu-10.0", True, 0.5)
    assert (rules.post_copy, rules.post_copy_after, rules.xbzrle_cache, rules.multifd) == (True, 2, 16 << 20, 0)
    changed["config"].update(xbzrle=0, postcopy="no", multifd=2)
    assert Recording("x", changed).rules.multifd == 2
    assert not Recording("x", changed).plain
    assert Recording("x", data).plain


def test_a_count_of_written_pages_writes_pages_itself_as_many_as_its_working_set_asks(data):
    def besides(mib):
        changed = copy.deepcopy(data)
        changed["config"]["guest_params"]["wss_mb"] = mib
        return sum(row.size for row in Recording("x", changed).guest("law").curve.classes)

    assert besides(128) - besides(64) == pytest.approx(64 * (0.5 + 0.31 + 0.31))
    assert besides(-1) == besides(math.nan) == besides(0) < besides(4)
    assert besides(10**9) == besides(data["config"]["mem_mb"])


def test_a_recording_saved_is_the_recording_loaded(tmp_path):
    first = Recording.load(PLAIN)
    first.save(tmp_path / "copy.json")
    assert Recording.load(tmp_path / "copy.json").data == first.data
    assert list(tmp_path.iterdir()) == [tmp_path / "copy.json"]


def test_a_truncated_file_is_refused_with_the_byte(tmp_path):
    path = tmp_path / "cut.json"
    raw = PLAIN.read_bytes()
    path.write_bytes(raw[: len(raw) // 2])
    with pytest.raises(ConvergenceError, match=rf"at byte \d+ of {len(raw) // 2}"):
        Recording.load(path)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "ends too early"),
        (b"[]", "one JSON object"),
        (b"\xff{}", "UTF-8"),
        (b"{} {}", "byte 3"),
        (b"[" * 100_000, "file"),
    ],
)
def test_what_is_no_recording_is_refused(tmp_path, content, text):
    path = tmp_path / "bad.json"
    path.write_bytes(content)
    with pytest.raises(ConvergenceError, match=text):
        Recording.load(path)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ConvergenceError, match="cannot be read"):
        Recording.load(tmp_path / "none.json")
    with pytest.raises(ConvergenceError, match="no directory"):
        load_all(tmp_path / "none")


@pytest.mark.parametrize(
    ("place", "value", "source"),
    [
        ("config", None, "host"),
        ("config.mem_mb", "384", "host"),
        ("config.mem_mb", -1, "host"),
        ("config.bandwidth", float("nan"), "host"),
        ("config.downtime_ms", None, "host"),
        ("config.abort_s", True, "host"),
        ("versions.qemu", None, "host"),
        ("pre", 7, "host"),
        ("pre.guest_truth", None, "law"),
        ("pre.guest_truth.W_unique_pages", {"0.25": {"mean_pages": -1}}, "law"),
        ("pre.guest_truth.W_unique_pages", {"0.25": {}}, "law"),
        ("given.zero_pages", "many", "law"),
        ("given.zero_pages", -5, "host"),
        ("link.line_rate.mib_s", 0, "host"),
    ],
)
def test_a_wrong_field_is_refused_by_name(data, place, value, source):
    wrong = copy.deepcopy(data)
    where = wrong
    *parents, last = place.split(".")
    for name in parents:
        where = where.setdefault(name, {})
    where[last] = value
    with pytest.raises(ConvergenceError) as caught:
        Recording("wrong", wrong).forecast(source)
    assert caught.value.field.startswith(place)


def test_the_start_that_was_measured_is_the_start_of_the_forecast(data):
    """A migration without a limit of an idle guest tells what passes before the hypervisor starts: another lab took 0.365 s of it."""
    slow = copy.deepcopy(data)
    idle = {"total_ms": 2847, "bytes": 933364059, "mean_mib_s": 318.7, "first_pass_s": 2.414, "guest_rate_mb_s": 0}
    busy = {"total_ms": 3216, "bytes": 1046946777, "mean_mib_s": 320.7, "first_pass_s": 2.685, "guest_rate_mb_s": 64}
    slow["link"] = {"line_rate": {"mib_s": 318.7, "runs": [idle, busy]}}
    assert Recording("x", slow).rules.begin == pytest.approx(0.365, abs=0.003)
    told = Recording("x", slow).forecast("law")
    assert told.total - told.hypervisor_total == pytest.approx(0.365, abs=0.003)
    wrong = [
        {**idle, field: value} for field, value in (("first_pass_s", 3.0), ("first_pass_s", None), ("mean_mib_s", 1e-9))
    ]
    for runs in ([busy], *([one] for one in wrong), None, [7]):  # none of these tells it
        slow["link"]["line_rate"]["runs"] = runs
        assert Recording("x", slow).rules.begin == Rules.qemu().begin


@pytest.mark.parametrize("version", [7002000, 10000002])
def test_a_calc_time_without_a_unit_is_in_seconds(data, version):
    """QEMU before 8.2 had no unit; the default of those that have is the second."""
    rates = ((1, 60), (3, 40), (10, 20))
    said, unsaid = known_before(copy.deepcopy(data)), known_before(copy.deepcopy(data))
    said["versions"]["qemu"] = unsaid["versions"]["qemu"] = version
    unsaid["pre"]["qmp_page_sampling"] = [
        {"status": "measured", "calc-time": tau, "dirty-rate": rate} for tau, rate in rates
    ]
    said["pre"]["qmp_page_sampling"] = [
        {"status": "measured", "calc-time": 1000 * tau, "calc-time-unit": "millisecond", "dirty-rate": rate}
        for tau, rate in rates
    ]
    found, other = (Recording("x", one).guest("host") for one in (said, unsaid))
    assert [tau for tau, _, _ in found.curve.observations] == [tau for tau, _, _ in other.curve.observations]
    assert found.curve == other.curve


@pytest.mark.parametrize(
    ("row", "field"),
    [({"calc-time": 1000}, "calc-time"), ({"calc-time": 70, "calc-time-unit": "second"}, "calc-time"),
     ({"calc-time": 1, "calc-time-unit": "ms"}, "calc-time-unit"), ({"calc-time": 1, "calc-time-unit": None}, "calc-time-unit"),
     ({"calc-time": 1, "calc-time-unit": []}, "calc-time-unit")],
)  # fmt: skip
def test_a_calc_time_that_qemu_does_not_have_is_refused(data, row, field):
    odd = known_before(copy.deepcopy(data))
    odd["pre"]["qmp_page_sampling"] = [{"status": "measured", "dirty-rate": 10, **row}]
    with pytest.raises(ConvergenceError) as caught:
        Recording("x", odd).guest("host")
    assert caught.value.field == f"pre.qmp_page_sampling[0].{field}"


@pytest.mark.parametrize(
    ("value", "what"), [(True, True), ("yes", True), (False, False), ("no", False), ("never", False), (None, False)]
)
def test_a_flag_is_a_flag(data, value, what):
    told = copy.deepcopy(data)
    told["config"]["postcopy"] = told["config"]["auto_converge"] = value
    rules = Recording("x", told).rules
    assert (rules.post_copy, rules.auto_converge) == (what, what)


@pytest.mark.parametrize("field", ["postcopy", "auto_converge"])
@pytest.mark.parametrize("value", ["", "true", "off", 1, 0.0, [], {}])
def test_what_is_no_flag_is_refused(data, field, value):
    told = copy.deepcopy(data)
    told["config"][field] = value
    with pytest.raises(ConvergenceError) as caught:
        Recording("x", told).forecast("host")
    assert caught.value.field == f"config.{field}"


class Spied(dict):
    """A dictionary that keeps what was asked of it, also of those in it."""

    asked: ClassVar[set[str]] = set()

    def get(self, key, default=None):
        self.asked.add(str(key))
        return super().get(key, default)

    def __contains__(self, key):
        self.asked.add(str(key))
        return super().__contains__(key)


def spied(value):
    if isinstance(value, dict):
        return Spied({key: spied(item) for key, item in value.items()})
    return [spied(item) for item in value] if isinstance(value, list) else value


def test_every_field_that_is_read_is_on_the_page_of_recordings(data):
    page = (Path(__file__).parents[2] / "docs" / "recordings.md").read_text()
    link = {"line_rate": {"mib_s": 300, "runs": [{"total_ms": 2847, "bytes": 933364059}]}}
    Spied.asked.clear()
    pre = {**data["pre"], "memory_stats": {"rss": 460000}}
    recording = Recording("x", spied({**data, "link": link, "pre": pre}))
    recording.forecast("law")
    replay_recording(recording, "host", seen=looks(recording)[-3:])
    assert recording.outcome is not None
    assert {"calc-time", "rss", "W_unique_pages", "ac_initial", "time_elapsed", "first_pass_s", "t"} <= Spied.asked
    told = {word for code in re.findall("`([^`\n]+)`", page) for word in (code, *re.findall(r"[\w-]+", code))}
    assert Spied.asked - told == set()


def test_a_rate_that_was_not_written_yet_is_left_out(data):
    early = copy.deepcopy(data)
    early["pre"]["qmp_page_sampling"].append({**early["pre"]["qmp_page_sampling"][0], "dirty-rate": -1})
    early["pre"]["libvirt_page_sampling_1s"].append(
        {"dirtyrate.calc_period": 1, "dirtyrate.calc_status": 2, "dirtyrate.megabytes_per_second": -1}
    )
    assert Recording("x", early).forecast("host") == Recording("x", data).forecast("host")


def test_page_sampling_that_measured_nothing_is_refused(data):
    wrong = copy.deepcopy(data)
    wrong["pre"].update(qmp_page_sampling=[{"status": "unstarted"}], libvirt_page_sampling_1s=[])
    with pytest.raises(ConvergenceError, match=r"qmp_page_sampling: must hold .*, got None$"):
        Recording("wrong", wrong).forecast()


def test_a_guest_that_never_idles_is_trusted_less(data):
    busy = copy.deepcopy(data)
    busy["pre"].update(dominfo=[1, 1, 1, 1, 0], t_measure_start=0.0, t_measure_end=10.0, cpu_time_ns=10_000_000_000)
    idle = copy.deepcopy(busy)
    idle["pre"]["cpu_time_ns"] = 500_000_000
    spread = {name: Recording(name, part).guest("host").curve.spread for name, part in (("busy", busy), ("idle", idle))}
    assert spread["busy"] > 2 * spread["idle"]


def test_the_aborted_example_is_forecast_never_to_converge():
    result = Recording.load(RECORDINGS / "110-boundary-hotcold.json").forecast("law")
    assert result.verdict is Verdict.NEVER


PLACES = [("config",), ("config", "mem_mb"), ("config", "bandwidth"), ("versions", "qemu"), ("pre", "guest_truth"),
          ("pre", "guest_truth", "rate_pps_last_s"), ("pre", "guest_truth", "W_unique_pages", "1"),
          ("pre", "qmp_page_sampling"), ("pre", "qmp_page_sampling", 0, "dirty-rate"),
          ("pre", "qmp_page_sampling", 1, "calc-time"), ("link",), ("given",), ("final",), ("samples",),
          ("final", "completed_stats", "time_elapsed"), ("final", "completed_stats", "downtime"), ("qemu_trace", 1)]  # fmt: skip
VALUES = [None, True, -1, 0, 1, 2**70, 10**400, 1e308, float("nan"), float("-inf"), "x", [], {}, [1], {"a": 1}]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(PLACES), st.sampled_from(VALUES)), min_size=1, max_size=2))
def test_whatever_a_file_holds_it_is_a_forecast_or_an_error_with_a_name(changes):
    wrong = json.loads(SMALL)
    for place, value in changes:
        where = wrong
        try:
            for name in place[:-1]:
                where = where[name]
            where[place[-1]] = value
        except (KeyError, IndexError, TypeError):
            continue  # the other change took the place away
    for source in ("law", "host"):
        place = "a place"
        try:
            found = Recording("wrong", wrong)
            numbers = found.forecast(source).as_json()
            json.dumps((numbers, evaluate([found], source).as_json()), allow_nan=False)
        except ConvergenceError as error:
            place = error.field
        assert place


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_only_a_regular_file_is_read_so_nothing_waits_for_a_pipe(make, tmp_path):
    make(tmp_path / "odd.json")
    with pytest.raises(ConvergenceError, match="no regular file"):
        Recording.load(tmp_path / "odd.json")
    assert [name for name, _ in load_all(tmp_path)[1]] == ["odd"]


def test_the_textbook_is_judged_over_recordings_that_were_forecast_too(every_law):
    result = every_law
    sums = result.as_json()
    assert (
        sums["textbook_error"]["count"] == sums["total_error_beside_textbook"]["count"] <= sums["total_error"]["count"]
    )
    for row in result.rows:
        assert row.textbook_error is None or row.total_error is not None
