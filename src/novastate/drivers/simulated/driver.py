"""The driver of one simulated host: the rules of :class:`~novastate.drivers.ComputeDriver`, on a simulated world."""
# ruff: noqa: D102  (the abstract driver says what each method does)

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from attrs import evolve

from novastate.convergence.simulation.laws import PAGE
from novastate.drivers.base import LifecycleEvent, LiveMigrationParams
from novastate.drivers.simulated.calls import driver_call
from novastate.drivers.simulated.guests import Guests
from novastate.drivers.simulated.migrating import Migrating
from novastate.drivers.simulated.world import pages_of

if TYPE_CHECKING:
    from novastate.convergence import Guest, Link, Rules

__all__ = ["SimulatedDriver"]


class SimulatedDriver(Guests, Migrating):
    """The hypervisor of *host* in *cloud*; made by :class:`SimulatedCloud` alone.

    A block migration copies what is allocated of the local disk, once, before memory: 1 GiB at most of a disk of any size,
    unless the instance's metadata ``novastate:disk_used_gb`` says how many GiB. :meth:`live_migration_source` tells the bytes
    beforehand, ``JobStats.disk_total`` while it goes on and afterwards. A guest shuts down as soon as it is asked to; a fault of
    kind ``ignore`` makes it deaf to that.
    """

    capabilities = {  # noqa: RUF012  (the base declares it a ClassVar)
        "supports_live_migration": True,
        "supports_block_migration": True,
        "supports_post_copy": True,
        "supports_auto_converge": True,
        "supports_measure": True,
        "supports_parallel_migration": False,
        "supports_post_copy_recovery": False,
    }

    def subscribe(self, listener: Callable[[LifecycleEvent], None]) -> Callable[[], None]:
        return self.cloud.subscribe(self.host, listener)

    # --- what the estimator needs

    @driver_call
    def measure(self, now: float, uuid: str) -> Guest:
        from novastate.convergence import Guest  # noqa: PLC0415  (a control plane need not estimate)

        del now
        domain = self.world.resident(self.host, uuid)
        memory = self.cloud.memory(uuid)
        pages = pages_of(domain.memory_mb)
        return Guest(
            memory=pages * PAGE,
            zero_pages=memory.zero(pages),
            page_size=PAGE,
            curve=memory.law.curve(pages),
            busy=max(0.01, memory.law.busy),
        )

    @driver_call
    def link(self, now: float, dest: str, params: LiveMigrationParams) -> Link:
        from novastate.convergence import Link  # noqa: PLC0415  (a control plane need not estimate)

        del now
        self.store_of(dest)
        limit, line_rate = self.cloud.path(self.host, dest, params)
        return Link(limit=limit, line_rate=line_rate)

    def rules(self, params: LiveMigrationParams, dest: str | None = None) -> Rules:
        """Those of QEMU 10.0, and what its hosts let through, which is known of them."""
        from novastate.convergence.hosts import FIRST_TOUCH  # noqa: PLC0415  (a control plane need not estimate)

        return evolve(super().rules(params, dest), first_touch=FIRST_TOUCH)
