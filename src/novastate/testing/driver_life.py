"""Checks of drivers: what a driver says of itself, what is there, one guest's life, its power, the host's numbers, lifecycle events.

Rules of this file: see :mod:`novastate.testing.driver_conformance`. `POWER` says what must come of each call in each power state; the
checks walk it so that a guest is started as seldom as can be.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from itertools import pairwise
from types import MappingProxyType
from uuid import uuid4

from novastate.drivers import ComputeDriver, HostState
from novastate.drivers.capabilities import CAPABILITIES
from novastate.errors import DriverError
from novastate.machines import PowerState
from novastate.testing.fleet import Bench, Ears, listed, not_found, refused, together

__all__ = ["POWER", "LifeChecks"]

_R, _P, _X, _S = PowerState.RUNNING, PowerState.PAUSED, PowerState.SHUTDOWN, PowerState.SUSPENDED

#: What each call leads to from each power state; None: it is refused with a DriverError, and changes nothing. A guest that is
#: CRASHED cannot be made on purpose. A hard reboot follows the soft one, which the guest may still be about to obey.
POWER: Mapping[str, Mapping[PowerState, PowerState | None]] = MappingProxyType(
    {
        "shutdown": {_R: _X, _P: _P, _X: _X, _S: _S},
        "reboot": {_R: _R, _P: None, _X: None, _S: None},
        "hard reboot": {_R: _R, _P: _R, _X: _R, _S: _R},
        "pause": {_R: _P, _P: _P, _X: None, _S: None},
        "unpause": {_R: _R, _P: _R, _X: None, _S: None},
        "suspend": {_R: _S, _P: _S, _X: None, _S: _S},
        "resume": {_R: _R, _P: None, _X: None, _S: _R},
        "power_off": {_R: _X, _P: _X, _X: _X, _S: _X},
        "power_on": {_R: _R, _P: _R, _X: _R, _S: _R},
    }
)

#: The calls that bring a running guest into a state.
_WAYS: Mapping[PowerState, tuple[str, ...]] = MappingProxyType(
    {_R: (), _P: ("pause",), _X: ("power_off",), _S: ("suspend",)}
)

#: Calls that ask the guest itself, and return before it has obeyed.
_ASKING = frozenset({"shutdown", "reboot"})


def _call(driver: ComputeDriver, call: str, uuid: str) -> Callable[[], None]:
    if call == "hard reboot":
        return partial(driver.reboot, uuid, hard=True)
    function: Callable[[str], None] = getattr(driver, call)
    return partial(function, uuid)


class LifeChecks(Bench):
    """The checks of one guest's life."""

    # --- what it says of itself

    def driver_declares_known_capabilities(self) -> None:
        """Names of the table, each True or False."""
        for driver in self.drivers:
            unknown = set(driver.capabilities) - set(CAPABILITIES)
            assert not unknown, f"unknown capabilities: {sorted(unknown)}; known: {sorted(CAPABILITIES)}"
            assert all(isinstance(value, bool) for value in driver.capabilities.values()), driver.capabilities
        for name in CAPABILITIES:
            self.able(name)

    def driver_has_a_name_and_a_deadline(self) -> None:
        """Host names are unique in the fleet; a finite timeout bounds every call."""
        hosts = [driver.host for driver in self.drivers]
        assert all(hosts), hosts
        assert len(set(hosts)) == len(hosts), f"two hosts of one name: {hosts}"
        for driver in self.drivers:
            assert 0 < driver.timeout < math.inf, driver.timeout

    # --- what is there

    def driver_says_what_is_not_there(self) -> None:
        """GuestNotFound for each call about one guest, save destroy."""
        nobody = str(uuid4())
        for driver in self.drivers:
            assert nobody not in listed(driver)
            not_found(partial(driver.get_info, nobody))
            for call in POWER:
                not_found(_call(driver, call, nobody))

    def driver_shows_a_guest_it_has_spawned(self) -> None:
        """As the instance says, listed and alone, running; spawning it again is nothing."""
        instance, here = self.new(), self.drivers[0]
        spawned = here.spawn(instance)
        self.runs_only(here, instance.uuid)
        assert (spawned.uuid, spawned.power_state) == (instance.uuid, _R), spawned
        assert (spawned.vcpus, spawned.memory_mb) == (instance.flavor.vcpus, instance.flavor.memory_mb), spawned
        assert spawned.name
        assert here.get_info(instance.uuid) == listed(here)[instance.uuid] == spawned
        used = here.host_state().vcpus_used
        assert here.spawn(instance) == spawned
        assert here.host_state().vcpus_used == used
        here.power_off(instance.uuid)
        assert here.spawn(instance).power_state is _R, "a guest that is off is started"
        here.destroy(instance.uuid)

    def driver_destroys_what_is_there_or_not(self) -> None:
        """In any power state, twice, and what never was; nothing is left of it."""
        here = self.drivers[0]
        here.destroy(str(uuid4()))
        for way in ((), ("power_off",), ("suspend",)):
            before, instance = here.host_state(), self.new()
            here.spawn(instance)
            for call in way:
                _call(here, call, instance.uuid)()
            here.destroy(instance.uuid)
            here.destroy(instance.uuid)
            assert instance.uuid not in listed(here)
            not_found(partial(here.get_info, instance.uuid))
            not_found(partial(here.power_on, instance.uuid))
            after = here.host_state()
            assert after.vcpus_used == before.vcpus_used, f"vCPUs are still taken, in way {way}"
            assert after.disk_gb_used == before.disk_gb_used, f"disk is still taken, in way {way}"

    def driver_keeps_disks_it_was_told_to_keep(self) -> None:
        """With destroy_disks=False the guest goes and its disk stays: it can be spawned again, and is then removed whole."""
        here, instance = self.drivers[0], self.new()
        before = here.host_state().disk_gb_used
        here.spawn(instance)
        taken = here.host_state().disk_gb_used
        for _ in range(2):
            here.destroy(instance.uuid, destroy_disks=False)
            assert instance.uuid not in listed(here)
            assert here.host_state().disk_gb_used == taken, "the disk has gone with the guest"
        here.spawn(instance)
        self.runs_only(here, instance.uuid)
        assert here.host_state().disk_gb_used == taken, "a second disk was made"
        here.destroy(instance.uuid)
        assert here.host_state().disk_gb_used == before, "the disk was left"

    # --- power

    def driver_obeys_while_a_guest_runs(self) -> None:
        """Each call of `POWER` on a running guest, twice where it may be."""
        self._walk(_R)

    def driver_obeys_while_a_guest_is_paused(self) -> None:
        """Each call of `POWER` on a paused guest."""
        self._walk(_P)

    def driver_obeys_while_a_guest_is_off(self) -> None:
        """Each call of `POWER` on a guest that is off."""
        self._walk(_X)

    def driver_obeys_while_a_guest_is_suspended(self) -> None:
        """Each call of `POWER` on a guest whose memory is saved."""
        self._walk(_S)

    def driver_resumes_what_was_suspended_while_paused(self) -> None:
        """It was frozen, it was saved, and it runs again."""
        instance, here, _ = self.running()
        for call in ("pause", "suspend", "resume"):
            _call(here, call, instance.uuid)()
        assert self.power(here, instance.uuid) is _R

    def _walk(self, state: PowerState) -> None:
        uuid, here = self._bring(state)
        self._hold(here, uuid, state)
        for call, leads in POWER.items():
            wanted = leads[state]
            if wanted is None or (wanted is state and call not in {"reboot", "hard reboot"}):
                continue
            self._bring(state, up=state is _R and call in _ASKING)
            do = _call(here, call, uuid)
            do()
            if call not in {"reboot", "hard reboot"}:  # two restarts are two restarts
                do()
            if call in _ASKING:
                self.wait(f"{call} to lead to {wanted}", partial(self._is_in, here, uuid, wanted))
            seen = self.power(here, uuid)
            assert seen is wanted, f"{call} led from {state} to {seen}, not to {wanted}"

    def _is_in(self, here: ComputeDriver, uuid: str, state: PowerState) -> bool:
        return self.power(here, uuid) is state

    def _hold(self, here: ComputeDriver, uuid: str, state: PowerState) -> None:
        """The calls that leave a guest in *state* as it is, or are refused."""
        for call, leads in POWER.items():
            if call in {"reboot", "hard reboot"} and leads[state] is not None:
                continue
            if leads[state] is None:
                refused(DriverError, _call(here, call, uuid))
            elif leads[state] is state:
                _call(here, call, uuid)()
            assert self.power(here, uuid) is state, f"{call} changed a guest that was {state}"

    def _bring(self, state: PowerState, *, up: bool = False) -> tuple[str, ComputeDriver]:
        """Has the shared guest in *state*; it runs before, unless it is there already."""
        if self.instance is not None:
            for driver in self.drivers:
                info = listed(driver).get(self.instance.uuid)
                if info is not None and info.power_state is state and not up:
                    return info.uuid, driver
        instance, here, _ = self.running(up=up)
        for call in _WAYS[state]:
            _call(here, call, instance.uuid)()
        assert self.power(here, instance.uuid) is state, f"{_WAYS[state]} led to {self.power(here, instance.uuid)}"
        return instance.uuid, here

    # --- the host

    def driver_counts_its_host(self) -> None:
        """What is used is at most what is there; NUMA cells add up; it is up, and is called what its driver is called."""
        for driver in self.drivers:
            state = driver.host_state()
            assert (state.host, state.up) == (driver.host, True), state
            assert state.vcpus > 0, state
            assert 0 <= state.memory_mb_used <= state.memory_mb, state
            assert 0 <= state.disk_gb_used <= state.disk_gb, state
            assert state.hypervisor_type
            assert state.hypervisor_version > 0
            self._count_cells(state)

    def _count_cells(self, state: HostState) -> None:
        cells = state.numa_cells
        if not cells:
            return
        cpus = [cpu for cell in cells for cpu in cell.cpus]
        assert len({cell.id for cell in cells}) == len(cells), cells
        assert len(set(cpus)) == len(cpus) == state.vcpus, f"{len(cpus)} CPUs in cells, {state.vcpus} in all"
        total = sum(cell.memory_mb for cell in cells)
        assert abs(total - state.memory_mb) <= len(cells), f"{total} MiB in cells, {state.memory_mb} in all"
        for cell in cells:
            assert cell.free_mb <= cell.memory_mb, cell
            assert all(pages.free <= pages.total for pages in cell.pages), cell

    def driver_counts_what_a_guest_takes(self) -> None:
        """A running or paused guest takes its vCPUs; one that is off, or gone, takes none. Memory may be measured, and say less."""
        here = self.drivers[0]
        before, instance = here.host_state(), self.new()
        vcpus = instance.flavor.vcpus
        here.spawn(instance)
        on = here.host_state()
        assert on.vcpus_used == before.vcpus_used + vcpus, (before.vcpus_used, on.vcpus_used)
        here.pause(instance.uuid)
        assert here.host_state().vcpus_used == on.vcpus_used, "a paused guest keeps what it has"
        here.power_off(instance.uuid)
        off = here.host_state()
        assert off.vcpus_used == before.vcpus_used, (before.vcpus_used, off.vcpus_used)
        here.destroy(instance.uuid)
        assert here.host_state().vcpus_used == before.vcpus_used

    # --- lifecycle events

    def driver_tells_of_each_change(self) -> None:
        """Once each, in order, with the host, a time that does not go back, and nothing of calls that changed nothing."""
        instance, here, _ = self.running()
        uuid, ears = instance.uuid, self.listen(here)
        walk = list[PowerState]()
        steps = [("pause", _P), ("unpause", _R), ("suspend", _S), ("resume", _R), ("power_off", _X), ("power_on", _R)]
        for call, state in steps:
            _call(here, call, uuid)()
            walk.append(state)
            self.hear(f"an event of {call}", partial(self._told_of, ears, uuid, state))
            self._hold(here, uuid, state)
        here.pause(uuid)  # what was told late would stand before this
        walk.append(_P)
        self.hear("an event of pause", partial(self._told_of, ears, uuid, _P))
        ears.check_once(uuid)
        # A guest that is saved stands still first; some hypervisors tell of that too.
        told = [state for state, then in pairwise([*ears.walk(uuid), None]) if (state, then) != (_P, _S)]
        assert told == walk, f"told: {ears.told(uuid)}"
        about = [event for event in ears.heard if event.uuid == uuid]
        assert {event.host for event in about} == {here.host}
        assert [event.at for event in about] == sorted(event.at for event in about)

    def _told_of(self, ears: Ears, uuid: str, state: PowerState) -> bool:
        return ears.walk(uuid)[-1:] == [state]

    def driver_tells_of_a_new_guest_and_of_its_end(self) -> None:
        """Its start, and that it has stopped; other hosts are not told."""
        here, there, instance = self.drivers[0], self.drivers[1], self.new()
        ears, others = self.listen(here), self.listen(there)
        here.spawn(instance)
        self.hear("the event of a start", lambda: ears.walk(instance.uuid) == [_R])
        here.destroy(instance.uuid)
        self.hear("the event of a stop", lambda: ears.walk(instance.uuid) == [_R, _X])
        ears.check_once(instance.uuid)
        assert not others.told(instance.uuid), "another host was told of it"

    def driver_stops_telling_who_has_ended_it(self) -> None:
        """Each subscriber is told by itself; ending twice is ending once."""
        instance, here, _ = self.running()
        stays, goes = self.listen(here), Ears()
        end = here.subscribe(goes)
        here.pause(instance.uuid)
        self.hear("both to be told", lambda: stays.walk(instance.uuid) == goes.walk(instance.uuid) == [_P])
        end()
        end()
        here.unpause(instance.uuid)
        self.hear("the one to be told", lambda: stays.walk(instance.uuid) == [_P, _R])
        assert goes.walk(instance.uuid) == [_P], "it was told after it had ended that"

    def driver_obeys_many_threads(self) -> None:
        """Calls from several threads at once each return; what is told of them takes turns and ends where the guest is."""
        instance, here, _ = self.running()
        uuid, ears = instance.uuid, self.listen(here)

        def work() -> None:
            for _ in range(5):
                here.pause(uuid)
                here.unpause(uuid)
                assert uuid in listed(here)

        together(self.fleet.patience, work, work, work)
        here.unpause(uuid)
        assert self.power(here, uuid) is _R
        here.pause(uuid)
        self.hear("the last event", lambda: ears.walk(uuid)[-1:] == [_P])
        ears.check_once(uuid)
        here.unpause(uuid)
