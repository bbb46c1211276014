"""Columns in, columns out: a row is what `forecast` says, however the fleet is cut and whoever computes it."""

from __future__ import annotations

import gc
import math
import pickle
import threading
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from novastate._native import NATIVE
from novastate.convergence import (
    DirtyClass,
    DirtyCurve,
    Guest,
    Limits,
    Link,
    Rules,
    Verdict,
    WriteLaw,
    bounds,
    forecast,
)
from novastate.convergence.fleet import VERDICTS, Fleet, forecast_many, knows
from novastate.errors import ConvergenceError

COLUMNS = ("verdict", "total", "downtime", "transferred", "unlimited_total", "syncs", "throttle")
PLAIN = Rules.qemu("10.0")


def random_fleet(count, rules=(PLAIN,), seed=1):
    rng = np.random.default_rng(seed)
    memory = np.floor(2.0 ** rng.uniform(30, 36, count))
    pages = np.floor(memory / 4096)
    limit = np.where(rng.random(count) < 0.2, 0.0, 3e7 * 30 ** rng.random(count))
    sizes = pages[:, None] * 0.3 * 10 ** rng.uniform(-3, 0, (count, 3))
    rates = np.where(limit > 0, limit, 1e9)[:, None] / 4096 * 10 ** rng.uniform(-3, -0.3, (count, 3))
    return Fleet(
        memory, np.floor(0.6 * rng.random(count) * pages), sizes, rates, sequential=rng.random((count, 3)) < 0.05,
        busy=rng.uniform(0.1, 1, count), limit=limit, downtime=rng.choice([0.1, 0.3, 1.0], count),
        timeout=rng.choice([60.0, math.inf], count), rules=rules, rule=rng.integers(0, len(rules), count),
    )  # fmt: skip


def test_a_row_is_what_forecast_says_of_it():
    rules = (
        PLAIN,
        Rules.qemu("8.0", auto_converge=True),
        Rules.qemu("8.0", auto_converge=True, tailslow=True),
        Rules.qemu("10.0", post_copy=True, rearm=False),
    )
    fleet = random_fleet(600 if NATIVE else 25, rules)
    result = forecast_many(fleet)
    flips, errors = 0, []
    for row in range(len(fleet)):
        one = result[row]
        if (one.unlimited_total is None) != math.isinf(result.unlimited_total[row]):
            flips += 1
        elif one.unlimited_total is not None:
            errors.append(abs(one.unlimited_total / result.unlimited_total[row] - 1))
    assert flips <= 0.004 * len(fleet)
    assert np.median(errors) < 1e-10
    assert np.quantile(errors, 0.99) < 0.05


def test_rules_that_the_kernel_does_not_know_go_through_forecast_itself():
    rules = (
        PLAIN,
        Rules.qemu("10.0", xbzrle_cache=2.0**26),
        Rules.qemu("10.0", multifd=4),
        Rules.qemu("10.0", auto_converge=True),  # 9.2 and later sync in the background
        Rules.qemu("10.0", auto_converge=True, tailslow=True),
        Rules.cloud_hypervisor(),
    )
    assert [knows(one) for one in rules] == [True] + [False] * 5
    assert knows(Rules.qemu("8.0", auto_converge=True, tailslow=True))
    fleet = random_fleet(60 if NATIVE else 12, rules)
    result = forecast_many(fleet, chunk=7)
    for row in np.flatnonzero(fleet.rule > 0).tolist():
        one = forecast(*fleet.objects(row))
        assert VERDICTS[result.verdict[row]] is one.verdict
        assert (result.total[row], result.syncs[row]) == (math.inf if one.total is None else one.total, one.syncs)


def test_a_fleet_of_objects_is_the_objects_again():
    curve = DirtyCurve((DirtyClass(100.0, 300.0), DirtyClass(50.0, 10.0, sequential=True)), 2**16)
    guests = [
        Guest(2**28, 100.0, 4096, curve, tail_pages=7.0, tail_zero=3.0, busy=0.5),
        Guest(2**40, 0.0, 2**21, DirtyCurve((), 2**19)),
    ]
    links, limits = [Link(None, 1e9), Link(1e8)], [Limits(0.1, 60.0), Limits()]
    rules = [PLAIN, Rules.qemu("8.0", post_copy=True)]
    fleet = Fleet.of(guests, links, limits, rules)
    for row in range(2):
        guest, link, limit, rule = fleet.objects(row)
        assert (guest, link, limit, rule) == (guests[row], links[row], limits[row], rules[row])
    assert len(Fleet.of([], Link(1e8))) == 0
    with pytest.raises(ConvergenceError, match="links"):
        Fleet.of(guests, links[:1] * 3)
    with pytest.raises(IndexError):
        fleet.objects(2)


def test_a_row_of_a_fleet_of_objects_is_as_unsure_as_the_object():
    curve = DirtyCurve.from_dirty_rates([(1.0, 30.0 * 2**20), (5.0, 12.0 * 2**20)], 2**30)
    guests = [
        Guest(2**30, 5e4, 4096, DirtyCurve(curve.classes, curve.page_count, 0.4), zero_error=2e4),
        Guest(2**30, 5e4, 4096, curve, least_busy=0.2),
    ]
    rules = Rules.qemu("10.0", auto_converge=True)
    fleet = Fleet.of(guests, Link(6e7), Limits(0.05, 60.0), rules)
    result = forecast_many(fleet, Inline(), chunk=1)
    for row, guest in enumerate(guests):
        one = forecast(guest, Link(6e7), Limits(0.05, 60.0), rules)
        assert (result[row].probability, result[row].total_interval) == (one.probability, one.total_interval)
    assert fleet.part(1, 2).objects(0) == fleet.objects(1) == fleet.objects(-1)
    assert pickle.loads(pickle.dumps(fleet)).objects(0)[0] == guests[0]


class Inline(Executor):
    """Runs what it is given at once."""

    def submit(self, fn, /, *args, **kwargs):
        future = Future()
        future.set_result(fn(*args, **kwargs))
        return future


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 70), st.integers(0, 60))
def test_the_result_does_not_depend_on_how_the_fleet_is_cut(chunk, count):
    fleet = random_fleet(count if NATIVE else count // 10, (PLAIN, Rules.qemu("10.0", post_copy=True)))
    same(forecast_many(fleet), forecast_many(fleet, Inline(), chunk=chunk))


def same(ours, theirs):
    for name in COLUMNS:
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))


def test_threads_and_processes_say_the_same():
    fleet = random_fleet(2000 if NATIVE else 20)
    alone = forecast_many(fleet)
    with ThreadPoolExecutor(3) as threads:
        same(alone, forecast_many(fleet, threads, chunk=7))
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as processes:
        same(alone, forecast_many(fleet, processes, chunk=1024))


@pytest.mark.filterwarnings("ignore")
def test_a_dask_cluster_says_the_same():
    import distributed

    fleet = random_fleet(300 if NATIVE else 12)
    with (
        distributed.LocalCluster(n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        same(forecast_many(fleet), forecast_many(fleet, client.get_executor(), chunk=100))
    gc.collect()  # what its loops leave open is told here, where no warning is an error, and not amid another test


def test_an_executor_that_does_not_come_back_has_a_deadline():
    stuck = threading.Event()
    with ThreadPoolExecutor(1) as threads:
        threads.submit(stuck.wait)
        with pytest.raises(TimeoutError):
            forecast_many(random_fleet(10), threads, timeout=0.02)
        stuck.set()


def test_a_fleet_may_be_empty_of_one_or_enormous():
    nobody = forecast_many(Fleet([], [], np.zeros((0, 2)), np.zeros((0, 2))))
    assert [len(getattr(nobody, name)) for name in COLUMNS] == [0] * len(COLUMNS)
    one = forecast_many(Fleet(4096, 0, [], []))
    assert VERDICTS[one.verdict[0]] is Verdict.CONVERGES
    huge = forecast_many(Fleet(2.0**52, 2.0**39, [2.0**38], [1e4], limit=1e9))
    assert VERDICTS[huge.verdict[0]] is Verdict.CONVERGES
    assert huge.total[0] > 2.0**39 * 4096 / 1e9
    assert huge.counts == {Verdict.CONVERGES: 1, Verdict.TIMES_OUT: 0, Verdict.NEVER: 0}


def test_what_does_not_complete_is_infinite_and_never_nan():
    fleet = Fleet(2**32, 0, [[1e5], [5e5], [5e5]], [[10.0], [1e5], [1e9]], limit=1e8, timeout=[1e4, 1.0, 1e4])
    result = forecast_many(fleet)
    assert [VERDICTS[code] for code in result.verdict] == [Verdict.CONVERGES, Verdict.NEVER, Verdict.NEVER]
    late = forecast_many(Fleet(2**32, 0, [1e5], [10.0], limit=1e8, timeout=1.0))
    assert VERDICTS[late.verdict[0]] is Verdict.TIMES_OUT
    assert math.isinf(late.total[0])
    assert late.unlimited_total[0] == pytest.approx(43, rel=0.05)
    assert not any(np.isnan(getattr(result, name)).any() for name in COLUMNS)


GOOD = dict(memory=[2**32] * 20, zero_pages=0, class_sizes=[1e4], class_rates=[100.0])


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -2.0])
@pytest.mark.parametrize(
    "name",
    [
        "memory",
        "zero_pages",
        "page_size",
        "tail_pages",
        "tail_zero",
        "busy",
        "limit",
        "line_rate",
        "downtime",
        "timeout",
    ],
)
def test_bad_input_is_refused_by_column_and_row(name, value):
    if name == "timeout" and value == math.inf:
        return
    column = [4096.0 if name == "page_size" else 2.0**32 if name == "memory" else 0.5] * 20
    column = [1e9] * 20 if name == "line_rate" else column
    column[17] = value
    with pytest.raises(ConvergenceError) as error:
        Fleet(**GOOD | {name: column})
    assert str(error.value).startswith(f"{name}[17]: ")


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"zero_pages": [0] * 19 + [2**30]}, r"zero_pages\[19\]"),
        ({"memory": [2**32] * 19 + [4095], "class_sizes": [0]}, r"memory\[19\]"),
        ({"tail_pages": [-1] * 19 + [2**30]}, r"tail_pages\[19\]"),
        ({"class_sizes": [[1.0]] * 3 + [[2.0**30]] + [[1.0]] * 16}, r"class_sizes\[3\]"),
        ({"class_sizes": [[1.0]] * 3 + [[math.nan]] + [[1.0]] * 16}, r"class_sizes\[3\]"),
        ({"class_rates": [[1.0]] * 3 + [[-1.0]] + [[1.0]] * 16}, r"class_rates\[3\]"),
        ({"class_rates": [1.0, 2.0]}, "class_rates"),
        ({"class_sizes": [1.0] * 33, "class_rates": [1.0] * 33}, "class_sizes"),
        ({"page_size": 4097}, r"page_size\[0\]"),
        ({"limit": [1.0] * 19}, "limit"),
        ({"limit": [[1.0]]}, "limit"),
        ({"limit": "fast"}, "limit"),
        ({"limit": [None] * 20}, "limit"),
        ({"rule": [0] * 4 + [1] + [0] * 15}, r"rule\[4\]"),
        ({"rule": 0.5}, "rule"),
        ({"rules": ()}, "rules"),
        ({"timeout": [math.inf] * 3 + [bounds.LONGEST * 2] + [1.0] * 16}, r"timeout\[3\]"),
        ({"sequential": 3}, "sequential"),
    ],
)
def test_columns_that_do_not_fit_are_refused_by_name(changes, word):
    with pytest.raises(ConvergenceError, match=f"^{word}: "):
        Fleet(**GOOD | changes)


def test_how_many_rows_a_column_must_have_is_said_in_words_that_hold():
    link = Link(1e8)
    guest = Guest(2**30, 0.0, 4096, DirtyCurve((), 2**18))
    for count, word in ((1, "must have 1 row:"), (2, "must have 1 or 2 rows:")):
        with pytest.raises(ConvergenceError, match=word):
            Fleet.of([guest] * count, [link] * 3)
    with pytest.raises(ConvergenceError, match=r"limit: must have 1 or 20 rows"):
        Fleet(**GOOD | {"limit": [1e8] * 19})


def test_guests_that_are_sent_before_there_is_a_threshold_are_forecast_as_one_by_one():
    memory = np.array([4096, 2**20, 2**24, 2**25, 2**26, 2**30])
    fleet = Fleet(np.repeat(memory, 3), 0, [1.0], [50.0], downtime=[0.0, 0.01, 0.3] * len(memory), limit=1e9)
    result = forecast_many(fleet)
    for row in range(len(fleet)):
        one = result[row]
        assert VERDICTS[result.verdict[row]] is one.verdict
        assert result.syncs[row] == one.syncs
        assert result.total[row] == (math.inf if one.total is None else pytest.approx(one.total, rel=1e-9))


def test_a_guest_of_many_short_rounds_is_forecast_as_one_by_one():
    """It needs more than 16 segments of the ring, as many as rounds fit into one going round of the scan."""
    curve = WriteLaw.zipf(131072, 151638.5, 0.99).curve(262144)
    guest, link, limits = Guest(1 << 30, 0, 4096, curve, busy=0.7), Link(256 << 20, 125e6), Limits(1.0, 60.0)
    one, many = forecast(guest, link, limits, PLAIN), forecast_many(Fleet.of([guest], link, limits, PLAIN))
    assert one.syncs == many.syncs[0] > 60
    assert many.total[0] == pytest.approx(one.total, rel=1e-10)


def test_rates_alone_may_say_how_many_guests_there_are():
    fleet = Fleet(2**32, 0, [1e4], [[100.0], [200.0]])
    assert len(fleet) == 2
    assert forecast_many(fleet).total.shape == (2,)


@pytest.mark.parametrize("name", ["guests", "links", "limits", "rules"])
@pytest.mark.parametrize("value", [3, [3]])
def test_what_is_no_fleet_is_refused_by_name(name, value):
    given = dict(guests=[], links=Link(1e8), limits=Limits(), rules=PLAIN)
    with pytest.raises(ConvergenceError, match=f"^{name}"):
        Fleet.of(**given | {name: value})
    with pytest.raises(ConvergenceError, match=r"^fleet: "):
        forecast_many(value)


@pytest.mark.parametrize(("name", "value"), [("chunk", 0), ("chunk", 1.5), ("timeout", 0), ("timeout", math.nan)])
def test_a_way_of_cutting_that_is_none_is_refused(name, value):
    with pytest.raises(ConvergenceError, match=name):
        forecast_many(random_fleet(2), Inline(), **{name: value})


@pytest.mark.parametrize(
    ("classes", "link", "downtime", "rules"),
    [
        (((1300.0, 5000.0), (24000.0, 101_000.0)), Link(128 * 2**20, 125e6), 0.1, PLAIN),
        (((1300.0, 5000.0), (4000.0, 60_000.0)), Link(16 * 2**20), 0.03, Rules.qemu("8.0", auto_converge=True)),
        (((8192.0, 37_482.0),), Link(16 * 2**20), 0.3, PLAIN),
        (((65_536.0, 30_710.0),), Link(64 * 2**20), 0.03, PLAIN),
        (((60.0, 2400.0), (1300.0, 19_000.0), (5300.0, 15_000.0)), Link(32 * 2**20, 3e9), 0.03, PLAIN),
    ],
)
@pytest.mark.parametrize("busy", [0.3, 0.7, 1.0])
def test_it_is_said_after_as_many_syncs_that_a_guest_goes_round_for_ever(classes, link, downtime, rules, busy):
    curve = DirtyCurve(tuple(DirtyClass(*row) for row in classes), 262_144)
    guest = Guest(2.0**30, 69_879, 4096, curve, busy=busy)
    one = forecast(guest, link, Limits(downtime, 300), rules)
    row = forecast_many(Fleet.of([guest], link, Limits(downtime, 300), rules))
    assert (VERDICTS[row.verdict[0]], row.syncs[0], row.throttle[0]) == (one.verdict, one.syncs, one.throttle)


def test_a_fleet_is_its_own_whatever_becomes_of_the_callers_arrays():
    columns = {
        "memory": np.full(3, 384.0 * 2**20),
        "limit": np.full(3, 64.0 * 2**20),
        "class_sizes": np.full((3, 1), 1000.0),
        "class_rates": np.full((3, 1), 500.0),
        "sequential": np.zeros((3, 1), bool),
        "rule": np.zeros(3, np.int32),
    }
    fleet = Fleet(zero_pages=0.0, rules=(Rules.qemu(), Rules.qemu("9.0")), **columns)
    before = forecast_many(fleet).total.tolist()
    for column in columns.values():
        column[:] = 1
    assert forecast_many(fleet).total.tolist() == before
    assert fleet.limit.tolist() == [64.0 * 2**20] * 3
    ordered = Fleet(memory=[2.0**30] * 3, zero_pages=0, class_sizes=[[10.0]] * 3, class_rates=[1.0], sequential=True)
    for one, names in ((fleet, columns), (ordered, ("sequential", "class_sizes", "class_rates"))):
        for name in names:
            with pytest.raises(ValueError, match="read-only"):
                getattr(one, name)[...] = 1
    with pytest.raises(ConvergenceError, match="row"):
        forecast_many(fleet)[np.timedelta64(1)]


@pytest.mark.parametrize(
    "name", ["memory", "zero_pages", "class_sizes", "class_rates", "limit", "timeout", "rule", "sequential"]
)
def test_a_masked_column_is_refused_by_name(name):
    columns = {"memory": 2.0**30, "zero_pages": 0.0, "class_sizes": [1.0], "class_rates": [1.0]}
    kind = {"rule": int, "sequential": bool}.get(name, float)
    columns[name] = np.ma.masked_array(np.ones(1, kind), mask=[True])
    with pytest.raises(ConvergenceError) as caught:
        Fleet(**columns)
    assert (caught.value.field, "mask" in str(caught.value)) == (name, True)
