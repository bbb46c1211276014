"""A call on a thread of its own.

Rules of this file:

1. The thread is a daemon: the interpreter waits for none at its end.
2. Whoever no longer waits says so (``abandoned``), and the function, which asks before each step that changes something, takes no
   further step.
3. What an error's frames hold is let go at once.
"""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from novastate.errors import DriverTimeout

__all__ = ["Background", "check_wanted"]

T = TypeVar("T")

#: The call of this thread.
_running = threading.local()


class Background(Generic[T]):
    """A call that takes its time: `done` is set when it has ended; `result` gives what it returned, or raises what it raised."""

    def __init__(self, run: Callable[[], T], name: str, release: Callable[[], None] | None = None) -> None:
        self.done = threading.Event()
        #: Set by whoever no longer waits for it.
        self.abandoned = False
        self._run = run
        self._release = release
        self._value: T
        #: What it raised, when it is `done`; to be looked at without raising it, which would make its traceback longer each time.
        self.error: BaseException | None = None
        threading.Thread(target=self._work, name=name, daemon=True).start()

    def _work(self) -> None:
        _running.task = self
        try:
            self._value = self._run()
        except BaseException as error:  # noqa: BLE001  (it is raised where the result is asked for)
            # What the frames hold of libvirt's must go here and now: freed by the garbage collector, it would wipe out the
            # error of whatever call fails just then in that thread (virResetLastError in each virDomainFree).
            _let_go(error)
            self.error = error
        finally:
            del self._run
            if self._release is not None:
                self._release()
            self.done.set()

    def result(self) -> T:
        """What it returned; raises what it raised. To be asked when it is `done`."""
        if self.error is not None:
            raise self.error
        return self._value


def _let_go(error: BaseException) -> None:
    """Clears what the frames of an error hold, and of all that it came from."""
    seen, left = set[int](), [error]
    while left:
        one = left.pop()
        if id(one) not in seen:
            seen.add(id(one))
            traceback.clear_frames(one.__traceback__)
            left += [from_ for from_ in (one.__cause__, one.__context__) if from_ is not None]


def check_wanted() -> None:
    """To be called within a call: raises DriverTimeout if nobody waits for it any more (rule 2)."""
    task: Background[Any] | None = getattr(_running, "task", None)
    if task is not None and task.abandoned:
        raise DriverTimeout("nobody waits for this call any more")
