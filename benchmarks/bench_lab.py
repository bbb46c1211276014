"""Live accuracy: guests drawn at random, measured, forecast and migrated between two real hosts

    python benchmarks/bench_lab.py [--guests N] [--seed S] [--write]

Each guest boots in the lab (tests/lab), and goes through the flow: the driver measures it, a forecast is made, it is migrated.
Beside the forecast stands the closed form of Clark et al. (NSDI'05) on the same measurement. `--write` puts the report into RESULTS.md.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import attrs

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "tests")]

from accuracy import beside, percent, sums, verdicts  # noqa: E402
from lab.lab import Lab  # noqa: E402
from lab.needs import no_lab  # noqa: E402
from lab.watch import ready  # noqa: E402
from novastate.convergence import Comparison, Evaluation, FixedPolicy, outlook  # noqa: E402
from novastate.convergence.evaluation import closed_form  # noqa: E402
from novastate.convergence.recordings import Outcome  # noqa: E402
from novastate.drivers import JobType, LiveMigrationParams  # noqa: E402
from novastate.drivers.clock import RealClock  # noqa: E402
from novastate.drivers.libvirt.driver import LibvirtDriver  # noqa: E402
from novastate.errors import NovastateError  # noqa: E402
from novastate.flows import LiveMigrationOptions, live_migrate  # noqa: E402
from novastate.machines import PowerState, VMState  # noqa: E402
from novastate.objects import ComputeNode, Flavor, Instance, RequestSpec  # noqa: E402
from novastate.runners import LocalRunner  # noqa: E402
from novastate.scheduling import hold  # noqa: E402
from novastate.store import MemoryStore, Put  # noqa: E402
from run import keep  # noqa: E402

MIB = 1 << 20
#: What the guest's own system takes of its memory, MiB.
SYSTEM = 72
GUESTS, SEED = 20, 61803399


@attrs.frozen
class Draw:
    """One guest and how it is migrated; *timeout* in s."""

    memory_mb: int
    options: str
    params: LiveMigrationParams
    timeout: float

    @property
    def text(self) -> str:
        limits = f"{self.params.bandwidth // MIB} MiB/s, {self.params.downtime} ms"
        return f"{self.memory_mb} MiB, {self.options}; {limits}" + (
            ", auto-converge" if self.params.auto_converge else ""
        )


def draw(random_: random.Random, number: int) -> Draw:
    """Of every five guests one writes more than the link carries, and one may be throttled."""
    memory = random_.choice([96, 128, 160, 192, 224, 256])
    room = memory - SYSTEM
    written = max(2, int(room * random_.uniform(0.1, 0.6)))
    kept = int((room - written) * random_.uniform(0.0, 0.6))
    zero = int((room - written - kept) * random_.uniform(0.0, 0.8))
    pattern = random_.choice(["uniform", "hotcold", "zipf"])
    rate, bandwidth = int(2 ** random_.uniform(1, 5.3)), random_.choice([16, 24, 32, 48, 64, 96])
    downtime = random_.choice([50, 100, 200, 300, 500])
    throttled = number % 5 == 3
    if number % 5 == 4:
        written, rate, bandwidth = max(written, 16), int(bandwidth * random_.uniform(0.8, 2.0)), min(bandwidth, 32)
        rate, downtime = min(rate, 90), min(downtime, 200)
    options = f"wss_mb={written} rate_mb={rate} pattern={pattern} ro_mb={kept} zero_mb={zero}"
    if throttled:
        options += " cpu=1"
    params = LiveMigrationParams(bandwidth=bandwidth * MIB, downtime=downtime, auto_converge=throttled)
    return Draw(memory, options, params, 30.0 if throttled else 15.0 if number % 5 == 4 else 25.0)


class Bench:
    """The lab, a store, and what the flows told of the last migration."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.drivers = {
            host: LibvirtDriver(lab.uri(host), host, address=lab.address(host), peers=lab.peers, define=lab.define)
            for host in lab.hosts
        }
        self.store = MemoryStore()
        self.forecast = self.final = self.reason = None
        self.seen = []
        self.runner = LocalRunner(self.store, self.drivers, RealClock(), (self.listen,))
        for host, driver in self.drivers.items():
            state = driver.host_state()
            self.store.commit(
                Put(
                    ComputeNode(
                        host=host,
                        vcpus=64,
                        memory_mb=state.memory_mb,
                        local_gb=1000,
                        hypervisor_type=state.hypervisor_type,
                    )
                )
            )

    def listen(self, event, payload):
        if event == "live_migration.forecast":
            self.forecast, self.reason, self.seen = payload["forecast"], payload.get("reason"), []
        elif event == "live_migration.progress":
            self.seen.append(payload["stats"])
        elif event == "live_migration.stats":
            self.final = payload["stats"]

    def migrate(self, number: int, guest: Draw) -> Comparison:
        name, uuid = f"bench-{number}", str(uuid4())
        path = self.lab.directory / f"{name}.xml"
        path.write_text(self.lab.domain_xml(name, uuid, guest.memory_mb, guest.options))
        self.lab.virsh("alpha", "create", str(path))
        ready(self.lab, "alpha", name)
        time.sleep(1.0)
        flavor = Flavor(id=number, flavorid=str(number), name=name, vcpus=1, memory_mb=guest.memory_mb, root_gb=0)
        instance = Instance(
            uuid=uuid, display_name=name, flavor=flavor, memory_mb=guest.memory_mb, vcpus=1, host="alpha", node="alpha",
            vm_state=VMState.ACTIVE, power_state=PowerState.RUNNING, launched_at=datetime.now(UTC),
        )  # fmt: skip
        spec, node = RequestSpec(instance_uuid=uuid, flavor=flavor), self.store.load(ComputeNode, "alpha")
        self.store.commit(Put(instance), Put(spec), Put(node), Put(hold(node, uuid, spec)))
        self.forecast = self.final = None
        options = LiveMigrationOptions(params=guest.params, policy=FixedPolicy(timeout=guest.timeout), poll=0.25)
        self.runner.run(live_migrate(uuid, "beta", options=options))
        if self.forecast is None:
            raise NovastateError(f"{name}: no forecast: {self.reason}")
        final = self.final
        done = final is not None and final.type is JobType.COMPLETED
        outcome = Outcome(
            done, final.elapsed if done else None, final.downtime if done else None,
            float(final.memory_processed) if done else None, self.besides(final) if done else None,
        )  # fmt: skip
        return Comparison(name, not guest.params.auto_converge, self.forecast, outcome, closed_form(self.forecast))

    @staticmethod
    def besides(final):
        """What the daemons took: QEMU's own time is the bytes by their rate (migration.c: migration_calculate_complete)."""
        return final.elapsed - final.memory_processed / final.memory_bps if final.memory_bps else None

    def eta_errors(self) -> list[float]:
        """Of each look at the job: how far the ETA was off, as a share of the whole."""
        if self.final is None or self.final.type is not JobType.COMPLETED:
            return []
        total = self.final.elapsed
        told = [(stats.elapsed, outlook(self.forecast, stats)) for stats in self.seen if stats.iteration]
        return [1.0 if ahead.eta is None else abs(ahead.eta - (total - at)) / total for at, ahead in told]

    def clear(self) -> None:
        self.lab.reset()

    def close(self) -> None:
        for driver in self.drivers.values():
            driver.close()


def row(guest: Draw, found: Comparison) -> str:
    """One guest as a line of the table."""
    expected, actual = found.forecast, found.outcome
    low, high = expected.total_interval or (None, None)
    verdict = expected.verdict.value + ("" if found.right else " (wrong)") + ("" if found.decided else " (undecided)")

    def number(value: float | None, form: str, unit: float = 1.0) -> str:
        return "" if value is None else format(value * unit, form)

    cells = [
        guest.text, "completed" if actual.completed else "aborted", verdict, number(expected.probability, ".2f"),
        number(expected.total, ".2f"), "" if low is None else f"{low:.1f} to {high:.1f}", number(actual.total, ".2f"),
        percent(found.total_error, signed=True), percent(found.bytes_error, signed=True), number(expected.downtime, ".0f", 1000),
        number(actual.downtime, ".0f", 1000), {True: "yes", False: "no", None: ""}[found.covered],
        number(found.textbook, ".1f") or "never", percent(found.textbook_error, signed=True),
    ]  # fmt: skip
    return "| " + " | ".join(cells) + " |"


HEAD = (
    "| guest | happened | forecast | probability | total s | 90 % | actual s | error % | bytes % | pause ms | actual ms "
    "| in interval | textbook s | textbook % |\n|---|---|---|--:|--:|---|--:|--:|--:|--:|--:|---|--:|--:|"
)


def run(guests: int, seed: int) -> str:
    """The report."""
    random_ = random.Random(seed)
    drawn = [draw(random_, number) for number in range(guests)]
    lines, found, etas, failed = [HEAD], [], [], []
    lab = Lab.up()
    try:
        bench = Bench(lab)
        for number, guest in enumerate(drawn):
            print(f"{number + 1}/{guests}: {guest.text}", flush=True)
            try:
                found.append(bench.migrate(number, guest))
            except (NovastateError, RuntimeError, AssertionError) as error:
                failed.append(f"{guest.text}: {error}")
                print(f"  failed: {error}", flush=True)
            else:
                etas += bench.eta_errors()
                lines.append(row(guest, found[-1]))
                print(lines[-1], flush=True)
            bench.clear()
        bench.close()
    finally:
        lab.down()
    result = Evaluation("host", tuple(found))
    lines = [f"Seed {seed}, {guests} guests; `never`: the textbook's ratio is 1 or more.\n", *lines]
    if found:
        lines += ["", *sums(result), "", *beside(result), "", *verdicts(result)]
    if etas:
        lines.append(f"\nETA while it ran, off by (share of the whole, {len(etas)} looks): median {100 * statistics.median(etas):.1f} %, "
                     f"p90 {100 * sorted(etas)[int(0.9 * (len(etas) - 1))]:.1f} %.")  # fmt: skip
    lines += [f"\nFailed: {text}" for text in failed]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--guests", type=int, default=GUESTS)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--write", action="store_true", help="put the report of a whole run into RESULTS.md")
    args = parser.parse_args()
    if reason := no_lab():
        print(f"the lab cannot run: {reason}", file=sys.stderr)
        return 1
    report = run(args.guests, args.seed)
    print(report)
    if args.write and args.guests >= GUESTS:  # a part of the figures is printed, not kept
        keep(Path(__file__), report)
    return 1 if "Failed:" in report else 0


if __name__ == "__main__":
    sys.exit(main())
