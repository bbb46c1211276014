"""LocalRunner: one effect, one result; what an effect raises reaches the flow; claims never lose an update."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

import pytest

from flow_world import UUID, World
from novastate.errors import ClaimFailed, DriverError, FlowError, NotFound, StaleState
from novastate.flows import Call, Claim, Find, Load, Note, Notify, Now, Recall, Release, Save, Send, Wait
from novastate.objects import Allocation, ComputeNode, Instance


def test_a_flow_is_sent_each_result_and_returns_its_own(world):
    def flow():
        first = yield Now()
        second = yield Load(ComputeNode, "alpha")
        return first, second.host

    assert world.run(flow()) == (datetime.fromtimestamp(1_800_000_000.0, UTC), "alpha")


def test_what_an_effect_raises_is_thrown_into_the_flow(world):
    def flow():
        try:
            yield Load(Instance, UUID)
        except NotFound:
            return "caught"

    assert world.run(flow()) == "caught"


def test_what_a_flow_does_not_catch_reaches_the_caller(world):
    def flow():
        yield Load(Instance, UUID)

    with pytest.raises(NotFound):
        world.run(flow())


def test_what_is_no_effect_is_refused(world):
    def flow():
        yield "not an effect"

    with pytest.raises(FlowError, match="not an effect"):
        world.run(flow())


def test_a_host_without_a_driver_is_a_driver_error(world):
    with pytest.raises(DriverError, match="omega"):
        world.runner.perform(Call("omega", "host_state"))


def test_saving_stamps_the_times(world):
    instance, spec = world.records()
    world.runner.perform(Save((instance, spec)))
    created = world.instance().created_at
    world.clock.sleep(5)
    world.runner.perform(Save((instance,)))
    assert world.instance().created_at == created
    assert (world.instance().updated_at - created).total_seconds() == 5


def test_a_lost_save_changes_nothing(world):
    instance, spec = world.records()
    world.runner.perform(Save((instance, spec)))
    other = world.instance()
    world.runner.perform(Save((instance,)))
    with pytest.raises(StaleState):
        world.runner.perform(Save((other,)))
    assert world.instance().revision == instance.revision


def test_waiting_passes_time_and_a_message_cuts_it_short(world):
    start = world.clock.now()
    assert world.runner.perform(Wait(2.5)) is None
    assert world.clock.now() == start + 2.5
    world.runner.perform(Send("topic", "hello"))
    assert world.runner.perform(Wait(10, "topic")) == "hello"
    assert world.clock.now() == start + 2.5
    assert world.runner.perform(Wait(0, "topic")) is None


def test_a_claim_is_held_once_and_given_back_once(world):
    _, spec = world.records()
    world.runner.perform(Claim("alpha", UUID, spec))
    world.runner.perform(Claim("alpha", UUID, spec))
    assert world.store.load(ComputeNode, "alpha").memory_mb_used == 256
    world.runner.perform(Release("alpha", UUID))
    world.runner.perform(Release("alpha", UUID))
    assert world.store.load(ComputeNode, "alpha").memory_mb_used == 0
    assert world.store.find(Allocation, consumer=UUID) == []


def test_a_claim_that_does_not_fit_holds_nothing(world):
    _, spec = world.records(memory_mb=4096)
    with pytest.raises(ClaimFailed):
        world.runner.perform(Claim("alpha", UUID, spec))
    assert world.store.find(Allocation, consumer=UUID) == []
    assert world.store.load(ComputeNode, "alpha").memory_mb_used == 0


def test_claims_of_many_threads_add_up(world):
    uuids = [f"{n:08d}-2222-3333-4444-555555555555" for n in range(12)]
    won, full = [], []

    def claim(uuid):
        _, spec = world.records(uuid)
        try:
            world.runner.perform(Claim("alpha", uuid, spec))
            won.append(uuid)
        except ClaimFailed:
            full.append(uuid)

    threads = [threading.Thread(target=claim, args=(uuid,)) for uuid in uuids]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert (len(won), len(full)) == (8, 4), "2048 MiB hold eight guests of 256"
    assert world.store.load(ComputeNode, "alpha").memory_mb_used == 2048


def test_every_listener_hears_every_notice(world):
    heard = []
    world.runner.listeners += (lambda event, payload: heard.append((event, payload["n"])),)
    world.runner.perform(Notify("tick", {"n": 1}))
    assert heard == [("tick", 1)]
    assert world.events[-1] == ("tick", {"n": 1})


def test_notes_of_one_name_are_kept_side_by_side(world):
    for facts in ({"forecast": 1}, {"stats": 2}, {"forecast": 3}):
        assert world.runner.perform(Note("a", facts)) is None
    assert world.runner.perform(Recall("a")) == {"forecast": 3, "stats": 2}
    assert world.runner.perform(Recall("b")) == {}


def test_find_reads_by_indexed_fields(world):
    world.boot()
    assert [i.uuid for i in world.runner.perform(Find(Instance, {"host": "alpha"}))] == [UUID]
    assert world.runner.perform(Find(Instance, {"host": "beta"})) == []


def test_a_runner_without_a_clock_waits_in_real_time():
    from novastate.drivers.clock import RealClock
    from novastate.runners import LocalRunner

    assert isinstance(LocalRunner(World().store, {}).clock, RealClock)


def test_a_listener_that_fails_does_not_disturb_the_flow(world, caplog):
    def broken(event, payload):
        raise BrokenPipeError

    world.runner.listeners += (broken,)
    world.boot()
    assert world.cloud.running(UUID) == ["alpha"]
    assert "a listener failed" in caplog.text


def test_a_flow_is_run_once(world):
    def flow():
        yield Now()

    once = flow()
    world.run(once)
    with pytest.raises(FlowError, match="once"):
        world.run(once)
