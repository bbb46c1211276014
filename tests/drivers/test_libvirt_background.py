"""A call on a thread of its own: its error may be looked at often, and keeps nothing alive."""

from __future__ import annotations

import threading
import traceback
import weakref

import pytest

pytest.importorskip("libvirt", reason="libvirt-python is not installed: pip install 'novastate[libvirt]'")

from novastate.drivers.libvirt import Connection
from novastate.drivers.libvirt.background import Background
from novastate.drivers.libvirt.migration_job import Job
from novastate.errors import DriverError


class Held:
    """What a frame holds."""


def failing(refs):
    def below():
        held = Held()
        refs.append(weakref.ref(held))
        raise ValueError("below")

    def run():
        try:
            below()
        except ValueError as error:
            raise DriverError("above") from error

    return run


def ended(run):
    task = Background(run, "test")
    assert task.done.wait(60)
    return task


def test_looking_at_an_error_does_not_make_it_longer():
    task = ended(failing([]))
    job = Job("u", call=task)
    assert job.error is task.error
    length = len(traceback.extract_tb(task.error.__traceback__))
    for _ in range(10):
        assert job.error is task.error
    assert len(traceback.extract_tb(task.error.__traceback__)) == length


def test_nothing_that_the_frames_of_an_error_or_its_causes_held_stays():
    refs = []
    task = ended(failing(refs))
    assert [ref() for ref in refs] == [None]
    with pytest.raises(DriverError, match="above"):
        task.result()


def test_an_error_that_is_its_own_cause_ends():
    def run():
        first, second = ValueError("first"), ValueError("second")
        first.__cause__, second.__cause__ = second, first
        raise first

    assert str(ended(run).error) == "first"


def test_what_went_well_has_no_error():
    task = ended(lambda: 3)
    assert (task.error, task.result()) == (None, 3)


def test_a_background_call_that_cannot_begin_is_a_driver_error(monkeypatch):
    connection = Connection("test:///default")

    def none_left(_thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", none_left)
    with pytest.raises(DriverError, match="can't start new thread"):
        connection.background("migrating", lambda _: None)
    monkeypatch.undo()
    connection.close()
    with pytest.raises(DriverError, match="was closed"):
        connection.background("migrating", lambda _: None)
