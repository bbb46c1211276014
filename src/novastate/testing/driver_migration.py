"""Checks of drivers: live migration, its rollback, and what the estimator needs, each by its capability.

Rules of this file: see :mod:`novastate.testing.driver_conformance`. Every step of a migration is made twice. The shared guest goes to
and fro: what one check has moved there, the next moves back.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from functools import partial
from typing import TypeVar
from uuid import uuid4

from attrs import define, evolve

from novastate.drivers import (
    ComputeDriver,
    JobStats,
    JobType,
    Lifecycle,
    LiveMigrationParams,
    LiveMigrationSource,
)
from novastate.drivers.base import MOST_DOWNTIME
from novastate.errors import (
    DriverError,
    InvalidLocalStorage,
    InvalidSharedStorage,
    MigrationPreCheckError,
    NotSupported,
)
from novastate.machines import PowerState
from novastate.objects import Instance, LibvirtLiveMigrateData
from novastate.testing.fleet import Bench, listed, not_found, refused

__all__ = ["MigrationChecks"]

T = TypeVar("T")
M = TypeVar("M", bound="MigrationChecks")

_R, _P = PowerState.RUNNING, PowerState.PAUSED
_MIB = 1 << 20
_NOTHING = LibvirtLiveMigrateData()


def _twice(call: Callable[[], T]) -> T:
    """The second result of two calls."""
    call()
    return call()


def _live(check: Callable[[M], None]) -> Callable[[M], None]:
    """A check of live migration; where that is not declared, it is checked that every call of it is refused."""

    @functools.wraps(check)
    def checked(self: M) -> None:
        if self.able("supports_live_migration"):
            check(self)
        else:
            self.refuses_live_migration()

    return checked


@define
class _Move:
    """A migration of *instance* from *here* to *there*, prepared."""

    instance: Instance
    here: ComputeDriver
    there: ComputeDriver
    data: LibvirtLiveMigrateData

    @property
    def uuid(self) -> str:
        return self.instance.uuid

    def start(self, params: LiveMigrationParams) -> None:
        self.here.live_migration(self.instance, self.there.host, self.data, params)

    def job(self) -> JobStats:
        return self.here.live_migration_job(self.uuid)


class MigrationChecks(Bench):
    """The checks of live migration and of what is measured."""

    # --- the steps

    def _prepared(self, state: PowerState = _R, *, up: bool = True) -> _Move:
        """The shared guest before its migration: checked and prepared, each step twice."""
        instance, here, there = self.running(up=up)
        if state is _P:
            here.pause(instance.uuid)
        source = _twice(partial(here.live_migration_source, instance.uuid))
        assert source.host.host == here.host
        data = _twice(partial(there.check_can_live_migrate_destination, instance, source))
        data = _twice(partial(here.check_can_live_migrate_source, instance, data))
        assert isinstance(data.block_migration, bool), "the source's check decides block_migration"
        _twice(partial(there.cleanup_live_migration_destination_check, data))
        data = _twice(partial(there.pre_live_migration, instance, data, source.disks))
        self.runs_only_or_prepared(here, there, instance, state)
        return _Move(instance, here, there, data)

    def runs_only_or_prepared(
        self, here: ComputeDriver, there: ComputeDriver, instance: Instance, state: PowerState
    ) -> None:
        """Preparation has not touched the guest, and no guest runs there."""
        assert self.power(here, instance.uuid) is state
        info = listed(there).get(instance.uuid)
        assert info is None or info.power_state is not _R, info

    def _ended(self, move: _Move) -> JobStats:
        """The final statistics; until then the guest never runs on both."""
        return self.wait("the migration to end", partial(self._look, move))

    def _look(self, move: _Move) -> JobStats | None:
        # The destination first: a guest that runs there runs on the source no more.
        arrived = listed(move.there).get(move.uuid)
        source = listed(move.here).get(move.uuid)
        both = [
            i for i in (arrived, source) if i is not None and i.power_state is _R and not i.incoming and not i.outgoing
        ]
        assert len(both) <= 1, f"guest {move.uuid} runs on {move.here.host} and {move.there.host}"
        stats = move.job()
        assert 0 <= stats.memory_remaining <= max(stats.memory_total, stats.memory_remaining), stats
        assert 0 <= stats.progress <= 100, stats
        assert 0 <= stats.throttle <= 0.99, stats
        assert not stats.broken, f"no link was cut: {stats}"
        return None if stats.type in {JobType.NONE, JobType.UNBOUNDED} else stats

    def _under_way(self, move: _Move) -> JobStats:
        """The statistics once memory is being sent."""

        def sent() -> JobStats | None:
            stats = move.job()
            assert stats.type in {JobType.NONE, JobType.UNBOUNDED}, f"it should go on for a while: {stats}"
            return stats if stats.memory_processed > 0 else None

        return self.wait("memory to be sent", sent)

    def _rolled_back(self, move: _Move, state: PowerState = _R) -> None:
        """Both sides are, twice; the guest is where it was, in *state*, and the job is forgotten."""
        _twice(partial(move.there.rollback_live_migration_at_destination, move.instance, move.data))
        _twice(partial(move.here.rollback_live_migration_at_source, move.instance, move.data))
        self.runs_only(move.here, move.uuid, state)
        assert move.job().type is JobType.NONE, move.job()

    def _migrated(self, move: _Move, params: LiveMigrationParams, state: PowerState = _R) -> JobStats:
        """All of it, to its good end."""
        move.start(params)
        return self._arrived(move, state)

    def _arrived(self, move: _Move, state: PowerState = _R) -> JobStats:
        stats = self._ended(move)
        assert stats.type is JobType.COMPLETED, stats
        assert move.job() == stats, "the final statistics stay readable until the post step"
        _twice(partial(move.there.post_live_migration_at_destination, move.instance, move.data))
        _twice(partial(move.here.post_live_migration_at_source, move.instance, move.data))
        self.runs_only(move.there, move.uuid, state)
        not_found(partial(move.here.get_info, move.uuid))
        assert stats.memory_remaining == 0, stats
        assert stats.memory_total > 0, stats
        assert stats.memory_processed > 0, stats
        assert stats.progress == 100, stats
        assert 0 <= stats.downtime <= stats.elapsed, stats
        assert stats.elapsed > 0, stats
        return stats

    # --- live migration

    @_live
    def driver_migrates_a_guest(self) -> None:
        """Every step twice; the guest runs at the destination alone, with what it had, and both hosts count that."""
        move = self._prepared()
        before, ears, there = listed(move.here)[move.uuid], self.listen(move.here), self.listen(move.there)
        used = move.here.host_state().vcpus_used, move.there.host_state().vcpus_used
        self._migrated(move, self.fleet.params)
        after = move.there.get_info(move.uuid)
        assert (after.vcpus, after.memory_mb, after.name) == (before.vcpus, before.memory_mb, before.name)
        now = move.here.host_state().vcpus_used, move.there.host_state().vcpus_used
        assert now == (used[0] - before.vcpus, used[1] + before.vcpus), (used, now)
        self.hear("the end of its move to be told", lambda: Lifecycle.MIGRATION_COMPLETED in ears.told(move.uuid))
        self.hear("its arrival to be told", lambda: there.walk(move.uuid)[-1:] == [_R])
        assert ears.told(move.uuid).count(Lifecycle.MIGRATION_COMPLETED) == 1
        assert not {Lifecycle.STOPPED, Lifecycle.MIGRATION_COMPLETED} & set(there.told(move.uuid)), there.told(
            move.uuid
        )
        ears.check_once(move.uuid)
        there.check_once(move.uuid)
        self.wait("the guest to run on", lambda: self.fleet.is_up(move.instance))

    def refuses_live_migration(self) -> None:
        """Without live migration each of its calls raises NotSupported, and the guest runs on."""
        instance, here, there = self.running()
        source = LiveMigrationSource(here.host_state())
        for call in (
            partial(here.live_migration_source, instance.uuid),
            partial(there.check_can_live_migrate_destination, instance, source),
            partial(here.check_can_live_migrate_source, instance, _NOTHING),
            partial(there.cleanup_live_migration_destination_check, _NOTHING),
            partial(there.pre_live_migration, instance, _NOTHING, ()),
            partial(here.live_migration, instance, there.host, _NOTHING, self.fleet.params),
            partial(here.live_migration_job, instance.uuid),
            partial(here.live_migration_downtime, instance.uuid, 300),
            partial(here.live_migration_abort, instance.uuid),
            partial(here.live_migration_post_copy, instance.uuid),
            partial(here.post_live_migration_at_source, instance, _NOTHING),
            partial(there.post_live_migration_at_destination, instance, _NOTHING),
            partial(here.rollback_live_migration_at_source, instance, _NOTHING),
            partial(there.rollback_live_migration_at_destination, instance, _NOTHING),
        ):
            refused(NotSupported, call)
        self.runs_only(here, instance.uuid)

    @_live
    def driver_migrates_a_paused_guest(self) -> None:
        """It stands still at the destination too, until it is let run."""
        move = self._prepared(_P)
        self._migrated(move, self.fleet.params, _P)
        move.there.unpause(move.uuid)
        self.runs_only(move.there, move.uuid)

    @_live
    def driver_shows_a_job_that_goes_on(self) -> None:
        """Started twice is started once; the destination shows an incoming guest; only a right downtime limit is taken."""
        move = self._prepared()
        move.start(self.fleet.slow)
        first = self._under_way(move)
        move.start(self.fleet.slow)
        second = move.job()
        assert second.type is JobType.UNBOUNDED, second
        assert second.elapsed >= first.elapsed > 0, (first, second)
        assert second.memory_processed >= first.memory_processed, (first, second)
        assert second.memory_total > 0, second
        coming = move.there.get_info(move.uuid)
        assert (coming.incoming, coming.power_state) == (True, _P), coming
        at_home = move.here.get_info(move.uuid)
        assert (at_home.incoming, at_home.outgoing, at_home.power_state) == (False, False, _R), at_home
        for wrong in (0, -1, MOST_DOWNTIME + 1):
            refused(DriverError, partial(move.here.live_migration_downtime, move.uuid, wrong))
        for right in (1, 500, 500):
            move.here.live_migration_downtime(move.uuid, right)
        refused(NotSupported, partial(move.here.live_migration_post_copy, move.uuid))
        assert move.job().type is JobType.UNBOUNDED, "a call that was refused has ended the migration"
        self._aborted(move)

    def _aborted(self, move: _Move) -> None:
        _twice(partial(move.here.live_migration_abort, move.uuid))
        stats = self._ended(move)
        assert stats.type is JobType.CANCELLED, stats
        assert move.job() == stats, "the final statistics stay readable until the rollback"
        move.here.live_migration_abort(move.uuid)  # it has ended
        assert self.power(move.here, move.uuid) is _R
        info = listed(move.there).get(move.uuid)
        assert info is None or info.power_state is not _R, info
        self._rolled_back(move)

    @_live
    def driver_aborts_a_migration(self) -> None:
        """As soon as it has begun; the guest runs on at the source, nothing is at the destination, and it can be migrated again."""
        move = self._prepared()
        used = move.there.host_state()
        there = self.listen(move.there)
        move.start(self.fleet.slow)
        self.wait("the job to begin", lambda: move.job().type is JobType.UNBOUNDED)
        self._aborted(move)
        now = move.there.host_state()
        assert now.vcpus_used == used.vcpus_used, (used, now)
        assert now.disk_gb_used <= used.disk_gb_used, (used, now)
        assert Lifecycle.RESUMED not in there.told(move.uuid), "it never ran there"
        self._migrated(self._prepared(), self.fleet.params)

    @_live
    def driver_knows_what_does_not_migrate(self) -> None:
        """Its job is NONE, aborting it is nothing, and it has no downtime to be limited."""
        instance, here, _ = self.running()
        uuid = instance.uuid
        assert here.live_migration_job(uuid).type is JobType.NONE
        _twice(partial(here.live_migration_abort, uuid))
        refused(DriverError, partial(here.live_migration_downtime, uuid, 300))
        refused(DriverError, partial(here.live_migration_post_copy, uuid))
        nobody = str(uuid4())
        not_found(partial(here.live_migration_source, nobody))
        not_found(partial(here.live_migration_job, nobody))
        self.runs_only(here, uuid)

    @_live
    def driver_refuses_a_migration_that_cannot_be(self) -> None:
        """To the host where it is, to one that nobody knows, or of a guest that is off; each leaves it as it was."""
        instance, here, _ = self.running()
        source = here.live_migration_source(instance.uuid)
        refused(MigrationPreCheckError, partial(here.check_can_live_migrate_destination, instance, source))
        for dest in (here.host, f"no-{uuid4()}"):
            refused(DriverError, partial(here.live_migration, instance, dest, _NOTHING, self.fleet.params))
        self.runs_only(here, instance.uuid)
        assert here.live_migration_job(instance.uuid).type is JobType.NONE
        move = self._prepared(up=False)
        move.here.power_off(move.uuid)
        refused(DriverError, partial(move.start, self.fleet.params))
        self._rolled_back(move, PowerState.SHUTDOWN)

    @_live
    def driver_undoes_what_it_prepared(self) -> None:
        """Before any job, by the uuid alone: as after a crash that took all that was known of the migration."""
        instance, here, there = self.running()
        before = there.host_state()
        move = self._prepared(up=False)
        _twice(partial(there.rollback_live_migration_at_destination, instance, _NOTHING))
        _twice(partial(here.rollback_live_migration_at_source, instance, _NOTHING))
        self.runs_only(here, move.uuid)
        after = there.host_state()
        assert (after.vcpus_used, after.disk_gb_used) == (before.vcpus_used, before.disk_gb_used), (before, after)

    @_live
    def driver_never_rolls_a_guest_away(self) -> None:
        """A rollback, with or without its data, leaves a guest that is at home there, running or not, as it is."""
        instance, here, _ = self.running()
        uuid = instance.uuid
        filled = LibvirtLiveMigrateData(filename="tmp-none", block_migration=True, is_shared_instance_path=False)
        for way, state in (("unpause", _R), ("pause", _P), ("power_off", PowerState.SHUTDOWN)):
            getattr(here, way)(uuid)
            for data in (_NOTHING, filled):
                _twice(partial(here.rollback_live_migration_at_destination, instance, data))
                _twice(partial(here.rollback_live_migration_at_source, instance, data))
                self.runs_only(here, uuid, state)
        here.power_on(uuid)
        self.runs_only(here, uuid)

    # --- by capability

    @_live
    def driver_copies_disks_or_says_that_it_cannot(self) -> None:
        """supports_block_migration: what storage needs is found out; the opposite is refused, and what was copied is told."""
        instance, here, there = self.running(up=True)
        source = here.live_migration_source(instance.uuid)
        check = partial(there.check_can_live_migrate_destination, instance, source)
        if not self.able("supports_block_migration"):
            refused(NotSupported, partial(check, block_migration=True))
            self.runs_only(here, instance.uuid)
            return
        move = self._prepared()
        block = move.data.block_migration
        data = check(block_migration=not block)
        wrong = InvalidSharedStorage if block else InvalidLocalStorage
        refused(wrong, partial(here.check_can_live_migrate_source, instance, data))
        there.cleanup_live_migration_destination_check(data)
        stats = self._migrated(move, self.fleet.params)
        copied = bool(block) and bool(source.disks)
        assert (stats.disk_total > 0) == copied, stats
        assert stats.disk_remaining == 0, stats

    @_live
    def driver_switches_to_post_copy_or_says_that_it_cannot(self) -> None:
        """supports_post_copy: told once, not to be aborted, and the guest arrives whole."""
        params = evolve(self.fleet.slow, post_copy=True)
        if not self.able("supports_post_copy"):
            move = self._not_started(params)
            refused(NotSupported, partial(move.here.live_migration_post_copy, move.uuid))
            return
        move = self._prepared()
        ears = self.listen(move.here)
        self._in_post_copy(move)
        self.hear("post-copy to be told", lambda: Lifecycle.POSTCOPY_STARTED in ears.told(move.uuid))
        if move.job().type is JobType.UNBOUNDED:
            try:
                move.here.live_migration_abort(move.uuid)
            except DriverError:
                pass
            else:
                assert move.job().type is JobType.COMPLETED, "post-copy was aborted"
        assert self._arrived(move).post_copy
        assert ears.told(move.uuid).count(Lifecycle.POSTCOPY_STARTED) == 1
        assert Lifecycle.RESUMED not in ears.told(move.uuid), "it never ran on the source again"
        self.wait("the guest to run on", lambda: self.fleet.is_up(move.instance))

    @_live
    def driver_recovers_post_copy_or_says_that_it_cannot(self) -> None:
        """supports_post_copy_recovery: post-copy that lost its link goes on over a new one; else the guest runs nowhere."""
        if not self.able("supports_post_copy"):
            self._not_started(evolve(self.fleet.slow, post_copy=True))
            return
        assert self.fleet.cut_link is not None, "supports_post_copy is declared: the fleet must give cut_link"
        move = self._prepared()
        self._in_post_copy(move)
        self.wait("the guest to run at its destination", lambda: self.power(move.there, move.uuid) is _R)
        with self.fleet.cut_link():
            broken = self.wait("the loss of the link to be seen", partial(self._cut_off, move)).broken
            self._never_runs_on(move)
        if self.able("supports_post_copy_recovery"):
            assert broken, "the guest is lost"
            self.wait("post-copy to go on", partial(self._goes_on, move))
            assert self._arrived(move).post_copy
            self.wait("the guest to run on", lambda: self.fleet.is_up(move.instance))
            return
        if broken:
            refused(NotSupported, partial(move.start, evolve(self.fleet.slow, post_copy=True)))
        self._never_runs_on(move)
        for home in (move.here, move.there):
            home.destroy(move.uuid)
            _twice(partial(home.rollback_live_migration_at_source, move.instance, move.data))
            assert move.uuid not in listed(home)

    def _cut_off(self, move: _Move) -> JobStats | None:
        stats = move.job()
        assert stats.type is not JobType.COMPLETED, "the link was cut too late: make Fleet.slow slower"
        return stats if stats.broken or stats.type is JobType.FAILED else None

    def _never_runs_on(self, move: _Move) -> None:
        """What is left of it at the source is never let run, for the destination has run meanwhile."""
        left = listed(move.here).get(move.uuid)
        if left is not None:
            assert left.power_state is not _R, left
            for call in (move.here.unpause, move.here.power_on, move.here.live_migration_abort):
                refused(DriverError, partial(call, move.uuid))

    def _goes_on(self, move: _Move) -> bool:
        move.start(evolve(self.fleet.slow, post_copy=True))  # hosts that have lost each other may take a moment to meet
        return not move.job().broken

    def _in_post_copy(self, move: _Move) -> None:
        move.start(evolve(self.fleet.slow, post_copy=True))
        self._under_way(move)
        _twice(partial(move.here.live_migration_post_copy, move.uuid))
        self.wait("post-copy", lambda: move.job().post_copy)
        left = listed(move.here).get(move.uuid)
        if left is not None:
            assert (left.power_state, left.outgoing) == (_P, True), f"post-copy is told, and at the source it is {left}"
            for call in (move.here.unpause, move.here.power_on, partial(move.here.reboot, hard=True)):
                refused(DriverError, partial(call, move.uuid))

    @_live
    def driver_throttles_or_says_that_it_cannot(self) -> None:
        """supports_auto_converge: a migration that permits it comes to its end."""
        self._either("supports_auto_converge", evolve(self.fleet.params, auto_converge=True))

    @_live
    def driver_sends_in_parallel_or_says_that_it_cannot(self) -> None:
        """supports_parallel_migration: over two connections."""
        self._either("supports_parallel_migration", evolve(self.fleet.params, parallel_connections=2))

    def _either(self, name: str, params: LiveMigrationParams) -> None:
        if self.able(name):
            self._migrated(self._prepared(), params)
        else:
            self._not_started(params)

    def _not_started(self, params: LiveMigrationParams) -> _Move:
        """A migration with what is not declared is refused, and has not begun."""
        move = self._prepared()
        refused(NotSupported, partial(move.start, params))
        assert move.job().type is JobType.NONE, move.job()
        self._rolled_back(move)
        return move

    # --- what the estimator needs

    def driver_measures_or_says_that_it_cannot(self) -> None:
        """supports_measure: sane numbers of a guest that runs on, and a forecast of them."""
        instance, here, there = self.running(up=True)
        uuid, params = instance.uuid, self.fleet.params
        if not self.able("supports_measure"):
            refused(NotSupported, partial(here.measure, uuid))
            refused(NotSupported, partial(here.link, there.host, params))
            refused(NotSupported, partial(here.forecast, uuid, there.host, params))
            return
        guest = here.measure(uuid)
        size = instance.flavor.memory_mb * _MIB
        assert size <= guest.memory <= size * 1.25 + 64 * _MIB, guest
        assert 0 <= guest.zero_pages <= guest.pages, guest
        windows = [guest.curve.pages(seconds) for seconds in (0.1, 0.3, 1, 3, 10, 100)]
        assert windows == sorted(windows), windows
        assert 0 <= windows[0] <= windows[-1] <= guest.curve.page_count <= guest.pages, windows
        link = here.link(there.host, params)
        assert link.line_rate > 0, link
        here.forecast(uuid, there.host, params)
        not_found(partial(here.measure, str(uuid4())))
        self.runs_only(here, uuid)
