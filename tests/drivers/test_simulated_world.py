"""A simulated cloud under any sequence of calls: the laws hold after each, and at each moment between."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from drivers_world import MIB, UUID, make_instance
from novastate.drivers import JobType, LiveMigrationParams, SimulatedCloud, SimulatedHost, VirtualClock
from novastate.errors import NovastateError
from novastate.machines import PowerState

HOSTS = ("a", "b", "c")
hosts = st.sampled_from(HOSTS)
LAWS = ("uniform pages=2000 rate=20000 busy=1", "sequential pages=3000 rate=100000", "idle")


class Cloud(RuleBasedStateMachine):
    """One guest and three hosts; its control plane does anything, except to start a guest where it has another.

    A call is made once or twice; what the second changes beyond the first is an error.
    """

    @initialize(storage=st.sampled_from(["", "pool"]), law=st.sampled_from(LAWS), seed=st.integers(0, 9))
    def begin(self, storage, law, seed):
        specs = [SimulatedHost(host, memory_mb=100, disk_gb=4, shared_storage=storage) for host in HOSTS]
        self.cloud = SimulatedCloud(specs, VirtualClock(), seed=seed)
        self.instance = make_instance(memory_mb=16, law=law)
        self.data = {}
        self.storage = storage
        self.destroyed = False
        self.heard = {host: [] for host in HOSTS}
        for host in HOSTS:
            self.cloud.driver(host).subscribe(self.heard[host].append)
        self.cloud.driver("a").spawn(self.instance)

    def call(self, host, method, *args, twice=False, **kwargs):
        driver = self.cloud.driver(host)
        try:
            result = getattr(driver, method)(*args, **kwargs)
        except NovastateError:
            return None
        if twice:
            before, heard = self.state(), self.count()
            getattr(driver, method)(*args, **kwargs)
            assert self.state() == before, f"a second {method} changed something"
            assert self.count() == heard, f"a second {method} told of something"
        return result

    def state(self):
        kept = self.cloud.to_dict()
        kept.pop("calls")
        return kept

    def count(self):
        return sum(map(len, self.heard.values()))

    @rule(
        host=hosts,
        method=st.sampled_from(
            [
                "power_on",
                "power_off",
                "pause",
                "unpause",
                "suspend",
                "resume",
                "reboot",
                "live_migration_abort",
                "get_info",
            ]
        ),
        twice=st.booleans(),
    )
    def act(self, host, method, twice):
        self.call(host, method, UUID, twice=twice)

    @rule(host=hosts, twice=st.booleans())
    def spawn_again(self, host, twice):
        """As a control plane does that keeps the laws: only where no other host has it, or could still have it."""
        elsewhere = [d for d in self.cloud.world.of(UUID) if d.host != host]
        whole = self.cloud.complete_disks(UUID)
        here = f"shared:{self.storage}" if self.storage else f"local:{host}"
        if elsewhere or (whole and here not in whole):
            return
        if self.call(host, "spawn", self.instance, twice=twice) is not None:
            self.destroyed = False

    @rule(host=hosts, twice=st.booleans(), really=st.integers(0, 5))
    def destroy(self, host, twice, really):
        if really < 5:
            return
        whole = self.cloud.complete_disks(UUID)
        self.call(host, "destroy", UUID, twice=twice)
        self.destroyed |= bool(whole) and not self.cloud.complete_disks(UUID)

    @rule(source=hosts, dest=hosts, post_copy=st.booleans(), throttled=st.booleans(), twice=st.booleans())
    def migrate(self, source, dest, post_copy, throttled, twice):
        here = self.call(source, "live_migration_source", UUID)
        data = here and self.call(dest, "check_can_live_migrate_destination", self.instance, here, twice=twice)
        data = data and self.call(source, "check_can_live_migrate_source", self.instance, data, twice=twice)
        if not data:
            return
        self.call(dest, "cleanup_live_migration_destination_check", data, twice=twice)
        if self.call(dest, "pre_live_migration", self.instance, data, here.disks, twice=twice) is None:
            return
        self.data[source, dest] = data
        params = LiveMigrationParams(bandwidth=24 * MIB, downtime=100, post_copy=post_copy, auto_converge=throttled)
        self.call(source, "live_migration", self.instance, dest, data, params, twice=twice)

    @rule(host=hosts, downtime=st.integers(1, 2000), twice=st.booleans())
    def downtime(self, host, downtime, twice):
        self.call(host, "live_migration_downtime", UUID, downtime, twice=twice)

    @rule(host=hosts, twice=st.booleans())
    def post_copy(self, host, twice):
        self.call(host, "live_migration_post_copy", UUID, twice=twice)

    @rule(
        method=st.sampled_from(
            [
                "post_live_migration_at_source",
                "post_live_migration_at_destination",
                "rollback_live_migration_at_source",
                "rollback_live_migration_at_destination",
            ]
        ),
        pick=st.integers(0, 100),
        twice=st.booleans(),
    )
    def end(self, method, pick, twice):
        if self.data:
            source, dest = sorted(self.data)[pick % len(self.data)]
            host = source if method.endswith("source") else dest
            self.call(host, method, self.instance, self.data[source, dest], twice=twice)

    @rule(host=hosts, really=st.integers(0, 3))
    def fail(self, host, really):
        if really == 3:
            self.cloud.fail_host(host)

    @rule(host=hosts)
    def restore(self, host):
        self.cloud.restore_host(host)

    @rule(seconds=st.floats(0.001, 3), steps=st.integers(1, 8))
    def wait(self, seconds, steps):
        for _ in range(steps):
            self.cloud.clock.sleep(seconds / steps)
            self.laws()

    @rule(short=st.floats(0, 0.02))
    def wait_for_the_switch_over(self, short):
        """To the end of all that goes on, or some milliseconds before it, which is where it matters."""
        for _ in range(300):
            jobs = [job for job in self.cloud.jobs.values() if job.active and job.memory is not None]
            stops = [job.disk_at + job.memory.finished_at for job in jobs if job.memory.finished_at is not None]
            if not jobs:
                return
            now = self.cloud.clock.now()
            if stops:
                self.cloud.clock.sleep(max(0.0, min(stops) - short - now))
                self.laws()
                return
            self.cloud.clock.sleep(
                max(0.05, min(job.disk_total - job.stats(now).disk_processed for job in jobs) / 2**24)
            )
            self.laws()

    @rule()
    def die(self):
        """The process that simulates is killed, and another goes on from what was kept."""
        before = self.cloud.running(UUID)
        self.cloud = SimulatedCloud.from_dict(self.cloud.to_dict())
        for host in HOSTS:
            self.cloud.driver(host).subscribe(self.heard[host].append)
        assert len(self.cloud.running(UUID)) <= 1
        if before and not any(job.active for job in self.cloud.jobs.values()):
            assert self.cloud.running(UUID)

    @invariant()
    def laws(self):
        if not hasattr(self, "cloud"):
            return
        running = self.cloud.running(UUID)
        assert len(running) <= 1, f"L1: runs on {running}"
        assert self.cloud.violations == []
        if not self.destroyed:
            assert self.cloud.complete_disks(UUID), "L2: no complete disk is left"
        world = self.cloud.world
        homes = [d for d in world.of(UUID) if not d.incoming and d.power_state is not PowerState.NOSTATE]
        moving = [job for job in self.cloud.jobs.values() if job.active]
        assert len(homes) <= 1 + len(moving), homes
        for domain in world.of(UUID):
            if domain.incoming:
                assert any(job.dest == domain.host for job in moving), "an incoming guest that nobody sends"
        for host in HOSTS:
            if host not in world.down:
                state = self.cloud.driver(host).host_state()
                assert 0 <= state.memory_mb_used <= state.memory_mb
                assert 0 <= state.disk_gb_used <= state.disk_gb
            times = [event.at for event in self.heard[host]]
            assert times == sorted(times), "events out of order"
        for job in self.cloud.jobs.values():
            assert (job.stats(self.cloud.clock.now()).type is JobType.UNBOUNDED) == job.active


Cloud.TestCase.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestCloud = Cloud.TestCase
