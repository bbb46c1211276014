"""A connection to a libvirt daemon: deadlines, errors, threads. Daemons are stood for by libvirt's test driver, and by sockets."""

from __future__ import annotations

import gc
import socket
import subprocess
import sys
import threading
import time

import pytest

libvirt = pytest.importorskip("libvirt", reason="libvirt-python is not installed: pip install 'novastate[libvirt]'")

from libvirt_world import patiently, wait_for  # noqa: E402
from novastate.drivers.libvirt import Connection  # noqa: E402
from novastate.drivers.libvirt import connection as module  # noqa: E402
from novastate.drivers.libvirt.background import check_wanted  # noqa: E402
from novastate.drivers.libvirt.connection import MOST_CALLS, quiet, shown  # noqa: E402
from novastate.drivers.libvirt.errors import CODES, translate  # noqa: E402
from novastate.drivers.libvirt.raw_events import EventKind  # noqa: E402
from novastate.errors import DriverError, DriverTimeout, GuestNotFound, InvalidField, NotSupported  # noqa: E402

NOBODY = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def connection():
    opened = Connection("test:///default", host="alpha", timeout=60.0)
    yield opened
    opened.close()


@pytest.fixture
def silent(tmp_path):
    """The URI of a daemon that takes connections and says nothing, and the connections it took."""
    taken = []
    with socket.socket(socket.AF_UNIX) as server:
        path = tmp_path / "sock"
        server.bind(str(path))
        server.listen(16)

        def take():
            while True:
                try:
                    taken.append(server.accept()[0])
                except OSError:
                    return

        threading.Thread(target=take, daemon=True).start()
        yield f"qemu+unix:///system?socket={path}", taken
        server.shutdown(socket.SHUT_RDWR)
    for client in taken:
        client.close()


#: Seconds after which a call was held up. What it must not wait for takes longer; a machine with much to do does not.
HELD_UP = 20.0


def took(call):
    began = time.monotonic()
    with pytest.raises(DriverError) as caught:
        call()
    return caught.value, time.monotonic() - began


# --- calls


def test_a_call_returns_what_its_function_returns(connection):
    assert connection.call("looking", lambda connect: connect.getType()) == "TEST"


def test_an_error_keeps_code_domain_and_text(connection):
    with pytest.raises(GuestNotFound) as caught:
        connection.call("pausing", lambda connect: connect.lookupByUUIDString(NOBODY), uuid=NOBODY)
    error = caught.value
    assert (error.host, error.code, error.domain) == ("alpha", libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_FROM_TEST)
    assert str(error) == f"alpha: guest {NOBODY}: pausing: Domain not found"
    assert isinstance(error.__cause__, libvirt.libvirtError)


def test_what_a_hypervisor_has_no_call_for_is_not_supported(connection):
    with pytest.raises(NotSupported) as caught:
        connection.call("asking", lambda connect: connect.getMemoryStats(-1))
    assert caught.value.code == libvirt.VIR_ERR_NO_SUPPORT


def test_a_refusal_is_a_driver_error(connection):
    with pytest.raises(DriverError) as caught:
        connection.call("defining", lambda connect: connect.defineXML("<domain/>"))
    assert type(caught.value) is DriverError
    assert caught.value.code == libvirt.VIR_ERR_NO_NAME


def test_no_object_of_libvirt_outlives_its_call(connection):
    """Freed late, by the garbage collector, it would wipe out the error of whatever call fails just then in that thread."""

    def fail(connect):
        domain = connect.lookupByName("test")
        connect.lookupByUUIDString(NOBODY)
        return domain.name()

    thresholds = gc.get_threshold()
    gc.set_threshold(1)
    try:
        for _ in range(300):
            with pytest.raises(GuestNotFound):
                connection.call("looking", fail)
    finally:
        gc.set_threshold(*thresholds)
    gc.collect()
    gc.disable()
    try:
        before = domains()  # another's, which is none of this call's
        with pytest.raises(GuestNotFound) as caught:
            connection.call("looking", fail)
        assert not [found for found in domains() if all(found is not one for one in before)], caught
    finally:
        gc.enable()


def domains():
    return [found for found in gc.get_objects() if isinstance(found, libvirt.virDomain)]


def test_other_exceptions_pass(connection):
    with pytest.raises(ZeroDivisionError):
        connection.call("dividing", lambda connect: 1 / 0)


def test_libvirt_does_not_print_its_errors(connection, capfd):
    with pytest.raises(GuestNotFound):
        connection.call("looking", lambda connect: connect.lookupByUUIDString(NOBODY))
    assert capfd.readouterr() == ("", "")


def test_many_threads_may_call_at_once(connection):
    answers, threads = [], []

    def ask():
        answers.extend(connection.call("looking", lambda connect: connect.numOfDomains()) for _ in range(20))

    for _ in range(32):
        threads.append(threading.Thread(target=ask))
        threads[-1].start()
    for thread in threads:
        thread.join(60)
    assert answers == [1] * 640


# --- deadlines


def test_a_call_that_does_not_return_is_left_at_its_deadline(connection):
    gate = threading.Event()
    error, seconds = took(lambda: connection.call("sleeping", lambda _: gate.wait(60), timeout=0.2, uuid=NOBODY))
    assert isinstance(error, DriverTimeout)
    assert str(error) == f"alpha: guest {NOBODY}: sleeping: no reply in time"
    assert 0.2 <= seconds < HELD_UP
    gate.set()


def test_a_call_that_was_left_takes_no_further_step(connection):
    gate, ended, steps = threading.Event(), threading.Event(), []

    def run(connect):
        check_wanted()
        steps.append("first")
        gate.wait(60)
        try:
            check_wanted()
            steps.append("second")
        finally:
            ended.set()

    def leave(seconds):
        with pytest.raises(DriverTimeout):
            connection.call("sleeping", run, timeout=seconds)

    patiently(leave, lambda: steps)
    gate.set()
    assert ended.wait(60)
    assert steps == ["first"]
    check_wanted()  # outside of a call everything is


def test_after_a_timeout_a_connection_that_answers_is_kept(connection):
    gate = threading.Event()
    first = connection.call("looking", lambda connect: connect)
    took(lambda: connection.call("sleeping", lambda _: gate.wait(60), timeout=0.1))
    assert connection.call("looking", lambda connect: connect) is first
    gate.set()


@pytest.mark.parametrize("answers", [True, False])
def test_after_a_timeout_the_daemon_is_asked_once_before_the_next_calls(connection, monkeypatch, answers):
    """One that does not answer is connected to anew."""
    asked, gate = [], threading.Event()
    monkeypatch.setattr(module, "_answers", lambda link: asked.append(link) or answers)
    first = connection.call("looking", lambda connect: connect)
    assert asked == []
    took(lambda: connection.call("sleeping", lambda _: gate.wait(60), timeout=0.1))
    for _ in range(3):
        assert (connection.call("looking", lambda connect: connect) is first) is answers
    assert len(asked) == 1
    gate.set()


def test_calls_left_behind_are_bounded(connection, monkeypatch):
    """Others wait for a place, and their deadline counts from when they asked."""
    monkeypatch.setattr(module, "_answers", lambda link: True)  # as if the daemon did answer a probe
    gate, before, full = threading.Event(), threading.active_count(), 0
    connection.call("looking", lambda connect: connect.getType())
    for _ in range(3 * MOST_CALLS):
        error, seconds = took(lambda: connection.call("sleeping", lambda _: gate.wait(60), timeout=0.05))
        assert isinstance(error, DriverTimeout)
        assert seconds < HELD_UP
        if "have not returned" in str(error):  # one after another, each with its time, they have come to the bound
            full += 1
    assert full
    assert threading.active_count() <= before + MOST_CALLS + 2
    gate.set()
    wait_for("the places to be free again", lambda: threading.active_count() <= before + 2)
    assert connection.call("looking", lambda connect: connect.getType()) == "TEST"


def test_opening_a_silent_daemon_ends_at_the_deadline(silent):
    uri, taken = silent
    connection = Connection(uri, host="alpha", timeout=0.3)
    errors, threads = [], []
    before = threading.active_count()
    for _ in range(16):
        threads.append(threading.Thread(target=lambda: errors.append(took(lambda: connection.call("looking", id)))))
        threads[-1].start()
    for thread in threads:
        thread.join(60)
    assert len(errors) == 16
    assert all(isinstance(error, DriverTimeout) and seconds < HELD_UP for error, seconds in errors)
    wait_for("the attempt to arrive", lambda: taken)
    assert len(taken) == 1, "one attempt is shared by all"
    assert threading.active_count() <= before + 2, "one thread opens, and one runs libvirt's events"
    began = time.monotonic()
    connection.close()
    assert time.monotonic() - began < HELD_UP


def test_an_old_attempt_to_open_is_given_up_for_another(silent, monkeypatch):
    monkeypatch.setattr(module, "OPENING_LIMIT", 0.2)
    monkeypatch.setattr(module, "MOST_OPENINGS", 3)
    uri, taken = silent
    connection = Connection(uri, timeout=0.3)
    for _ in range(8):
        assert isinstance(took(lambda: connection.call("looking", id))[0], DriverTimeout)
    wait_for("all attempts to arrive", lambda: len(taken) >= 3)
    assert len(taken) == 3, "but not for ever"
    connection.close()


def test_no_interpreter_waits_for_a_silent_daemon(silent):
    uri, _ = silent
    code = f"""
from novastate.drivers.libvirt import Connection
from novastate.errors import DriverTimeout
try:
    Connection({uri!r}, timeout=0.3).call("looking", id)
except DriverTimeout:
    print("left")
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert (run.stdout, run.stderr) == ("left\n", "")


def test_an_application_may_run_the_event_loop_itself():
    code = """
import threading
import libvirt
from novastate.drivers.libvirt import Connection, own_event_loop
own_event_loop()
libvirt.virEventRegisterDefaultImpl()
def run():
    while True:
        libvirt.virEventRunDefaultImpl()
threading.Thread(target=run, name="mine", daemon=True).start()
heard = threading.Event()
connection = Connection("test:///default")
connection.on_event(lambda event: event.uuid and heard.set())
connection.call("pausing", lambda connect: connect.lookupByName("test").suspend())
print(heard.wait(30), "libvirt events" in {thread.name for thread in threading.enumerate()})
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert run.stdout == "True False\n"


def test_a_daemon_that_is_not_there_is_no_timeout(tmp_path):
    connection = Connection(f"qemu+unix:///system?socket={tmp_path}/none", host="alpha", timeout=60.0)
    error, seconds = took(lambda: connection.call("looking", id))
    assert type(error) is DriverError
    assert error.code == libvirt.VIR_ERR_SYSTEM_ERROR
    assert "No such file or directory" in error.text
    assert seconds < HELD_UP


def test_a_daemon_that_hangs_up_is_no_timeout(silent):
    uri, taken = silent
    connection = Connection(uri, timeout=60.0)
    caught = []
    thread = threading.Thread(target=lambda: caught.append(took(lambda: connection.call("looking", id))))
    thread.start()
    wait_for("the client to come", lambda: taken)
    taken[0].shutdown(socket.SHUT_RDWR)
    thread.join(60)
    assert type(caught[0][0]) is DriverError


# --- what takes long


def test_a_background_call_takes_no_place(connection):
    gate = threading.Event()
    tasks = [connection.background("sleeping", lambda _: gate.wait(60)) for _ in range(2 * MOST_CALLS)]
    assert connection.call("looking", lambda connect: connect.getType()) == "TEST"
    gate.set()
    for task in tasks:
        assert task.done.wait(60)
        assert task.result() is True


def test_a_background_call_has_a_connection_of_its_own(connection):
    task = connection.background("looking", lambda connect: connect)
    assert task.done.wait(60)
    assert task.result() is not connection.call("looking", lambda connect: connect)


def test_calls_within_one_deadline_share_it(connection):
    gate = threading.Event()

    def calls():
        with connection.within(0.5), connection.within(60.0):
            assert connection.left() <= 0.5
            connection.call("sleeping", lambda _: time.sleep(0.3), timeout=50.0)
            connection.call("sleeping", lambda _: gate.wait(60), timeout=50.0)

    error, seconds = took(calls)
    gate.set()
    assert isinstance(error, DriverTimeout)
    assert 0.5 <= seconds < HELD_UP
    assert connection.left() == connection.timeout


def test_a_background_call_tells_its_error(connection):
    task = connection.background("looking", lambda connect: connect.lookupByUUIDString(NOBODY))
    assert task.done.wait(60)
    with pytest.raises(GuestNotFound):
        task.result()


# --- events


def test_a_listener_is_told_of_the_connection_and_of_guests(connection):
    heard = []
    end = connection.on_event(heard.append)
    wait_for("the connection", lambda: [event.kind for event in heard] == [EventKind.CONNECTED])
    domain = connection.call("looking", lambda connect: connect.lookupByName("test").UUIDString())
    connection.call("pausing", lambda connect: connect.lookupByName("test").suspend())
    wait_for("the event", lambda: len(heard) == 2)
    assert (heard[1].kind, heard[1].uuid, heard[1].event) == (EventKind.LIFECYCLE, domain, 3)
    end()
    end()
    connection.call("unpausing", lambda connect: connect.lookupByName("test").resume())
    time.sleep(0.1)
    assert len(heard) == 2


def test_who_listens_later_is_told_of_the_connection_too(connection):
    connection.call("looking", lambda connect: None)
    heard = []
    connection.on_event(heard.append)
    assert [event.kind for event in heard] == [EventKind.CONNECTED]


def test_what_a_listener_raises_harms_nobody(connection, caplog):
    heard = []
    connection.on_event(lambda event: 1 / 0)
    connection.on_event(heard.append)
    wait_for("the connection", lambda: heard)
    connection.call("pausing", lambda connect: connect.lookupByName("test").suspend())
    wait_for("the event", lambda: len(heard) == 2)
    connection.call("unpausing", lambda connect: connect.lookupByName("test").resume())
    assert "ZeroDivisionError" in caplog.text


# --- the end


def test_closing_ends_everything(connection):
    connection.on_event(lambda event: None)
    gate, caught = threading.Event(), []
    connection.call("looking", lambda connect: None)
    thread = threading.Thread(
        target=lambda: caught.append(took(lambda: connection.call("waiting", lambda _: gate.wait(60))))
    )
    connection.close()
    thread.start()
    thread.join(60)
    assert "was closed" in str(caught[0][0])
    connection.close()
    wait_for("the watch to end", lambda: "libvirt watch" not in {thread.name for thread in threading.enumerate()})


# --- names and parameters


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("qemu+ssh://root@host/system", "qemu+ssh://root@host/system?no_tty=1"),
        ("qemu+ssh://host/system?keyfile=/k", "qemu+ssh://host/system?keyfile=/k&no_tty=1"),
        ("qemu+ssh://host/system?no_tty=0", "qemu+ssh://host/system?no_tty=0"),
        ("qemu:///system", "qemu:///system"),
        ("qemu+tls://host/system", "qemu+tls://host/system"),
    ],
)
def test_ssh_never_asks_for_a_password(given, used):
    assert quiet(given) == used


def test_a_uri_is_shown_without_what_may_be_secret():
    assert shown("qemu+ssh://root:secret@host:22/system?keyfile=/secret") == "qemu+ssh://host:22/system"
    assert "secret" not in repr(Connection("qemu+ssh://root:secret@host/system?keyfile=/secret"))


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({"uri": ""}, "uri"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": float("nan")}, "timeout"),
        ({"timeout": float("inf")}, "timeout"),
        ({"keepalive": (0, 3)}, "keepalive"),
    ],
)
def test_parameters_are_checked(parameters, field):
    with pytest.raises(InvalidField) as caught:
        Connection(**{"uri": "test:///default", **parameters})
    assert caught.value.field == field


class Failure:
    """A libvirtError with a code and a domain."""

    def __init__(self, code, domain=10):
        self.code, self.domain = code, domain

    def get_error_code(self):
        return self.code

    def get_error_domain(self):
        return self.domain

    def get_error_message(self):
        return "text"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        *((Failure(code), kind) for code, kind in CODES.items()),
        (Failure(libvirt.VIR_ERR_RPC), DriverTimeout),
        (Failure(libvirt.VIR_ERR_INTERNAL_ERROR, libvirt.VIR_FROM_RPC), DriverTimeout),
        (Failure(libvirt.VIR_ERR_SYSTEM_ERROR, libvirt.VIR_FROM_REMOTE), DriverTimeout),
        (Failure(libvirt.VIR_ERR_SYSTEM_ERROR, libvirt.VIR_FROM_QEMU), DriverError),
        (Failure(libvirt.VIR_ERR_INTERNAL_ERROR), DriverError),
        (Failure(libvirt.VIR_ERR_OPERATION_INVALID), DriverError),
        (Failure(None, None), DriverError),
    ],
)
def test_errors_are_mapped(error, kind):
    found = translate(error, "pausing", host="alpha", uuid=NOBODY)
    assert type(found) is kind
    assert (found.code, found.domain, found.host) == (error.code, error.domain, "alpha")
    assert found.text == f"guest {NOBODY}: pausing: text"
    assert type(translate(error, "connecting", opening=True)) is DriverError


def test_the_codes_are_those_of_libvirt():
    names = {
        libvirt.VIR_ERR_NO_DOMAIN: GuestNotFound,
        libvirt.VIR_ERR_NO_SUPPORT: NotSupported,
        libvirt.VIR_ERR_CONFIG_UNSUPPORTED: NotSupported,
        libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED: NotSupported,
        libvirt.VIR_ERR_OPERATION_UNSUPPORTED: NotSupported,
        libvirt.VIR_ERR_OPERATION_TIMEOUT: DriverTimeout,
    }
    assert dict(CODES) == names
