"""What a conformance check of drivers stands on: the fleet under test, one guest that checks share, ears, and waiting.

Rules of this file:

1. Time is the fleet's clock. Every wait names what it waits for and ends, in the thing or in an AssertionError.
2. Every call that a check makes of a driver is measured: one that took longer than `ComputeDriver.timeout` fails the check.
3. A guest takes seconds to boot, so checks share one. A check that fails leaves none: the next begins with a new one.
"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, suppress
from itertools import pairwise
from typing import Any, TypeVar, cast

from attrs import Factory, frozen

from novastate.drivers import (
    Clock,
    ComputeDriver,
    GuestInfo,
    JobType,
    Lifecycle,
    LifecycleEvent,
    LiveMigrationParams,
    RealClock,
)
from novastate.drivers.capabilities import supports
from novastate.errors import GuestNotFound, InvalidField, NovastateError
from novastate.machines import PowerState
from novastate.machines.power_sync import LIFECYCLE_POWER_STATES
from novastate.objects import Instance, LibvirtLiveMigrateData

__all__ = ["Bench", "Ears", "Fleet", "refused", "together"]

T = TypeVar("T")
E = TypeVar("E", bound=NovastateError)

_MIB = 1 << 20


def _always(_: Instance) -> bool:
    return True


@frozen
class Fleet:
    """Two or more drivers under test, and what their checks need to know.

    *drivers*: of hosts that can migrate to each other, with nothing on them that the tests may not see; *new_instance* gives an
    instance, each time another, that the first two can spawn, that shuts down when it is asked to, and writes memory no faster
    than *params* carries it; *clock*: the time that the drivers live in; *patience*: seconds after which a boot, a shutdown, a
    migration counts as stuck; *poll*: seconds between two looks; *params*: by which a migration ends well; *slow*: by which one
    goes on for 5 s at least; *is_up*: whether the guest of an instance has booted, and hears (default: at once); *cut_link*: gives a
    context within which the hosts do not reach each other, needed where ``supports_post_copy`` is declared.
    """

    drivers: Sequence[ComputeDriver]
    new_instance: Callable[[], Instance]
    clock: Clock = Factory(RealClock)
    patience: float = 60.0
    poll: float = 0.1
    params: LiveMigrationParams = Factory(LiveMigrationParams)
    slow: LiveMigrationParams = Factory(lambda: LiveMigrationParams(bandwidth=4 * _MIB))
    is_up: Callable[[Instance], bool] = _always
    cut_link: Callable[[], AbstractContextManager[object]] | None = None

    def __attrs_post_init__(self) -> None:
        if len(self.drivers) < 2:
            raise InvalidField("drivers", len(self.drivers), "must be two at least: guests are migrated between them")


class _Timed:
    """A driver each call of which must return within its timeout."""

    def __init__(self, driver: ComputeDriver) -> None:
        self.driver = driver

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.driver, name)
        if not callable(value):
            return value

        @functools.wraps(value)
        def called(*args: Any, **kwargs: Any) -> Any:
            began = time.monotonic()
            try:
                return value(*args, **kwargs)
            finally:
                took = time.monotonic() - began
                assert took <= self.driver.timeout, f"{name} took {took:.1f} s, the timeout is {self.driver.timeout} s"

        return called


class Ears:
    """A subscriber that remembers."""

    def __init__(self) -> None:
        self.heard: list[LifecycleEvent] = []

    def __call__(self, event: LifecycleEvent) -> None:
        """What a driver calls; from any thread."""
        self.heard.append(event)

    def told(self, uuid: str) -> list[Lifecycle]:
        """What was told of one guest, in order."""
        return [event.transition for event in list(self.heard) if event.uuid == uuid]

    def walk(self, uuid: str) -> list[PowerState]:
        """The power states that were told of one guest; equal neighbours are one."""
        states = [LIFECYCLE_POWER_STATES[transition] for transition in self.told(uuid)]
        return [state for n, state in enumerate(states) if not n or states[n - 1] is not state]

    def check_once(self, uuid: str) -> None:
        """Nothing was told twice in a row."""
        told = self.told(uuid)
        assert all(a is not b for a, b in pairwise(told)), f"told twice: {_names(told)}"


class Bench:
    """What every check uses. See the rules of this module."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.clock = fleet.clock
        self.drivers: tuple[ComputeDriver, ...] = tuple(cast("ComputeDriver", _Timed(d)) for d in fleet.drivers)
        self.instance: Instance | None = None
        self._made: dict[str, Instance] = {}
        self._ends: list[Callable[[], None]] = []
        self._before: set[tuple[str, str]] | None = None

    def able(self, name: str) -> bool:
        """Whether the drivers declare a capability. All must declare the same."""
        answers = {supports(driver, name) for driver in self.drivers}
        assert len(answers) == 1, f"{name}: the drivers of a fleet declare different things"
        return answers.pop()

    # --- guests

    def new(self) -> Instance:
        """An instance of which no host knows."""
        instance = self.fleet.new_instance()
        assert instance.uuid not in self._made, "new_instance gave the same instance twice"
        self._made[instance.uuid] = instance
        return instance

    def running(self, *, up: bool = False) -> tuple[Instance, ComputeDriver, ComputeDriver]:
        """The shared guest, which runs (and has booted, if *up*); where it is, and another host."""
        homes = [d for d in self.drivers if self.instance is not None and self.instance.uuid in listed(d)]
        if self.instance is None or not homes:
            self.instance, homes = self.new(), [self.drivers[0]]
            homes[0].spawn(self.instance)
        assert len(homes) == 1, f"guest {self.instance.uuid} is on {[home.host for home in homes]}"
        here, instance = homes[0], self.instance
        if here.get_info(instance.uuid).power_state is not PowerState.RUNNING:
            here.power_on(instance.uuid)
        if up:
            self.wait("the guest to boot", lambda: self.fleet.is_up(instance))
        return instance, here, next(d for d in self.drivers if d is not here)

    def power(self, driver: ComputeDriver, uuid: str) -> PowerState:
        """The power state that a driver shows of a guest."""
        return driver.get_info(uuid).power_state

    def runs_only(self, here: ComputeDriver, uuid: str, state: PowerState = PowerState.RUNNING) -> None:
        """The guest is *here*, at home and in *state*, and no other host knows of it."""
        info = here.get_info(uuid)
        assert (info.power_state, info.incoming, info.outgoing) == (state, False, False), info
        for other in self.drivers:
            if other is not here:
                assert uuid not in listed(other), f"{other.host} knows guest {uuid}, which is on {here.host}"

    def listen(self, driver: ComputeDriver) -> Ears:
        """Ears that hear of the driver until the check ends."""
        ears = Ears()
        self._ends.append(driver.subscribe(ears))
        return ears

    # --- time

    def wait(self, what: str, happens: Callable[[], T | None]) -> T:
        """Polls until *happens* gives something true, and returns that."""
        deadline = self.clock.now() + self.fleet.patience
        while not (found := happens()):
            assert self.clock.now() < deadline, f"waited {self.fleet.patience:g} s in vain for {what}"
            self.clock.sleep(self.fleet.poll)
        return found

    def hear(self, what: str, happens: Callable[[], bool]) -> None:
        """Waits for what is told. Drivers are asked meanwhile: one that lives in simulated time tells when it is."""

        def told() -> bool:
            for driver in self.drivers:
                driver.list_guests()
            return happens()

        self.wait(what, told)

    # --- one check

    def begin(self) -> None:
        """Before a check: what is there now is not the checks'."""
        if self._before is None:
            self._before = self._there()

    def end(self) -> None:
        """After a check that held: of what it made nothing is there but the shared guest, on one host."""
        for end in self._ends:
            end()
        self._ends.clear()
        left = self._there() - (self._before or set())
        shared = {at for at in left if self.instance is not None and at[1] == self.instance.uuid}
        assert left == shared, f"left behind: {sorted(left - shared)}"
        assert len(shared) <= 1, f"one guest on several hosts: {sorted(shared)}"

    def clear(self) -> None:
        """Removes every guest that the checks have made, whatever state it is in, and whatever a wrong driver raises."""
        nothing = LibvirtLiveMigrateData()
        for end in self._ends:
            with suppress(Exception):
                end()
        self._ends.clear()
        for uuid, instance in self._made.items():
            for driver in self.fleet.drivers:
                with suppress(Exception):
                    driver.live_migration_abort(uuid)
            self._let_jobs_end(uuid)
            for driver in self.fleet.drivers:
                with suppress(Exception):
                    driver.rollback_live_migration_at_destination(instance, nothing)
                with suppress(Exception):
                    driver.rollback_live_migration_at_source(instance, nothing)
                with suppress(Exception):
                    driver.destroy(uuid)
        self._made.clear()
        self.instance = None

    def _let_jobs_end(self, uuid: str) -> None:
        def ended(driver: ComputeDriver) -> bool:
            with suppress(Exception):
                return driver.live_migration_job(uuid).type is not JobType.UNBOUNDED
            return True

        with suppress(Exception):
            self.wait("jobs to end", lambda: all(map(ended, self.fleet.drivers)))

    def _there(self) -> set[tuple[str, str]]:
        return {(driver.host, uuid) for driver in self.drivers for uuid in listed(driver)}


def listed(driver: ComputeDriver) -> dict[str, GuestInfo]:
    """The guests of a driver by uuid."""
    guests = driver.list_guests()
    uuids = [guest.uuid for guest in guests]
    assert uuids == sorted(set(uuids)), f"{driver.host} lists its guests out of order, or one twice: {uuids}"
    return {guest.uuid: guest for guest in guests}


def refused(error: type[E], call: Callable[[], object]) -> E:
    """The error of this class that *call* raises; that it raises none is a failure."""
    try:
        result = call()
    except error as raised:
        return raised
    except NovastateError as other:
        raise AssertionError(f"{error.__name__} expected, not {type(other).__name__}: {other}") from other
    raise AssertionError(f"{error.__name__} expected, but the call returned {result!r}")


def not_found(call: Callable[[], object]) -> None:
    """*call* raises GuestNotFound."""
    refused(GuestNotFound, call)


def together(patience: float, *calls: Callable[[], object]) -> None:
    """Runs *calls*, each on a thread of its own; the first error is raised."""
    errors: list[BaseException] = []

    def guarded(call: Callable[[], object]) -> None:
        try:
            call()
        except BaseException as error:  # noqa: BLE001  (it is raised below)
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(call,), daemon=True) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(patience)
        assert not thread.is_alive(), "a call from a thread does not return"
    if errors:
        raise errors[0]


def _names(states: Iterable[object]) -> str:
    return ", ".join(map(str, states))
