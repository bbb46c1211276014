"""A fleet's forecast is a sequence: rows by number, parts by slices, one after the other; whatever else is asked for is refused."""

from __future__ import annotations

import pytest

from novastate.convergence import (
    VERDICTS,
    ConvergenceError,
    DirtyClass,
    DirtyCurve,
    Fleet,
    FleetForecast,
    Forecast,
    Guest,
    Limits,
    Link,
    Rules,
    forecast,
    forecast_many,
)

MIB = 1 << 20
GUESTS = [Guest(256 * MIB, 0, 4096, DirtyCurve((DirtyClass(5000, rate),), 65536)) for rate in (10, 3000, 90_000)]
FLEETS = {
    "objects": Fleet.of(GUESTS, Link(32 * MIB)),
    "columns": Fleet(256 * MIB, 0, [5000], [[10], [3000], [90_000]], limit=32 * MIB),
}


@pytest.mark.parametrize("fleet", FLEETS.values(), ids=FLEETS)
@pytest.mark.parametrize(
    "cut", [slice(0, 1), slice(1, None), slice(None), slice(-1, None), slice(2, 1), slice(5, 9), slice(0, 0)]
)
def test_a_slice_is_a_part(fleet, cut):
    found = forecast_many(fleet)
    part = found[cut]
    assert isinstance(part, FleetForecast)
    assert part.total.tolist() == found.total[cut].tolist()
    assert len(part) == len(part.fleet) == len(list(part))
    assert sum(part.counts.values()) == len(part)
    for one, row in zip(part, list(found)[cut], strict=True):
        assert isinstance(one, Forecast)
        assert (one.total, one.verdict) == (row.total, row.verdict)


def test_a_part_of_a_fleet_of_one_may_be_empty():
    assert len(Fleet(2**30, 0, [5], [5]).part(0, 0)) == 0
    assert len(forecast_many(Fleet(2**30, 0, [5], [5]))[1:]) == 0


def test_the_numbers_of_the_verdicts_are_told_where_the_forecast_is():
    found = forecast_many(FLEETS["objects"])
    assert [VERDICTS[code] for code in found.verdict] == [one.verdict for one in found]


@pytest.mark.parametrize("row", [3, 99, -4])
def test_a_row_that_is_not_there_is_told_with_how_many_there_are(row):
    with pytest.raises(IndexError, match=f"^row {row}: there are 3 rows$"):
        forecast_many(FLEETS["columns"])[row]


@pytest.mark.parametrize("row", ["a", 1.5, None, True, slice("a"), slice(0, 3, 2), slice(None, None, -1)])
def test_what_is_no_row_is_refused_by_name(row):
    with pytest.raises(ConvergenceError, match=r"^row: must be "):
        forecast_many(FLEETS["columns"])[row]


def test_who_never_feels_a_throttle_is_one_in_a_fleet_too():
    rules = Rules.qemu(auto_converge=True)
    guest = Guest(256 * MIB, 0, 4096, GUESTS[2].curve, busy=0)
    one = forecast(guest, Link(32 * MIB), Limits(0.05, 600), rules)
    row = forecast_many(Fleet.of([guest], Link(32 * MIB), Limits(0.05, 600), rules))
    assert (VERDICTS[row.verdict[0]], row.syncs[0], row.throttle[0]) == (one.verdict, one.syncs, one.throttle)
    assert one.throttle == 99


def test_a_limit_below_a_byte_a_second_is_none():
    with pytest.raises(ConvergenceError, match=r"^limit\[1\]: must be 0, or 1 or more"):
        Fleet(2**30, 0, [5], [5], limit=[0.0, 1e-300])
