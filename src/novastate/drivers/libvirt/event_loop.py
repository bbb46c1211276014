"""libvirt's event loop: one thread of the process runs it.

Rules of this file: keep-alive, the news that a connection broke, and every event of a guest come through it, so it runs before the
first connection is opened. libvirt has one loop a process: an application that runs it itself says so with `own_event_loop`.
"""

from __future__ import annotations

import logging
import threading
import time

from novastate.drivers.libvirt.binding import libvirt

__all__ = ["own_event_loop", "start_event_loop"]

logger = logging.getLogger(__name__)

_lock = threading.Lock()
_started = False


def own_event_loop() -> None:
    """Says that the application runs libvirt's event loop: none is started, and libvirt's error handler is left as it is.

    To be called before the first driver is made. The loop must be registered (``virEventRegisterImpl``, ``libvirtaio``) and run;
    without one, no lost connection is noticed and no event comes.
    """
    global _started  # noqa: PLW0603  (libvirt's loop belongs to the process, and so does this)
    with _lock:
        _started = True


def start_event_loop() -> None:
    """Starts the loop in a thread that ends with the process, unless there is one. libvirt no longer prints its errors then."""
    global _started  # noqa: PLW0603
    with _lock:
        if _started:
            return
        libvirt.registerErrorHandler(lambda _context, _error: None, None)
        libvirt.virEventRegisterDefaultImpl()
        threading.Thread(target=_run, name="libvirt events", daemon=True).start()
        _started = True


def _run() -> None:
    while True:
        try:
            libvirt.virEventRunDefaultImpl()
        except libvirt.libvirtError:  # one round failed; the next may not
            logger.exception("libvirt's event loop")
            time.sleep(1.0)
