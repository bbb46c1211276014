"""What every driver must do: each rule of :mod:`novastate.drivers.base` as a check over any fleet of drivers.

    def fleet() -> Fleet: ...                   # two hosts of your driver, and what it takes to use them
    DriverConformance(fleet()).run()            # all checks, the first that fails raises
    check_driver(fleet())                       # all checks, and what failed

    @pytest.mark.parametrize("name", DriverConformance.names())
    def test_my_driver_conforms(name, kit):     # or one test a rule, on a DriverConformance that the tests share
        kit.check(name)

Rules of this file:

1. Plain functions and assertions, no test framework: a driver is checked where its author's tests run.
2. A check is a sentence about drivers, and uses nothing but the abstract driver.
3. Nothing is skipped: what a driver does not declare it must refuse with NotSupported, changing nothing, and that is checked.
"""

from __future__ import annotations

from novastate.testing.driver_life import LifeChecks
from novastate.testing.driver_migration import MigrationChecks
from novastate.testing.fleet import Fleet

__all__ = ["DriverConformance", "check_driver"]


class DriverConformance(MigrationChecks, LifeChecks):
    """The checks over *fleet*. They may share one guest, and can be run in any order, and again."""

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """The names of the checks, in the order of their writing."""
        return tuple(dict.fromkeys(n for c in reversed(cls.__mro__) for n in vars(c) if n.startswith("driver_")))

    def check(self, name: str) -> None:
        """Runs one check; it leaves nothing but the guest that checks share, and where it fails, not that."""
        try:
            self.begin()
            getattr(self, name)()
            self.end()
        except BaseException:
            self.clear()
            raise

    def run(self) -> None:
        """Runs all checks, and removes the shared guest."""
        for name in self.names():
            self.check(name)
        self.clear()


def check_driver(fleet: Fleet) -> list[tuple[str, BaseException]]:
    """Runs every check, whatever failed before; gives what failed: the check's name, and its error. Empty is right."""
    kit = DriverConformance(fleet)
    failed = list[tuple[str, BaseException]]()
    for name in kit.names():
        try:
            kit.check(name)
        except Exception as error:  # noqa: BLE001  (whatever a driver raises, it is the answer)
            failed.append((name, error))
    kit.clear()
    return failed
