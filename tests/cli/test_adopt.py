"""``novastate adopt``, and every command on the hosts that it took in.

The hosts are simulated ones that live in the test's own process, in real time, behind the file of a real cloud; what needs no
migration runs on libvirt's own test driver in `test_a_host_of_libvirt_itself`.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from uuid import uuid4

import pytest

from novastate.cli import adopt as cli_adopt
from novastate.cli import libvirt_hosts
from novastate.cli.cloud import open_store
from novastate.cli.libvirt_hosts import LibvirtHost
from novastate.drivers import RealClock, SimulatedCloud, SimulatedHost
from novastate.errors import DriverError, InvalidField, StaleState
from novastate.machines import TaskState
from novastate.objects import Flavor, Instance
from novastate.store import Put

LAW = "uniform wss=16MiB rate=8MiB/s"
HOSTS = ("--host", "a=qemu+ssh://a.example/system", "--host", "b=qemu+ssh://b.example/system?keyfile=/root/hidden")


@pytest.fixture
def world(cloud, monkeypatch):
    """The hosts a and b, which no file knows yet."""
    hosts = [SimulatedHost(host=name, vcpus=4, memory_mb=4096, shared_storage="pool") for name in ("a", "b")]
    world = SimulatedCloud(hosts, clock=RealClock(speed=40))
    world.made = {}

    def driver(name, host, peers, clock):
        world.made[name] = host
        return world.drivers[name]

    monkeypatch.setattr(libvirt_hosts, "_driver", driver)
    return world


@pytest.fixture
def web(world):
    return guest(world, "web", "a")


def guest(world, name, host, memory_mb=256):
    """A guest that somebody starts by hand; its uuid."""
    flavor = Flavor(vcpus=1, memory_mb=memory_mb, root_gb=1)
    instance = Instance(uuid=str(uuid4()), display_name=name, flavor=flavor, metadata={"novastate:law": LAW})
    world.drivers[host].spawn(instance)
    return instance.uuid


def row(run, name="web"):
    return next(row for row in json.loads(run("servers", "--json")[1]) if row["name"] == name)


def test_guests_are_adopted_and_every_command_acts_on_them(world, web, run):
    status, out, err = run("adopt", *HOSTS)
    assert (status, err) == (0, "")
    assert "adopted  web: active on a (power RUNNING), 1 vCPU, 256 MiB" in out
    assert [node["servers"] for node in json.loads(run("hosts", "--json")[1])] == [1, 0]

    status, out, err = run("forecast", "web", "b", "--bandwidth", "64")
    assert (status, err) == (0, "")
    assert "forecast: converges" in out
    assert json.loads(run("forecast", "web", "--json")[1])["destination"] == "b", "the best host"
    assert json.loads(run("migrations", "--json")[1]) == [], "a forecast changes nothing"

    status, out, err = run("forecast", "web", "b", "--bandwidth", "64", "--compare")
    assert (status, err) == (0, "")
    assert out.splitlines()[-1].startswith("* wait: done in ")
    found = json.loads(run("forecast", "web", "b", "--json", "--compare")[1])
    assert (found["destination"], found["compare"]["recommended"]) == ("b", "wait")

    status, out, err = run("live-migration", "web", "b", "--bandwidth", "64")
    assert (status, err) == (0, "")
    told, ended = out.splitlines()[-2:]
    assert told.startswith("forecast: ")
    assert "; it took: " in told
    assert ended == "completed: web on b"
    assert world.running(web) == ["b"]

    (line,) = json.loads(run("migrations", "--json")[1])
    assert line["forecast"]["verdict"] == "converges"
    assert line["stats"]["type"] == "completed"
    shown = json.loads(run("show", "web", "--json")[1])
    assert shown["last_migration"]["stats"] == line["stats"]
    assert "last migration" in run("show", "web")[1]

    for word, status_after in (
        ("pause", "PAUSED"),
        ("unpause", "ACTIVE"),
        ("suspend", "SUSPENDED"),
        ("resume", "ACTIVE"),
    ):
        assert run(word, "web")[0] == 0
        assert row(run)["status"] == status_after
    assert run("stop", "web", "--force")[0] == 0
    assert row(run)["power"] == "SHUTDOWN"


def test_nothing_is_done_to_a_guest_by_adopting_it(world, web, run, monkeypatch):
    asked = []
    perform = world.perform
    monkeypatch.setattr(
        world, "perform", lambda host, method, action: asked.append(method) or perform(host, method, action)
    )
    run("adopt", *HOSTS)
    world.drivers["a"].pause(web)
    asked.clear()
    run("adopt")
    assert asked
    assert set(asked) <= {"host_state", "list_guests", "get_info", "live_migration_job", "live_migration_source"}


def test_the_second_time_what_is_new_and_what_changed_is_told_line_by_line(world, web, run):
    old = guest(world, "old", "b")
    run("adopt", *HOSTS)
    guest(world, "new", "b")
    world.drivers["a"].power_off(web)
    world.drivers["b"].destroy(old)
    status, out, err = run("adopt")
    assert (status, err) == (0, "")
    lines = {line.split()[1].rstrip(":"): line for line in out.splitlines()[2:]}
    assert lines["new"].startswith("adopted ")
    assert lines["old"].startswith("gone ")
    assert lines["web"].startswith("changed ")
    assert "power was RUNNING; was active; stopped on a" in lines["web"]
    assert row(run)["status"] == "SHUTOFF"
    assert row(run, "old")["host"] == "b", "no record is ever deleted"
    report = json.loads(run("adopt", "--json")[1])
    assert {server["name"]: server["outcome"] for server in report["servers"]} == {
        "new": "known",
        "old": "gone",
        "web": "known",
    }


def test_what_was_stopped_by_its_record_and_started_by_hand_is_not_stopped_again(world, web, run):
    run("adopt", *HOSTS)
    run("stop", "web", "--force")
    world.drivers["a"].power_on(web)
    run("adopt")
    assert world.running(web) == ["a"]
    assert row(run)["status"] == "ACTIVE"


def test_two_of_one_name_are_told_apart_by_their_uuids(world, web, run):
    other = guest(world, "web", "b")
    _, out, _ = run("adopt", *HOSTS)
    assert f"web ({web})" in out
    assert f"web ({other})" in out
    status, _, err = run("show", "web")
    assert (status, "use the uuid" in err) == (2, True)
    assert run("show", other)[0] == 0


def test_a_guest_that_runs_twice_is_refused_loudly(world, web, run, monkeypatch):
    info = world.drivers["a"].get_info(web)
    methods = {
        "list_guests": lambda _: [info],
        "get_info": lambda *_: info,
        "host_state": world.drivers["b"].host_state,
    }
    twice = type("Twice", (), methods)()
    monkeypatch.setattr(libvirt_hosts, "_driver", lambda name, *_: {"a": world.drivers["a"], "b": twice}[name])
    status, out, err = run("adopt", *HOSTS)
    assert status == 1
    assert "refused  web: it is on in a and in b" in out
    assert (
        err == "novastate: web: refused: it is on in a and in b: stop all but one (or is it one host by two names?)\n"
    )
    assert json.loads(run("servers", "--json")[1]) == []


def test_a_host_that_is_silent_holds_nobody_else_up(world, web, run):
    world.fail_host("b")
    status, out, err = run("adopt", *HOSTS)
    assert (status, err.count("\n")) == (1, 1)
    assert "adopted  web" in out
    assert [node["host"] for node in json.loads(run("hosts", "--json")[1])] == ["a"]
    world.restore_host("b")
    assert run("adopt", *HOSTS)[0] == 0
    world.fail_host("a")
    status, out, _ = run("adopt")
    assert status == 1
    assert "left     web: a does not answer" in out


def test_how_hosts_are_reached_is_kept_and_can_be_changed(world, run):
    run(
        "adopt", *HOSTS, "--migrate-address", "b=10.0.0.2", "--migrate-uri", "a=qemu+tcp://a/system",
        "--line-rate", "100", "--line-rate", "b=1.5",
    )  # fmt: skip
    assert world.made == {
        "a": LibvirtHost("qemu+ssh://a.example/system", "qemu+tcp://a/system", "", 100 << 20),
        "b": LibvirtHost("qemu+ssh://b.example/system?keyfile=/root/hidden", "", "10.0.0.2", 1.5 * (1 << 20)),
    }
    run("adopt", "--host", "a=qemu+ssh://new.example/system")
    assert world.made["a"] == LibvirtHost("qemu+ssh://new.example/system", "qemu+tcp://a/system", "", 100 << 20)
    assert world.made["b"].address == "10.0.0.2"


def test_a_wrong_uri_of_a_known_host_is_kept_only_once_it_answers(world, web, run, cloud):
    run("adopt", *HOSTS)
    world.fail_host("a")
    status, _, _ = run("adopt", "--host", "a=qemu+ssh://typo.example/system", "--line-rate", "a=100")
    assert (status, world.made["a"].uri) == (1, "qemu+ssh://typo.example/system")
    world.restore_host("a")
    assert run("adopt")[0] == 0
    assert world.made["a"] == LibvirtHost("qemu+ssh://a.example/system", line_rate=100 << 20)


@pytest.fixture
def who(monkeypatch):
    """The UUIDs of the hosts."""
    who = {"a": "1-1", "b": "2-2"}
    monkeypatch.setattr(cli_adopt, "identity", lambda driver: who[driver.host])
    return who


def test_one_host_by_two_names_is_refused(world, web, run, who):
    who["b"] = "1-1"
    status, out, err = run("adopt", *HOSTS)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "a and b are one host" in err
    assert json.loads(run("servers", "--json")[1]) == []
    assert run("adopt", *HOSTS[:2])[0] == 0
    world.fail_host("a")
    status, _, err = run("adopt", *HOSTS[2:])
    assert (status, "a and b are one host" in err) == (2, True), "it is remembered of one that is silent now"


def test_a_known_name_of_another_host_is_refused_and_nothing_is_told_gone(world, web, run, who):
    run("adopt", *HOSTS)
    before = row(run)
    who["a"] = "3-3"
    world.drivers["a"].destroy(web)
    status, out, err = run("adopt", "--host", "a=qemu+ssh://other.example/system")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "another host" in err
    assert "--forget a" in err
    assert row(run) == before
    who["a"] = "1-1"
    run("adopt")
    assert world.made["a"].uri == "qemu+ssh://a.example/system"


def test_a_host_that_does_not_say_who_it_is_is_silent(world, web, run, who, monkeypatch):
    def identity(driver):
        if driver.host == "b":
            raise DriverError("no route")
        return who[driver.host]

    monkeypatch.setattr(cli_adopt, "identity", identity)
    status, out, err = run("adopt", *HOSTS)
    assert status == 1
    assert "adopted  web" in out
    assert err == "novastate: b: no route\n"


def test_the_uuid_of_a_host_is_in_its_capabilities(world):
    class Connect:
        def getCapabilities(self):  # noqa: N802  (libvirt's name)
            return "<capabilities><host><uuid>ab-c</uuid></host></capabilities>"

    driver = libvirt_hosts.LibvirtDriver("test:///default", "a")
    driver.connection = type("C", (), {"call": lambda _, what, ask: ask(Connect()), "close": lambda _: None})()
    assert libvirt_hosts.identity(driver) == "ab-c"
    Connect.getCapabilities = lambda _: "<capabilities><host/></capabilities>"
    assert libvirt_hosts.identity(driver) == ""
    assert libvirt_hosts.identity(world.drivers["a"]) == ""


def test_each_driver_is_told_how_the_others_daemons_reach_it(monkeypatch):
    made = []
    monkeypatch.setattr(libvirt_hosts, "LibvirtDriver", lambda uri, host, **more: made.append((uri, host, more)))
    hosts = {
        "a": LibvirtHost("qemu+ssh://a/system", "qemu+tcp://a/system"),
        "b": LibvirtHost("qemu+ssh://b/system", "", "10.0.0.2", 5),
    }
    libvirt_hosts.drivers_of(hosts, RealClock())
    (_, _, a), (uri, host, b) = made
    assert (uri, host, b["address"], b["line_rate"], b["peers"]) == (
        "qemu+ssh://b/system", "b", "10.0.0.2", 5, {"a": "qemu+tcp://a/system"},
    )  # fmt: skip
    assert (a["address"], a["line_rate"], a["peers"]) == (None, None, {"b": "qemu+ssh://b/system"})


def test_a_local_uri_is_nobody_elses(world, run, monkeypatch):
    """qemu:///system would lead the other host's daemon to itself."""
    _, out, _ = run("adopt", "--host", "a=qemu:///system", *HOSTS[2:])
    assert "before migrations to it, give --migrate-uri a=URI" in out
    assert "--migrate-uri b" not in out
    _, out, _ = run("adopt", "--migrate-uri", "a=qemu+ssh://a/system")
    assert "--migrate-uri" not in out
    made = []
    monkeypatch.undo()
    monkeypatch.setattr(libvirt_hosts, "LibvirtDriver", lambda _, host, **more: made.append((host, more["peers"])))
    hosts = {"a": LibvirtHost("qemu+unix:///system?socket=/x"), "b": LibvirtHost("qemu+ssh://b/system")}
    libvirt_hosts.drivers_of(hosts, RealClock())
    assert made == [("a", {"b": "qemu+ssh://b/system"}), ("b", {})]


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ([], "--host"),
        (["--host", "qemu:///system"], "NAME=VALUE"),
        (["--host", "a="], "libvirt URI"),
        (["--host", "a=system"], "libvirt URI"),
        (["--host", "=qemu:///system"], "NAME=VALUE"),
        (["--host", "a=qemu:///system", "--host", "b=qemu:///system"], "one host"),
        ([*HOSTS, "--migrate-address", "bb=1.2.3.4"], "no host 'bb'"),
        ([*HOSTS, "--line-rate", "nan"], "--line-rate"),
        ([*HOSTS, "--line-rate", "b=-1"], "--line-rate"),
        ([*HOSTS, "--line-rate", "c=5"], "no host 'c'"),
        ([*HOSTS, "--overcommit", "0"], "--overcommit"),
        ([*HOSTS, "--migrate-address", "a=qemu+ssh://b/system"], "host name or an IP address"),
        ([*HOSTS, "--forget", "c"], "no host or server 'c'"),
    ],
)
def test_wrong_use_is_one_clear_line_and_nothing_is_kept(world, run, argv, words):
    status, out, err = run("adopt", *argv)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert words in err
    assert world.made == {}


@pytest.mark.parametrize("option", ["--host", "--migrate-uri"])
def test_no_password_is_taken_or_shown(world, run, option, cloud):
    status, out, err = run("adopt", *HOSTS, option, "a=qemu+ssh://user:geheim@a.example/system?x=geheim")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "password" in err
    assert "geheim" not in err
    assert b"geheim" not in cloud.read_bytes()
    assert "hidden" not in repr(LibvirtHost("qemu+ssh://b.example/system?keyfile=/root/hidden"))
    with pytest.raises(InvalidField, match="is no URI") as caught:
        LibvirtHost("qemu+ssh://user:geheim@[::1/system")
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize("option", ["--host", "--migrate-uri", "--migrate-address"])
@pytest.mark.parametrize(
    "uri", ["qemu+ssh://u:geheim@a/system", "qemu+ssh://u:geheim@a/system?a=qemu:///x", "a=//u:geheim@a"]
)
def test_a_uri_in_the_wrong_place_is_not_shown(world, run, option, uri):
    status, out, err = run("adopt", *HOSTS, option, uri)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "geheim" not in err


SECRETS = ("qemu+ssh://u:geheim@a/system", "qemu+ssh://a/system?password=geheim", "qemu+ssh://u:geheim x@a/system")


@pytest.mark.parametrize("uri", SECRETS)
@pytest.mark.parametrize(
    "argv",
    [["adopt", "x={}"], ["adopt", "--hots", "x={}"], ["adopt", "--hots=x={}"], ["x={}"], ["--json", "{}"],
     ["adopt", "--forget", "{}"], ["reboot", "{}", "{}"], ["live-migration", "--timeout", "x={}"]],
)  # fmt: skip
def test_no_wrong_use_shows_what_a_uri_holds(world, run, argv, uri):
    run("adopt", *HOSTS)
    status, out, err = run(*(word.format(uri) for word in argv))
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "geheim" not in err


def test_a_misspelt_option_with_a_uri_is_still_told(run, cloud):
    assert run("adopt", "--hots", "x=qemu+ssh://u:geheim@a/system")[2] == (
        "novastate: unrecognized arguments: --hots …; did you mean --host or --forget or -h?\n"
    )


@pytest.mark.parametrize("option", ["--host", "--migrate-uri"])
@pytest.mark.parametrize("query", ["password=geheim", "a=1;PassWord=geheim", "a=1&p%61ssword=geheim"])
def test_no_password_is_taken_as_a_parameter(world, run, option, query, cloud):
    status, out, err = run("adopt", *HOSTS, option, f"a=qemu+tls://a.example/system?{query}")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "password" in err
    assert "geheim" not in err
    assert b"geheim" not in cloud.read_bytes()


def test_what_a_host_may_be_overcommitted_by_decides_what_moves_there(world, web, run):
    guest(world, "big", "b", memory_mb=4000)
    run("adopt", *HOSTS)
    status, _, err = run("live-migration", "web", "b")
    assert (status, "MEMORY_MB" in err) == (1, True)
    run("adopt", "--overcommit", "b=1.5")
    free = {node["host"]: node["memory_mb_free"] for node in json.loads(run("hosts", "--json")[1])}
    assert free == {"a": 4096 - 256, "b": 6144 - 4000}
    run("adopt")
    assert {node["host"]: node["memory_mb_free"] for node in json.loads(run("hosts", "--json")[1])} == free


def test_a_host_without_servers_is_forgotten(world, web, run):
    run("adopt", *HOSTS)
    status, _, err = run("adopt", "--forget", "a")
    assert (status, "has servers" in err) == (2, True)
    status, out, _ = run("adopt", "--forget", "b")
    assert (status, "known    web" in out) == (0, True)
    assert [node["host"] for node in json.loads(run("hosts", "--json")[1])] == ["a"]
    assert run("live-migration", "web", "b")[0] == 2
    assert run("adopt", *HOSTS)[0] == 0
    assert run("forecast", "web", "b")[0] == 0


def test_a_server_that_is_gone_is_forgotten_with_its_claims(world, web, run, monkeypatch):
    old = guest(world, "old", "b", memory_mb=4000)
    run("adopt", *HOSTS)
    status, out, err = run("adopt", "--forget", "web")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "a has it" in err
    world.drivers["b"].destroy(old)
    run("adopt")
    assert run("live-migration", "web", "b")[0] == 1, "there is no room"
    asked = []
    perform = world.perform
    monkeypatch.setattr(
        world, "perform", lambda host, method, action: asked.append(method) or perform(host, method, action)
    )
    status, out, err = run("adopt", "--forget", "old")
    assert (status, err) == (0, "")
    assert "gone     old: forgotten" in out
    assert set(asked) <= {"host_state", "list_guests", "get_info", "live_migration_job", "live_migration_source"}
    assert [server["name"] for server in json.loads(run("servers", "--json")[1])] == ["web"]
    assert json.loads(run("show", old, "--json")[1])["status"] == "DELETED"
    assert run("adopt", "--forget", "old")[0] == 2
    assert run("adopt", "--forget", old)[0] == 2
    assert run("live-migration", "web", "b")[0] == 0


def test_where_one_is_not_gone_none_is_forgotten(run, cloud, monkeypatch):
    world = SimulatedCloud([SimulatedHost(host=name) for name in ("a", "b", "c")], clock=RealClock(speed=40))
    monkeypatch.setattr(libvirt_hosts, "_driver", lambda name, *_: world.drivers[name])
    guest(world, "web", "a")
    old = guest(world, "old", "b")
    run("adopt", *HOSTS)
    world.drivers["b"].destroy(old)
    run("adopt", "--host", "c=qemu+ssh://c.example/system")
    status, out, err = run("adopt", "--forget", "old", "--forget", "web", "--forget", "c")
    assert (status, out, "a has it" in err) == (2, "", True)
    assert row(run, "old")["host"] == "b"
    assert [node["host"] for node in json.loads(run("hosts", "--json")[1])] == ["a", "b", "c"]


def test_a_dead_host_is_forgotten_after_its_servers(world, web, run):
    db = guest(world, "db", "b")
    run("adopt", *HOSTS)
    stuck(db, TaskState.PAUSING)
    world.fail_host("b")
    status, out, err = run("adopt", "--forget", "b")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "--forget" in err.partition(": ")[2].partition("has servers")[2]
    assert run("adopt", "--forget", "db")[0] == 1, "b is silent"
    assert [server["name"] for server in json.loads(run("servers", "--json")[1])] == ["web"]
    assert run("adopt", "--forget", "b")[0] == 0
    assert [node["host"] for node in json.loads(run("hosts", "--json")[1])] == ["a"]
    assert run("adopt")[0] == 0


def test_no_parameter_of_a_uri_is_printed(world, web, run, caplog):
    _, out, err = run("adopt", *HOSTS)
    _, more, errors = run("adopt", "--json")
    assert "hidden" not in out + err + more + errors + caplog.text
    assert "qemu+ssh://b.example/system" in more


def test_a_file_never_mixes_hosts(world, web, run, cloud):
    assert run("boot", "sim")[0] == 0
    status, out, err = run("adopt", *HOSTS)
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert "simulated hosts" in err
    assert run("delete", "sim")[0] == 0
    assert "simulated hosts" in run("adopt", *HOSTS)[2], "it was used"
    cloud.unlink()
    assert run("adopt", *HOSTS)[0] == 0
    status, _, err = run("boot", "sim")
    assert (status, err.count("\n")) == (1, 1)
    assert {row["name"] for row in json.loads(run("servers", "--json")[1])} == {"web"}


@pytest.mark.parametrize("looked", [["servers"], ["hosts"], ["show", "web"]])
def test_a_file_that_was_only_looked_at_is_taken_over(world, web, run, looked):
    run(*looked)
    status, out, err = run("adopt", *HOSTS)
    assert status == 0
    assert err.count("\n") == 1
    assert "simulated hosts, never used" in err
    assert "adopted  web" in out
    assert [node["host"] for node in json.loads(run("hosts", "--json")[1])] == ["a", "b"]
    assert run("adopt")[2] == ""
    assert run("live-migration", "web", "b")[0] == 0


def test_a_file_of_both_kinds_or_of_nonsense_is_one_clear_line(world, web, run, cloud):
    import sqlite3

    run("adopt", *HOSTS)
    with sqlite3.connect(cloud) as db:
        db.execute(
            "UPDATE novastate_documents SET body = ? WHERE name = 'libvirt-hosts'", ['{"hosts": {"a": {"uri": 5}}}']
        )
    status, _, err = run("pause", "web")
    db.close()
    assert (status, err.count("\n")) == (1, 1)
    with sqlite3.connect(cloud) as db:
        db.execute("UPDATE novastate_documents SET name = 'simulated-cloud' WHERE name = 'libvirt-hosts'")
    db.close()
    assert run("pause", "web")[0] == 1
    assert run("adopt")[0] == 1


def test_a_forecast_takes_a_recording_or_a_server_and_not_the_other_ones_options(world, web, run, tmp_path):
    run("adopt", *HOSTS)
    for argv in (["x.json", "b"], ["x.json", "--bandwidth", "5"], ["web", "b", "--from", "law"], ["web", "c"], ["wbe"]):
        status, _, err = run("forecast", *argv)
        assert (status, err.count("\n")) == (2, 1), argv
    assert run("forecast", "web", "a")[0] == 1
    run("pause", "web")
    assert run("forecast", "web", "b")[0] == 0
    run("unpause", "web")
    run("stop", "web", "--force")
    assert run("forecast", "web", "b")[0] == 1


def test_a_guest_whose_name_looks_like_a_file_is_forecast(world, run, tmp_path, monkeypatch, cloud):
    monkeypatch.chdir(tmp_path)
    status, _, err = run("forecast", "31-x.json")
    assert (status, err.count("\n"), cloud.exists()) == (2, 1, False)
    guest(world, "31-x.json", "a")
    run("adopt", *HOSTS)
    status, out, err = run("forecast", "31-x.json", "b")
    assert (status, "forecast: converges" in out) == (0, True), err
    (tmp_path / "31-x.json").write_text("{}")
    status, _, err = run("forecast", "31-x.json", "b")
    assert (status, "a recording" in err) == (2, True)


def test_a_forecast_needs_no_lock(world, web, run, cloud, monkeypatch):
    import fcntl

    run("adopt", *HOSTS)
    handle = os.open(f"{cloud}.lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        assert run("forecast", "web", "b")[0] == 0
    finally:
        os.close(handle)


def test_a_migration_may_go_over_many_connections(world, web, run, monkeypatch):
    run("adopt", *HOSTS)
    asked = []
    forecast = type(world.drivers["a"]).forecast
    monkeypatch.setattr(
        type(world.drivers["a"]),
        "forecast",
        lambda self, uuid, dest, params, **kw: asked.append(params) or forecast(self, uuid, dest, params, **kw),
    )
    run("live-migration", "web", "b", "--parallel", "4")  # which the simulated host refuses
    assert run("forecast", "web", "b", "--parallel", "3")[0] == 0
    assert [params.parallel_connections for params in asked] == [4, 3]
    for number in ("0", "256"):
        assert run("live-migration", "web", "b", "--parallel", number)[0] == 2


def test_whoever_interrupts_a_migration_can_recover_it(world, web, run, monkeypatch):
    run("adopt", *HOSTS)
    driver = world.drivers["a"]
    job = type(driver).live_migration_job

    def interrupted(self, uuid):
        monkeypatch.setattr(type(driver), "live_migration_job", job)
        raise KeyboardInterrupt

    monkeypatch.setattr(type(driver), "live_migration_job", interrupted)
    status, _, err = run("live-migration", "web", "b", "--bandwidth", "32")
    assert status == 130
    assert "recover --now" in err
    assert row(run)["task"] == "migrating"
    assert "left     web" in run("adopt")[1]
    status, out, _ = run("recover", "web", "--now")
    assert status == 0
    assert "its live migration is completed" in out
    assert (row(run)["task"], row(run)["host"], world.running(web)) == ("idle", "b", ["b"])


def test_doctor_asks_the_hosts_and_makes_no_file(world, web, run, cloud, monkeypatch):
    run("doctor")
    assert not cloud.exists()
    run("adopt", *HOSTS)
    from novastate.drivers import libvirt

    class Connection:
        def __init__(self, uri, **_):
            self.uri = uri

        def call(self, _what, function):
            if "b.example" in self.uri:
                raise DriverError("no route")
            return function(
                type(
                    "C",
                    (),
                    dict(getType=lambda _: "QEMU", getVersion=lambda _: 10000002, getLibVersion=lambda _: 11003000),
                )()
            )

        def close(self):
            pass

    monkeypatch.setattr(libvirt, "Connection", Connection)
    status, out, _ = run("doctor", "--json")
    rows = {row["part"]: row for row in json.loads(out)}
    assert status == 1, "one is silent"
    assert rows["host a"] == {
        "part": "host a",
        "state": "ok",
        "note": "QEMU 10.0.2, libvirt 11.3.0, qemu+ssh://a.example/system",
    }
    assert rows["host b"]["state"] == "silent"
    assert "hidden" not in out
    assert rows["libvirt-python"]["state"] in {"ok", "missing"}


def test_without_libvirt_python_it_says_what_to_install(cloud, tmp_path):
    (tmp_path / "libvirt.py").write_text("raise ModuleNotFoundError('no libvirt', name='libvirt')")
    done = subprocess.run(
        [sys.executable, "-m", "novastate", "adopt", "--host", "a=test:///default"],
        capture_output=True, text=True, timeout=60, check=False, env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert "pip install 'novastate[libvirt]'" in done.stderr


if importlib.util.find_spec(
    "libvirt"
):  # libvirt's own test driver is part of its library; there is nothing to run without it

    def test_a_host_of_libvirt_itself(cloud, run):
        status, out, err = run("adopt", "--host", "a=test:///default")
        assert (status, err) == (0, "")
        assert "adopted  test: active on a (power RUNNING), 2 vCPUs, 8192 MiB" in out, (
            "more than the 3072 MiB of its host"
        )
        assert "known    test" in run("adopt")[1]
        assert row(run, "test")["power"] == "RUNNING"
        (host,) = (line for line in json.loads(run("doctor", "--json")[1]) if line["part"] == "host a")
        assert host["state"] == "ok"


@pytest.mark.parametrize("option", ["--line-rate", "--overcommit"])
@pytest.mark.parametrize("end", ["", "?no_verify=1"])
def test_what_is_no_number_is_not_shown_it_may_be_a_password(world, run, option, end):
    status, out, err = run("adopt", *HOSTS, option, f"a=qemu+ssh://root:geheim@h/system{end}")
    assert (status, out) == (2, "")
    assert "…" in err
    assert "geheim" not in err


def test_one_server_whose_host_is_silent_keeps_no_other_from_recovery(world, web, run, monkeypatch):
    db = guest(world, "db", "b")
    run("adopt", *HOSTS)
    stuck(web, TaskState.PAUSING)
    stuck(db, TaskState.PAUSING)
    world.fail_host("a")
    status, out, err = run("recover", "--now", "--json")
    rows = {row["server"]: row for row in json.loads(out)}
    assert (status, set(rows)) == (1, {"db", "web"})
    assert (rows["db"]["changed"], rows["web"]["changed"]) == (True, False)
    assert rows["web"]["what"].startswith("error: ")
    assert err.startswith("novastate: web: ")
    assert run("recover", "web", "--now")[0] == 1


def test_one_server_that_cannot_be_adopted_keeps_no_other_from_it(world, web, run, monkeypatch):
    db = guest(world, "db", "b")
    adopt = cli_adopt.adopt

    def broken(uuid, found):
        if uuid == db:
            raise StaleState("instance", uuid, {"revision": 1}, {"revision": 2})
        return (yield from adopt(uuid, found))

    monkeypatch.setattr(cli_adopt, "adopt", broken)
    status, out, err = run("adopt", *HOSTS)
    assert status == 1
    assert "adopted  web" in out
    assert "failed   db: " in out
    assert err.startswith("novastate: db: failed: ")


def stuck(uuid, task):
    """Leaves a task that nobody drives."""
    with open_store(os.environ["NOVASTATE_CLOUD"]) as store:
        server = store.load(Instance, uuid)
        server.task_state = task
        store.commit(Put(server))
