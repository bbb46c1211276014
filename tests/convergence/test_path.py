"""The line of a forecast starts with all memory, falls in each round, jumps at each sync, and ends with nothing at the total."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from novastate._native import NATIVE
from novastate.convergence import DirtyClass, DirtyCurve, Guest, Limits, Link, Recording, Rules, Verdict, forecast
from novastate.convergence.path import band, path_of

MIB = 1 << 20
RECORDINGS = Path(__file__).parents[2] / "benchmarks" / "recordings"


@st.composite
def forecasts(draw):
    pages = draw(st.integers(1, 2**18))
    rows = []
    room = float(pages)
    for _ in range(draw(st.integers(0, 3))):
        size = draw(st.floats(0.001, 0.9)) * room
        rows.append(DirtyClass(size, size * 10 ** draw(st.floats(-4, 3)), draw(st.booleans())))
        room -= size
    curve = DirtyCurve(tuple(rows), pages, draw(st.floats(0, 0.5)))
    zero = draw(st.floats(0, 1)) * pages
    guest = Guest(pages * 4096, zero, 4096, curve, zero_error=0.1 * zero, busy=draw(st.sampled_from([0.1, 1.0])))
    rules = Rules.qemu(auto_converge=draw(st.booleans()), post_copy=draw(st.booleans()))
    link = Link(draw(st.sampled_from([None, 2.0 * MIB, 64.0 * MIB, 1e9])))
    return forecast(
        guest, link, Limits(draw(st.sampled_from([0.03, 0.3])), draw(st.sampled_from([None, 0.2, 20.0]))), rules
    )


@settings(max_examples=60 if NATIVE else 12, deadline=None)
@given(forecasts())
def test_a_line_runs_from_all_memory_to_nothing_and_never_back_in_time(result):
    line = path_of(result)
    memory = result.guest.pages * 4096
    assert line.points[0] == (result.rules.begin, memory)
    assert all(a[0] <= b[0] for a, b in itertools.pairwise(line.points))
    assert all(0 <= left <= 2 * memory for _, left in line.points)
    assert len(line.syncs) == len(result.rounds)
    assert set(line.syncs) <= set(line.points)
    if result.verdict is Verdict.CONVERGES:
        assert line.points[-1] == (pytest.approx(result.total), 0.0)
        if not result.post_copied:
            assert line.stop == pytest.approx(result.total - result.downtime)
    else:
        assert line.stop is None
    assert line.at(-1.0) == memory
    assert line.at(line.end + 1) == line.points[-1][1]


@settings(max_examples=25 if NATIVE else 4, deadline=None)
@given(forecasts())
def test_the_band_holds_the_line(result):
    line = path_of(result)
    moments = [line.end * step / 40 for step in range(45)]
    least, most = band(result, moments)
    assert all(low <= line.at(when) <= high for low, when, high in zip(least, moments, most, strict=True))


def test_between_corners_it_falls_evenly_and_a_jump_counts_after_it():
    from novastate.convergence.path import Path as Line

    line = Line(((1.0, 100.0), (3.0, 20.0), (3.0, 50.0), (4.0, 0.0)), (), None, ())
    assert [line.at(when) for when in (0.0, 1.0, 2.0, 3.0, 3.5, 4.0, 9.0)] == [100, 100, 60, 50, 25, 0, 0]


def test_the_throttle_has_the_steps_of_the_rounds():
    curve = DirtyCurve((DirtyClass(16000, 60000),), 98434)
    result = forecast(Guest(98434 * 4096, 32079, 4096, curve), Link(64 * MIB), Limits(), Rules.qemu(auto_converge=True))
    steps = path_of(result).throttle
    assert max(percent for _, percent in steps) == result.throttle
    assert [percent for _, percent in steps] == sorted(percent for _, percent in steps)


@pytest.mark.parametrize("name", ["06-uni64-r6", "57-zipf-r64-rep2", "45-autoconverge-w128", "44-nolimit", "37-seq-r8"])
def test_a_line_lies_near_what_was_recorded(name):
    recording = Recording.load(RECORDINGS / f"{name}.json")
    line = path_of(recording.forecast("law"))
    told = json.loads((RECORDINGS / f"{name}.json").read_text())["job_stats"]
    when, left = told["fields"].index("time_elapsed"), told["fields"].index("memory_remaining")
    rows = [(row[when] / 1000, row[left]) for row in told["rows"] if row[told["fields"].index("memory_iteration")]]
    assert len(rows) > 10
    memory = line.points[0][1]
    off = sorted(abs(line.at(moment) - remains) / memory for moment, remains in rows)
    assert off[len(off) // 2] < 0.06


def test_cloud_hypervisor_sends_zero_pages_whole_so_the_line_falls_evenly():
    guest = Guest(2**30, 2.0**17, 4096, DirtyCurve((DirtyClass(5000, 9000.0),), 2**18))
    for rules, jumps in ((Rules.cloud_hypervisor(), 0), (Rules.qemu(), 1)):
        line = path_of(forecast(guest, Link(limit=64 * MIB, line_rate=1e9), Limits(0.3), rules))
        first = [point for point in line.points if point[0] < line.syncs[0][0]]
        assert sum(a[0] == b[0] and b[1] < a[1] for a, b in itertools.pairwise(first)) == jumps
