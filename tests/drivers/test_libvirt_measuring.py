"""How a guest is measured through libvirt: what is read, how often, and what happens where something is refused."""

from __future__ import annotations

import itertools
import json
import re
from contextlib import nullcontext
from types import SimpleNamespace

import pytest

from novastate.convergence.sources import DirtyRate
from novastate.drivers.libvirt import instruments, measuring
from novastate.drivers.libvirt.measuring import WINDOW, Measuring
from novastate.drivers.libvirt.memory_layout import ram_ranges, read_machine
from novastate.errors import DriverError, GuestNotFound, NotSupported

MIB, GIB = 1 << 20, 1 << 30
UUID = "7c9a1f0e-0000-4000-8000-000000000001"


class LibvirtError(Exception):
    def __init__(self, code):
        super().__init__(f"code {code}")
        self.code = code

    def get_error_code(self):
        return self.code

    def get_error_message(self):
        return f"code {self.code}"


class Clock:
    """Time goes on only where somebody waits, or a call takes it."""

    def __init__(self):
        self.now = 1000.0

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        assert seconds > 0
        self.now += seconds


class Domain:
    """A running guest: page n of block n // 64 is zero where n // 64 is even, else it changes every second."""

    def __init__(self, clock, *, ram=256 * MIB, state=1, machine="pc-q35-10.0", most_peek=1 << 22, look=0.003):
        self.clock, self.ram, self.state_now, self.machine = clock, ram, state, machine
        self.most_peek, self.look = most_peek, look
        self.peeks, self.commands, self.asked = [], [], []
        self.refuses = set()
        self.calc = None
        self.gone_at = float("inf")
        self.active = True
        self.why = 1
        self.too_early = 0

    def check(self, what):
        if self.clock.now >= self.gone_at:
            raise LibvirtError(42)
        if what in self.refuses:
            raise LibvirtError(3)

    def state(self):
        self.check("info")
        return [self.state_now, self.why]

    def name(self):
        return "a"

    def UUIDString(self):  # noqa: N802
        return UUID

    def isPersistent(self):  # noqa: N802
        return True

    def hasManagedSaveImage(self):  # noqa: N802
        return False

    def jobStats(self):  # noqa: N802
        return {}

    def info(self):
        self.check("info")
        return [self.state_now, self.ram >> 10, self.ram >> 10, 1, 0]

    def isActive(self):  # noqa: N802
        self.check("isActive")
        return self.active

    def XMLDesc(self, flags):  # noqa: N802
        return (
            f"<domain><memory unit='KiB'>{self.ram >> 10}</memory><os><type arch='x86_64' machine='{self.machine}'>hvm</type></os>"
            "<devices><video><model type='vga' vram='16384'/></video></devices></domain>"
        )

    def memoryPeek(self, address, size, flags):  # noqa: N802
        self.check("peek")
        self.clock.now += self.look
        if size > self.most_peek:
            raise LibvirtError(38)
        self.peeks.append((self.clock.now, address, size))
        if (address // (64 * 4096)) % 2 == 0:
            return bytes(size)
        return (b"%015d\n" % int(self.clock.now)) * (size // 16)

    def memoryStats(self):  # noqa: N802
        self.check("rss")
        return {"rss": 200 << 10}

    def rate(self):
        self.too_early -= 1
        return -1 if self.too_early >= 0 else 20

    def startDirtyRateCalc(self, seconds, flags):  # noqa: N802
        self.check("calc")
        self.asked.append(seconds)
        self.calc = self.clock.now + seconds

    def connect(self):
        return self

    def domainListGetStats(self, domains, stats, flags):  # noqa: N802
        self.check("stats")
        row = {"cpu.time": 10**12, "vcpu.current": 2, "vcpu.0.time": int(self.clock.now * 1e9), "vcpu.1.time": 0}
        if self.calc is not None:
            done = self.clock.now >= self.calc
            row |= {
                "dirtyrate.calc_status": 2 if done else 1,
                "dirtyrate.calc_period": 1,
                "dirtyrate.megabytes_per_second": self.rate(),
            }
        return [(self, row)]

    def monitor(self, text):
        self.check("monitor")
        command = json.loads(text)
        self.commands.append(command)
        if command["execute"] in self.refuses:
            return json.dumps({"error": {"class": "GenericError", "desc": "Parameter 'calc-time-unit' is unexpected"}})
        if command["execute"] == "calc-dirty-rate":
            self.calc = self.clock.now + command["arguments"]["calc-time"] / 1000
            return '{"return": {}}'
        if command["execute"] == "query-dirty-rate":
            if self.clock.now < self.calc:
                return '{"return": {"status": "measuring"}}'
            asked = [c["arguments"] for c in self.commands if c["execute"] == "calc-dirty-rate"][-1]
            return json.dumps(
                {
                    "return": {
                        "status": "measured",
                        "calc-time": asked["calc-time"],
                        "dirty-rate": self.rate(),
                        "sample-pages": asked["sample-pages"],
                    }
                }
            )
        return json.dumps({"return": RAM_BLOCKS.format(ram=self.ram)})


RAM_BLOCKS = """\
              Block Name    PSize              Offset               Used              Total                HVA  RO
                  pc.ram    4 KiB  0x0000000000000000 {ram:#018x} {ram:#018x} 0x00007f2755e00000  rw
    0000:00:01.0/vga.vram    4 KiB  0x0000000010080000 0x0000000001000000 0x0000000001000000 0x00007f27a5a00000  rw
                 pc.bios    4 KiB  0x000000000a000000 0x0000000000040000 0x0000000000040000 0x00007f27a6e00000  ro
"""


class Driver(Measuring):
    """The mixin with a fake guest in place of a connection."""

    def __init__(self, domain, *, allow_monitor=True, timeout=30.0):
        self.domain, self.allow_monitor, self.timeout, self._host = domain, allow_monitor, timeout, "a"
        self.connection = SimpleNamespace(within=nullcontext)

    def on_guest(self, what, uuid, function, *, timeout=None):
        try:
            return function(self.domain)
        except LibvirtError as error:
            raise (GuestNotFound if error.code == 42 else DriverError)(f"{what}: {error}") from error


Driver.__abstractmethods__ = frozenset()


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    fake = SimpleNamespace(
        libvirtError=LibvirtError, VIR_MEMORY_PHYSICAL=2, VIR_DOMAIN_STATS_VCPU=8, VIR_DOMAIN_STATS_CPU_TOTAL=2, VIR_DOMAIN_STATS_DIRTYRATE=256,
        VIR_DOMAIN_DIRTYRATE_MODE_PAGE_SAMPLING=0, VIR_DOMAIN_DIRTYRATE_MEASURED=2,
    )  # fmt: skip
    for module in (measuring, instruments):
        monkeypatch.setattr(module, "libvirt", fake)
        monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(
        instruments,
        "libvirt_qemu",
        SimpleNamespace(qemuMonitorCommand=lambda domain, text, flags: domain.monitor(text)),
    )
    return clock


def observed(driver):
    return driver.on_guest(
        "measuring", UUID, lambda domain: driver._observe(domain, UUID, min(WINDOW, driver.timeout / 2))
    )


def test_a_running_guest_is_measured_in_four_and_a_half_seconds(clock):
    domain = Domain(clock)
    began = clock.now
    guest = Driver(domain).measure(UUID)
    assert 3 < clock.now - began < 5
    assert guest.pages == (256 * MIB + 16 * MIB + 256 * 1024) // 4096, "RAM blocks as the monitor tells them"
    assert guest.zero_pages == pytest.approx(32768 + 4096, rel=0.05)
    assert guest.busy == pytest.approx(0.5, abs=0.02), "one of two vCPUs"


def test_what_is_visited_again_is_what_was_visited(clock):
    seen = observed(Driver(Domain(clock)))
    times: dict[int, list[float]] = {}
    for visit in seen.visits:
        times.setdefault(visit.page, []).append(visit.at)
    often = [found for found in times.values() if len(found) == 3]
    assert len(often) > 100
    assert all(found[-1] - found[0] > 2.5 for found in often)
    assert min(found[1] - found[0] for found in often) < 0.15


def test_no_address_without_ram_is_read(clock):
    domain = Domain(clock, ram=4 * GIB)
    observed(Driver(domain))
    assert any(address >= 1 << 32 for _, address, _ in domain.peeks)
    for _, address, size in domain.peeks:
        assert any(
            start <= address and address + size <= start + length
            for start, length in ram_ranges("x86_64", "q35", 4 * GIB)
        )


@pytest.mark.parametrize("ram", [128 * MIB, 64 * GIB, 512 * GIB])
def test_a_large_guest_costs_no_more_calls(clock, ram):
    domain = Domain(clock, ram=ram)
    began = clock.now
    observed(Driver(domain))
    assert clock.now - began < 5
    assert len(domain.peeks) < 1500
    assert len(domain.commands) < 100
    samples = {c["arguments"]["sample-pages"] for c in domain.commands if c["execute"] == "calc-dirty-rate"}
    assert all(128 <= n <= 16384 and n * ram / GIB <= 1 << 17 for n in samples)


def test_a_guest_too_large_for_its_layout_to_be_known_is_not_peeked_at(clock):
    domain = Domain(clock, ram=2048 * GIB)
    assert Driver(domain).measure(UUID).zero_error > 0
    assert not domain.peeks


def test_a_paused_guest_is_measured_at_once_and_writes_nothing(clock):
    domain = Domain(clock, state=3)
    began = clock.now
    guest = Driver(domain).measure(UUID)
    assert clock.now - began < 1.1
    assert guest.curve.pages(10) == 0
    assert guest.zero_pages == pytest.approx(32768 + 4096, rel=0.05)
    assert not any(command["execute"] == "calc-dirty-rate" for command in domain.commands)


@pytest.mark.parametrize("state", [0, 4, 5, 6])
def test_a_guest_that_is_off_cannot_be_measured(clock, state):
    with pytest.raises(DriverError, match="is off"):
        Driver(Domain(clock, state=state)).measure(UUID)


def test_a_guest_that_post_copy_has_taken_away_cannot_be_measured(clock):
    domain = Domain(clock, state=3)
    domain.why = 12
    with pytest.raises(DriverError, match="has gone"):
        Driver(domain).measure(UUID)
    assert not domain.peeks


def test_the_monitor_is_not_asked_where_it_is_not_allowed(clock):
    domain = Domain(clock)
    seen = observed(Driver(domain, allow_monitor=False))
    assert not domain.commands
    assert domain.asked == [1, 2], "libvirt's own call, in whole seconds"
    assert seen.rates[0] == DirtyRate(1.0, 20 * MIB, 128.0)
    assert seen.devices == 4096 + 130


@pytest.mark.parametrize("monitor", [True, False])
def test_a_rate_that_qemu_has_not_written_yet_is_asked_for_again(clock, monitor):
    domain = Domain(clock)
    domain.too_early = 2
    seen = observed(Driver(domain, allow_monitor=monitor))
    assert {row.rate for row in seen.rates} == {20 * MIB}


@pytest.mark.parametrize("refused", ["monitor", "calc-dirty-rate"])
def test_where_the_monitor_refuses_libvirt_is_asked(clock, refused):
    domain = Domain(clock)
    domain.refuses.add(refused)
    assert len(observed(Driver(domain)).rates) >= 1
    assert domain.asked == [1, 2]


def test_where_pages_cannot_be_seen_dirty_rates_and_resident_size_are_left(clock):
    domain = Domain(clock)
    domain.refuses.add("peek")
    guest = Driver(domain).measure(UUID)
    assert guest.curve.pages(1.0) > 1000
    assert guest.zero_pages == pytest.approx(65536 - 0.8 * (200 - 120) * 256 + 4096, abs=130)


def test_where_there_are_no_dirty_rates_pages_are_left(clock):
    domain = Domain(clock)
    domain.refuses |= {"monitor", "calc", "rss"}
    assert Driver(domain).measure(UUID).curve.pages(2.0) > 10000


def test_where_nothing_can_be_seen_it_is_not_supported(clock):
    domain = Domain(clock)
    domain.refuses |= {"monitor", "calc", "peek"}
    with pytest.raises(NotSupported):
        Driver(domain).measure(UUID)


def test_a_daemon_that_sends_little_at_once_is_asked_for_less(clock):
    domain = Domain(clock, most_peek=1 << 16)
    assert len(observed(Driver(domain)).visits) > 100
    assert {size for _, _, size in domain.peeks} == {1 << 16}


@pytest.mark.parametrize("after", [0.0, 0.001, 0.5, 2.0, 4.35])
def test_a_guest_that_vanishes_is_not_found(clock, after):
    domain = Domain(clock)
    domain.gone_at = clock.now + after
    with pytest.raises(GuestNotFound):
        Driver(domain).measure(UUID)


def test_a_guest_that_is_shut_down_meanwhile_is_an_error(clock):
    domain = Domain(clock)
    domain.refuses.add("peek")
    domain.active = False
    with pytest.raises(DriverError, match="code 3"):
        Driver(domain).measure(UUID)


def test_a_short_timeout_makes_a_short_measurement(clock):
    began = clock.now
    Driver(Domain(clock), timeout=2.0).measure(UUID)
    assert clock.now - began < 1.2


def test_looks_leave_pauses_between_them(clock):
    domain = Domain(clock, look=0.01)
    observed(Driver(domain))
    ends = [at for at, _, _ in domain.peeks]
    assert all(b - a >= 0.0119 for a, b in itertools.pairwise(ends))


@pytest.mark.parametrize(
    ("machine", "ram", "low"),
    [
        ("pc-i440fx-10.0", 3 * GIB, 3 * GIB), ("pc-i440fx-10.0", 3584 * MIB, 3 * GIB), ("pc", 8 * GIB, 3 * GIB),
        ("pc-q35-9.2", 2815 * MIB, 2815 * MIB), ("q35", 2816 * MIB, 2 * GIB), ("pc-q35-10.0", 8 * GIB, 2 * GIB),
    ],
)  # fmt: skip
def test_ram_ranges_hold_all_ram_but_the_video_hole(machine, ram, low):
    ranges = ram_ranges("x86_64", machine, ram)
    assert sum(size for _, size in ranges) == ram - (0x100000 - 0xA0000)
    assert ranges[1] == (0x100000, low - 0x100000)
    assert len(ranges) == (2 if low == ram else 3)


@pytest.mark.parametrize(
    ("arch", "machine", "ram"),
    [("aarch64", "virt-10.0", GIB), ("x86_64", "microvm", GIB), ("x86_64", "q35", 1 << 20), ("", "", GIB)],
)
def test_a_machine_of_which_the_layout_is_not_known_has_no_ranges(arch, machine, ram):
    assert ram_ranges(arch, machine, ram) == ()


def test_memory_modules_are_no_part_of_the_ram():
    machine = read_machine(
        "<domain><memory unit='GiB'>3</memory><memoryBacking><hugepages/></memoryBacking>"
        "<os><type arch='x86_64' machine='pc-q35-10.0'>hvm</type></os>"
        "<devices><memory model='dimm'><target><size unit='MiB'>1024</size></target></memory></devices></domain>"
    )
    assert (machine.ram, machine.plugged, machine.resident_counts) == (2 * GIB, GIB, False)
    assert machine.ranges == ((0, 0xA0000), (0x100000, 2 * GIB - 0x100000))


def test_rules_are_those_of_the_hypervisors_version():
    from novastate.drivers import LiveMigrationParams

    answers = [("QEMU", 10_000_002), ("QEMU", 10_000_002), ("QEMU", 8_002_001), ("LXC", 1)]
    connection = SimpleNamespace(
        call=lambda what, function: function(
            SimpleNamespace(getType=lambda: answers[0][0], getVersion=lambda: answers.pop(0)[1])
        )
    )
    driver = Driver(None)
    driver.connection, driver.begins = connection, []
    assert driver.rules(LiveMigrationParams()).begin == 0.305
    driver.begins = [0.9, 0.5, 0.6]
    learnt = driver.rules(LiveMigrationParams())
    assert learnt.begin == 0.6
    assert learnt.begin_error == pytest.approx(0.208, abs=0.001)
    answers.insert(0, ("QEMU", 10_000_002))
    assert re.fullmatch(r"qemu-10\.0", driver.rules(LiveMigrationParams()).name)
    rules = driver.rules(LiveMigrationParams(auto_converge=True))
    assert (rules.name, rules.auto_converge) == ("qemu-8.2", True)
    with pytest.raises(NotSupported, match="LXC"):
        driver.rules(LiveMigrationParams())


def test_what_an_unlimited_migration_has_shown_of_the_hosts_is_in_the_next_forecast():
    from novastate.convergence.hosts import first_touch_of
    from novastate.drivers import LiveMigrationParams
    from novastate.drivers.libvirt.driver import LibvirtDriver
    from novastate.drivers.libvirt.migration_job import Job, Jobs

    driver = Driver(None)
    driver.connection = SimpleNamespace(call=lambda what, function: ("QEMU", 10_000_000))
    driver.begins, driver.jobs, driver.line_rate = [], Jobs(), None
    params = LiveMigrationParams()
    assert driver.rules(params, "b").first_touch is None
    zero, sent = 1_000_000, 1.1e9
    took = sent / 1.1e9 + 0.25e-6 * zero  # zero pages take time and no bytes
    job = driver.jobs.add(Job(UUID, "b", params=params))
    job.final = {"memory_bps": sent / took, "memory_processed": sent, "memory_constant": zero, "time_elapsed": 2000}
    LibvirtDriver._learn(driver, UUID)
    assert driver.rules(params, "b").first_touch == pytest.approx(first_touch_of(1.1e9))
    assert LibvirtDriver.link(driver, "b", params).line_rate == pytest.approx(1.1e9)
    assert driver.rules(params, "c").first_touch is None
    assert driver.rules(params).first_touch is None
    # An idle guest, nearly all of whose pages are zero, says nothing: a little less than expected for each would be a line without end.
    for each in (0.2e-6, 0.24e-6, 0.25e-6, 0.3e-6):
        took = sent / 1.1e9 + each * 10 * zero
        job.final = {
            "memory_bps": sent / took,
            "memory_processed": sent,
            "memory_constant": 10 * zero,
            "time_elapsed": 4000,
        }
        LibvirtDriver._learn(driver, UUID)
        assert LibvirtDriver.link(driver, "b", params).line_rate == pytest.approx(1.1e9)
