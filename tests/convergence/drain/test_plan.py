"""The drain planner: what a plan never does, and what it knows about guests that write."""

from __future__ import annotations

import json
import math

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from novastate.convergence import (
    DirtyClass,
    DirtyCurve,
    DrainBudget,
    DrainGuest,
    DrainHost,
    Guest,
    Limits,
    Rules,
    SharedLink,
    plan_drain,
)
from novastate.convergence.drain import schedule as module
from novastate.errors import ConvergenceError

MIB = 1 << 20
LINE = 125e6


def guest(mib=512, rate=0.0, wss=8192, **more):
    """A guest of *mib* MiB that writes *wss* pages at random, *rate* times a second."""
    pages = mib * 256
    classes = (DirtyClass(min(wss, pages / 2), rate),) if rate else ()
    return Guest(mib * MIB, pages / 4, 4096, DirtyCurve(classes, pages), **more)


QUIET = guest()
BUSY = guest(rate=9000)
ALONE = guest(rate=24000, wss=12000)  # converges with all of LINE, not with half of it
HOPELESS = guest(rate=90000, wss=60000)


def drained(*guests, vcpus=1, source="a"):
    return [DrainGuest(f"g{at}", one, source, vcpus) for at, one in enumerate(guests)]


def hosts(memory=1 << 40, count=2, **source):
    return [DrainHost("a", **{"outgoing": None, **source}), *(DrainHost(f"b{at}", memory) for at in range(count))]


def nics(*names, capacity=LINE):
    return [SharedLink(f"nic {name}", capacity, [name]) for name in names or ("a", "b0", "b1")]


def names(plan):
    return [step.name for step in plan.steps]


def overlapping(plan, step):
    return [one for one in (*plan.running, *plan.steps) if one.start <= step.start < one.end]


def check(plan):
    """What holds at every moment of a plan; only where one starts can more be in use than before."""
    problem = plan.problem()
    moved = names(plan)
    assert sorted([*moved, *plan.unmovable]) == sorted(one.name for one in plan.guests)
    sources = {one.host for one in plan.guests} | plan.emptied
    by_name = {host.name: host for host in plan.hosts}
    size = {one.name: one for one in plan.guests}
    for host in plan.hosts:
        came = [size[step.name] for step in plan.steps if step.destination == host.name]
        assert sum(one.guest.memory for one in came) <= host.memory
        assert sum(one.vcpus for one in came) <= host.vcpus
    for step in plan.steps:
        assert step.destination not in sources
        assert step.end - step.start == pytest.approx(step.forecast.total)
        assert step.forecast.probability >= plan.sure
        now = overlapping(plan, step)
        for host in by_name.values():
            leaving = sum(one.source == host.name for one in now)
            coming = sum(one.destination == host.name for one in now)
            assert leaving <= (math.inf if host.outgoing is None else host.outgoing)
            assert coming <= (math.inf if host.incoming is None else host.incoming)
        for at, capacity in enumerate(problem.capacities):
            ways = [(problem.ends(one.source, one.destination), one) for one in now]
            crossing = [(problem.capacity(*ends), one) for ends, one in ways if at in problem.path(*ends)]
            # QEMU sends whole flushes, a little more than the limit, but never more than the narrowest link lets through.
            used = sum(min(narrowest, plan.rules.quota(one.limit) * 10) for narrowest, one in crossing)
            assert used <= capacity * (1 + 1e-6)
    assert plan.makespan == max((step.end for step in (*plan.running, *plan.steps)), default=0.0)
    assert plan.makespan >= plan.lower_bound * (1 - 1e-6)
    assert plan.lower_bound >= max((step.forecast.transferred / LINE / 20 for step in plan.steps), default=0.0)
    json.dumps(plan.as_json(), allow_nan=False)
    for name in (*moved, *plan.unmovable):
        assert name in str(plan)


@st.composite
def clusters(draw):
    sources = draw(st.lists(st.sampled_from(["a", "c"]), min_size=1, max_size=6))
    places = st.sampled_from([None, 1, 2])
    kinds = st.sampled_from([QUIET, BUSY, ALONE, HOPELESS, guest(mib=2048)])
    guests = [DrainGuest(f"g{at}", draw(kinds), source, draw(st.integers(0, 4))) for at, source in enumerate(sources)]
    every = [DrainHost(name, outgoing=draw(places)) for name in ("a", "c")]
    for at in range(draw(st.integers(0, 3))):
        memory = draw(st.integers(0, 6)) * 512 * MIB
        every.append(DrainHost(f"b{at}", memory, draw(st.integers(0, 12)), incoming=draw(places)))
    capacity = st.sampled_from([LINE, 2 * LINE, 3e6])
    links = [SharedLink(f"nic {host.name}", draw(capacity), [host.name]) for host in every]
    if draw(st.booleans()):
        links.append(SharedLink("trunk", draw(capacity)))
    if draw(st.booleans()):
        links.append(SharedLink("rack", draw(capacity), ["a", *(["b0"] if len(every) > 2 else [])]))
    return guests, every, links


@settings(max_examples=12)
@given(clusters(), st.sampled_from([DrainBudget(), DrainBudget(2.0, throttle=True, post_copy=True)]), st.randoms())
def test_a_plan_gives_nothing_out_twice_and_forgets_no_guest(cluster, budget, random):
    guests, every, links = cluster
    plan = plan_drain(guests, every, links, budget=budget)
    check(plan)
    if len({link.capacity for link in links}) == 1 and not budget.throttle:
        # All ways are alike, so one by one takes the sum, whoever goes where.
        problem, capacity = plan.problem(), links[0].capacity
        alone = sum(problem.ways(problem.index[name], capacity)[0].seconds for name in names(plan))
        assert plan.makespan <= alone * (1 + 1e-9)
    for part in (guests, every, links):
        random.shuffle(part)
    again = plan_drain(guests, every, links, budget=budget)
    assert (str(again), again.steps) == (str(plan), plan.steps)


def test_nothing_to_do_is_an_empty_plan():
    plan = plan_drain([], [], [])
    assert (plan.steps, plan.makespan, plan.lower_bound, dict(plan.unmovable)) == ((), 0.0, 0.0, {})
    assert plan.ready([]) == ()


def test_a_guest_that_converges_only_alone_runs_alone():
    plan = plan_drain(drained(ALONE, QUIET, QUIET, ALONE), hosts(outgoing=None), nics())
    check(plan)
    assert not plan.unmovable
    for step in plan.steps:
        if step.name in {"g0", "g3"}:
            assert step.limit == pytest.approx(LINE, rel=0.02)
            assert [one.name for one in overlapping(plan, step)] == [step.name]


def test_guests_share_a_link_where_one_cannot_fill_it():
    # A stream of pages that the destination touches first comes to some 390 MB/s, whatever the line.
    plan = plan_drain(drained(*[QUIET] * 6), hosts(), nics(capacity=1.25e9))
    check(plan)
    alone = plan_drain(drained(*[QUIET] * 6), hosts(outgoing=1), nics(capacity=1.25e9))
    assert plan.makespan < 0.5 * alone.makespan
    assert max(len(overlapping(plan, step)) for step in plan.steps) > 2


def test_fewer_side_by_side_send_less():
    guests = drained(*[BUSY] * 4)
    plan = plan_drain(guests, hosts(), nics())
    quarter = [plan.problem().ways(at, LINE)[-1] for at in range(4)]
    assert quarter[0].shares == 4
    assert plan.transferred < sum(way.forecast.transferred for way in quarter)


def test_places_are_kept_where_nova_allows_one_migration_at_a_time():
    plan = plan_drain(drained(QUIET, QUIET, BUSY), hosts(outgoing=1), nics(capacity=1.25e9))
    check(plan)
    assert all(len(overlapping(plan, step)) == 1 for step in plan.steps)


def test_destinations_are_loaded_by_turns_where_each_takes_one():
    every = [DrainHost("a", outgoing=None), *(DrainHost(f"b{at}", 1 << 40, incoming=1) for at in range(2))]
    plan = plan_drain(drained(*[QUIET] * 4), every, nics(capacity=LINE))
    check(plan)
    assert sorted(step.destination for step in plan.steps) == ["b0", "b0", "b1", "b1"]


@pytest.mark.parametrize(
    ("budget", "action"),
    [
        (DrainBudget(throttle=True), "throttle"),
        (DrainBudget(post_copy=True), "post-copy"),
        (DrainBudget(throttle=True, post_copy=True), "throttle"),
        (DrainBudget(downtime=20.0, post_copy=True), "pause of"),
    ],
)
def test_what_never_converges_is_moved_otherwise_where_the_budget_says_so(budget, action):
    plan = plan_drain(drained(QUIET, HOPELESS), hosts(), nics(), budget=budget)
    check(plan)
    (step,) = [step for step in plan.steps if step.name == "g1"]
    assert step.action.startswith(action)
    assert all(not one.action for one in plan.steps if one.name != "g1")
    if action == "post-copy":
        assert [one.name for one in overlapping(plan, step)] == ["g1"]
        assert step.forecast.rules.post_copy


def test_who_switches_by_the_ordinary_rules_gets_its_way_alone_too():
    plan = plan_drain(drained(HOPELESS, HOPELESS, QUIET, QUIET), hosts(), nics(), rules=Rules.qemu(post_copy=True))
    check(plan)
    switched = [step for step in plan.steps if step.forecast.post_copied]
    assert {step.name for step in switched} == {"g0", "g1"}
    for step in switched:
        assert [one.name for one in overlapping(plan, step)] == [step.name]


def test_a_pause_is_no_longer_than_the_budget():
    found = DrainBudget(downtime=1.0).actions(Limits(0.3), Rules.qemu())
    assert [(name, limits.downtime) for name, (limits, _) in found.items()] == [
        ("pause of 0.6 s", 0.6),
        ("pause of 1 s", 1.0),
    ]
    assert DrainBudget(downtime=0.3).actions(Limits(0.3), Rules.qemu()) == {}


def test_only_actions_that_the_version_takes_are_tried():
    every = DrainBudget(throttle=True, post_copy=True)
    for version, sync in (("9.1", 0.0), ("9.2", 5.0)):
        found = every.actions(Limits(0.3), Rules.qemu(version))
        assert found["throttle"][1] == Rules.qemu(version, auto_converge=True)
        assert found["throttle"][1].background_sync == sync
        assert found["post-copy"][1] == Rules.qemu(version, post_copy=True)
    assert set(every.actions(Limits(0.3), Rules.qemu("10.0", multifd=2))) == {"throttle"}
    assert set(every.actions(Limits(0.3), Rules.qemu("10.1", multifd=2))) == {"throttle", "post-copy"}
    limited = Rules.qemu(dirty_limit=MIB, accelerator="kvm-dirty-ring")
    assert set(every.actions(Limits(0.3), limited)) == {"post-copy"}
    assert every.actions(Limits(0.3), Rules.cloud_hypervisor()) == {}


def test_a_host_that_lets_nothing_leave_keeps_its_guests_and_the_others_move():
    hosts = [DrainHost("a", outgoing=0), DrainHost("b"), DrainHost("c", 1 << 36)]
    guests = [DrainGuest(f"of {name}", QUIET, name) for name in "ab"]
    plan = plan_drain(guests, hosts, [SharedLink("line", 125e6)])
    assert [step.name for step in plan.steps] == ["of b"]
    assert dict(plan.unmovable) == {"of a": "Its host lets no migration leave (outgoing is 0)."}


def test_the_unmovable_come_with_a_reason_and_what_would_do():
    plan = plan_drain(drained(QUIET, HOPELESS), hosts(), nics())
    assert names(plan) == ["g0"]
    assert plan.unmovable["g1"].startswith("Even alone, at 119 MiB/s: ")
    assert "A budget could allow: " in plan.unmovable["g1"]
    assert "post-copy" in plan.unmovable["g1"]


def test_a_hypervisor_that_throttles_nothing_is_not_offered_it():
    plan = plan_drain(
        drained(QUIET, guest(mib=1024, rate=900000, wss=100000)), hosts(), nics(), rules=Rules.cloud_hypervisor()
    )
    check(plan)
    assert names(plan) == ["g0"]
    assert "throttle" not in plan.unmovable["g1"].partition("A budget could allow")[2]
    assert "post-copy" not in plan.unmovable["g1"]


def test_no_room_is_a_reason():
    plan = plan_drain(drained(QUIET, QUIET, guest(mib=4096)), hosts(memory=512 * MIB, count=1), nics("a", "b0"))
    check(plan)
    assert len(plan.steps) == 1
    assert (
        plan.unmovable["g2"] == "No host that it converges on the way to has the room: it needs 4096 MiB and 1 vCPUs."
    )
    assert any(reason.startswith("The room that there is goes to others") for reason in plan.unmovable.values())
    nowhere = plan_drain(drained(QUIET), hosts(count=0), [SharedLink("trunk", LINE)])
    assert nowhere.unmovable == {"g0": "There is no host that it could go to."}


def test_best_fit_is_tried_where_even_loads_leave_someone_over():
    # The largest to the host with most room, the next to the other: and the third has none.
    guests = drained(guest(mib=3072), guest(mib=2048), guest(mib=2048))
    every = [DrainHost("a", outgoing=None), DrainHost("b0", 4096 * MIB), DrainHost("b1", 3072 * MIB)]
    plan = plan_drain(guests, every, nics())
    check(plan)
    assert {step.name: step.destination for step in plan.steps} == {"g0": "b1", "g1": "b0", "g2": "b0"}


def test_a_link_is_crossed_where_one_end_is_behind_it():
    every = [DrainHost(name, 1 << 40) for name in ("a", "b", "c")]
    links = [SharedLink("card of b", LINE, ["b"]), SharedLink("rack", LINE, ["a", "b"]), SharedLink("trunk", LINE)]
    problem = plan_drain([], every, links).problem()
    # Each link has two directions: out of the hosts behind it, and into them; a trunk has one.
    assert problem.path(*problem.ends("a", "b")) == (1, 4)
    assert problem.path(*problem.ends("b", "a")) == (0, 4)
    assert problem.path(*problem.ends("a", "c")) == (2, 4)
    assert problem.path(*problem.ends("c", "b")) == (1, 3, 4)


def test_other_orders_and_late_destinations_are_no_worse_and_sometimes_better(monkeypatch):
    kinds = [QUIET, guest(mib=1024), BUSY, guest(mib=256), ALONE, QUIET, guest(mib=768), BUSY]
    every = [
        DrainHost("a", outgoing=2),
        DrainHost("c", outgoing=1),
        *(DrainHost(f"b{at}", 1 << 33, incoming=1) for at in range(3)),
    ]
    links = nics("a", "c", "b0", "b1", "b2", capacity=2 * LINE)
    ends = []
    for few in (module._FEW, 0):
        monkeypatch.setattr(module, "_FEW", few)
        plans = [
            plan_drain(
                [DrainGuest(f"g{at}", one, "ac"[at % (2 + turn) != 0]) for at, one in enumerate(kinds)], every, links
            )
            for turn in range(2)
        ]
        ends.append([plan.makespan for plan in plans])
    assert all(more <= less for more, less in zip(*ends, strict=True))
    assert ends[0] < ends[1]


def test_what_may_start_follows_the_plan_and_not_the_clock():
    plan = plan_drain(drained(ALONE, QUIET, QUIET), hosts(), nics())
    first, *others = plan.steps
    begun = set()
    running = {step.name for step in plan.ready([])}
    assert first.name in running
    while running:
        assert not [step for step in plan.ready(running, begun) if step.name in running | begun]
        over = min(running)
        running.remove(over)
        begun.add(over)
        running |= {step.name for step in plan.ready(running, begun)}
    assert begun == {step.name for step in (first, *others)}


def test_who_waits_for_a_whole_link_is_not_overtaken():
    plan = plan_drain(drained(ALONE, QUIET, QUIET), hosts(), nics())
    whole = next(step for step in plan.steps if step.name == "g0")
    halves = [attrs.evolve(step, limit=LINE / 2 - MIB) for step in plan.steps if step.name != "g0"]
    plan = attrs.evolve(plan, steps=(halves[0], whole, halves[1]))
    assert [step.name for step in plan.ready([])] == [halves[0].name]
    assert plan.ready([halves[0].name]) == ()  # the other half is free, and the third would fit
    assert plan.ready([], [halves[0].name]) == (whole,)
    assert plan.ready(["g0"], [halves[0].name]) == ()
    assert plan.ready([], ["g0", halves[0].name]) == (halves[1],)


def test_a_plan_is_made_again_from_where_things_stand():
    plan = plan_drain(drained(QUIET, QUIET, BUSY, BUSY), hosts(memory=1100 * MIB), nics())
    check(plan)
    assert len(plan.steps) == 4
    done, running, *left = plan.steps
    again = plan.replan(done=[done.name], running={running.name: 7.0})
    check(again)
    assert sorted(names(again)) == sorted(step.name for step in left)
    assert again.makespan >= 7.0
    placed = {step.name: step.destination for step in (done, running, *again.steps)}
    assert sorted(placed.values()) == ["b0", "b0", "b1", "b1"]
    assert {step.name for step in again.ready([running.name])} <= set(names(again))
    # The source stays out of use, also when nobody is left on it.
    assert plan.replan(done=names(plan)).emptied == {"a"}
    # And no more run side by side than did before.
    assert attrs.evolve(plan, at_once=1).replan().at_once == 1


def test_running_migrations_hold_their_places_and_links():
    plan = plan_drain(drained(ALONE), hosts(), nics())
    step = attrs.evolve(plan.steps[0], name="other", start=0.0, end=30.0)
    later = plan_drain(drained(ALONE), hosts(), nics(), running=[step])
    check(later)
    assert later.steps[0].start == 30.0


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: DrainGuest("", QUIET, "a"), "name"),
        (lambda: DrainGuest("g", QUIET, ""), "host"),
        (lambda: DrainGuest("g", None, "a"), "guest"),
        (lambda: DrainGuest("g", QUIET, "a", -1), "vcpus"),
        (lambda: DrainHost("a", memory=math.nan), "memory"),
        (lambda: DrainHost("a", vcpus=-1), "vcpus"),
        (lambda: DrainHost("a", outgoing=1.5), "outgoing"),
        (lambda: DrainHost("a", incoming=-1), "incoming"),
        (lambda: SharedLink("", 1e6), "name"),
        (lambda: SharedLink("l", 0), "capacity"),
        (lambda: SharedLink("l", math.inf), "capacity"),
        (lambda: DrainBudget(downtime=-1), "downtime"),
        (lambda: DrainBudget(throttle=1), "throttle"),
        (lambda: DrainBudget(post_copy="yes"), "post_copy"),
        (lambda: plan_drain(drained(QUIET) * 2, hosts(), nics()), "guests"),
        (lambda: plan_drain([], hosts() * 2, nics()), "hosts"),
        (lambda: plan_drain([], hosts(), nics() * 2), "links"),
        (lambda: plan_drain(drained(QUIET, source="x"), hosts(), nics()), "guests[0].host"),
        (lambda: plan_drain([], hosts(), nics("x")), "links[0].hosts"),
        (lambda: plan_drain(drained(QUIET), hosts(), []), "links"),
        (lambda: plan_drain([], [], [], sure=0.99), "sure"),
        (lambda: plan_drain([], hosts(), [], emptied=["x"]), "emptied"),
        (lambda: plan_drain(drained(QUIET), hosts(), nics()).ready(["x"]), "running"),
        (lambda: plan_drain(drained(QUIET), hosts(), nics()).ready([], ["x"]), "begun"),
        (lambda: plan_drain(drained(QUIET), hosts(), nics()).replan(done=["x"]), "done"),
        (lambda: plan_drain(drained(QUIET), hosts(), nics()).replan(running={"g0": -1}), "running[g0]"),
    ],
)
def test_what_cannot_be_is_refused_by_its_field(make, field):
    with pytest.raises(ConvergenceError) as refused:
        make()
    assert refused.value.field == field
