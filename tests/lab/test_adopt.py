"""``novastate adopt`` on real hosts: true states, nothing touched, and what is moved afterwards is moved whole."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from lab.lab import wait_for
from novastate.cli import main


@pytest.fixture
def novastate(hosts, tmp_path, monkeypatch, capfd):
    """Runs the command on a file of the test's own: status, output, errors. ``novastate.start``: in a process of its own."""
    monkeypatch.setenv("NOVASTATE_CLOUD", str(tmp_path / "cloud.sqlite"))

    def novastate(*argv):
        capfd.readouterr()
        status = main([str(word) for word in argv])
        return status, *capfd.readouterr()

    novastate.start = lambda *argv: subprocess.Popen(
        [sys.executable, "-m", "novastate", *argv], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    return novastate


@pytest.fixture
def adopt(hosts, novastate):
    """``adopt()``: what became of each guest, by name."""
    where = [word for host in hosts.hosts for word in (
        "--host", f"{host}={hosts.uri(host)}", "--migrate-uri", f"{host}={hosts.peer_uri(host)}",
        "--migrate-address", f"{host}={hosts.address(host)}",
    )]  # fmt: skip

    def adopt(*, status=0):
        done, out, err = novastate("adopt", *where, "--line-rate", "200", "--json")
        assert done == status, err
        return {server["name"]: server for server in json.loads(out)["servers"]}

    return adopt


def rows(novastate):
    return {row["name"]: row for row in json.loads(novastate("servers", "--json")[1])}


def test_guests_are_adopted_in_their_true_states_and_none_is_touched(hosts, guest, novastate, adopt):
    runs = guest("alpha", persistent=True)
    paused = guest("beta", persistent=True)
    saved = guest("alpha", persistent=True)
    off = guest("beta", persistent=True)
    hosts.virsh("beta", "suspend", paused.name)
    hosts.virsh("alpha", "managedsave", saved.name)
    hosts.virsh("beta", "destroy", off.name)
    before = {g.name: hosts.virsh(g.host, "dumpxml", g.name) for g in (runs, paused, saved, off)}
    done = adopt()
    assert {name: server["outcome"] for name, server in done.items()} == dict.fromkeys(before, "adopted")
    found = rows(novastate)
    assert {name: (row["status"], row["power"], row["host"]) for name, row in found.items()} == {
        runs.name: ("ACTIVE", "RUNNING", "alpha"),
        paused.name: ("PAUSED", "PAUSED", "beta"),
        saved.name: ("SUSPENDED", "SUSPENDED", "alpha"),
        off.name: ("SHUTOFF", "SHUTDOWN", "beta"),
    }
    assert {g.name: hosts.virsh(g.host, "dumpxml", g.name) for g in (runs, paused, saved, off)} == before
    nodes = {node["host"]: node for node in json.loads(novastate("hosts", "--json")[1])}
    assert [nodes[host]["servers"] for host in ("alpha", "beta")] == [2, 2]
    assert {server["outcome"] for server in adopt().values()} == {"known"}


def test_an_adopted_guest_is_forecast_moved_and_lives(hosts, guest, novastate, adopt, whole):
    g = guest("alpha", persistent=True, options="wss_mb=24 rate_mb=8")
    adopt()
    status, out, err = novastate("forecast", g.name, "beta", "--bandwidth", "32", "--json")
    assert status == 0, err
    assert json.loads(out)["verdict"] == "converges"
    assert rows(novastate)[g.name]["host"] == "alpha"
    status, out, err = novastate("live-migration", g.name, "beta", "--bandwidth", "32")
    assert status == 0, out + err
    assert "; it took: " in out
    assert whole(g.name) == "beta"
    for word, after in (("pause", "PAUSED"), ("unpause", "ACTIVE"), ("suspend", "SUSPENDED"), ("resume", "ACTIVE")):
        status, _, err = novastate(word, g.name)
        assert (status, rows(novastate)[g.name]["status"]) == (0, after), err
    assert whole(g.name) == "beta"


def test_a_guest_that_was_moved_or_stopped_by_hand_is_followed(hosts, guest, novastate, adopt, whole):
    moved, stopped = guest("alpha", persistent=True), guest("alpha", persistent=True)
    adopt()
    hosts.virsh(
        "alpha",
        "migrate",
        "--live",
        "--p2p",
        "--persistent",
        "--undefinesource",
        moved.name,
        hosts.peer_uri("beta"),
        timeout=360,
    )
    hosts.virsh("alpha", "destroy", stopped.name)
    done = adopt()
    assert {name: server["outcome"] for name, server in done.items()} == dict.fromkeys(done, "changed")
    assert (rows(novastate)[moved.name]["host"], rows(novastate)[stopped.name]["status"]) == ("beta", "SHUTOFF")
    assert novastate("start", stopped.name)[0] == 0
    assert novastate("live-migration", moved.name, "alpha")[0] == 0
    assert whole(moved.name) == "alpha"


def test_a_guest_that_is_being_migrated_is_left_for_the_next_time(hosts, guest, adopt, novastate):
    g = guest("alpha", persistent=True, options="wss_mb=32 rate_mb=64")
    move = ("--live", "--p2p", "--persistent", "--undefinesource", "--bandwidth", "2", g.name, hosts.peer_uri("beta"))
    by_hand = subprocess.Popen(
        ["virsh", "--quiet", "--connect", hosts.uri("alpha"), "migrate", *move], stderr=subprocess.DEVNULL
    )
    try:
        wait_for("the guest at its destination", lambda: g.uuid in hosts.virsh("beta", "list", "--all", "--uuid"), 20)
        assert adopt()[g.name]["outcome"] == "left"
        assert rows(novastate) == {}
        hosts.virsh("alpha", "domjobabort", g.name)
        by_hand.wait(180)
    finally:
        by_hand.kill()
        by_hand.wait()
    wait_for("its end there", lambda: g.uuid not in hosts.virsh("beta", "list", "--all", "--uuid"), 20)
    assert adopt()[g.name]["outcome"] == "adopted"


def test_a_guest_that_runs_on_both_hosts_is_refused_and_the_others_are_adopted(hosts, guest, adopt, novastate):
    twice, other = guest("alpha"), guest("beta")
    path = hosts.directory / f"{twice.name}.xml"
    hosts.virsh("beta", "create", str(path))
    done = adopt(status=1)
    assert {name: server["outcome"] for name, server in done.items()} == {twice.name: "refused", other.name: "adopted"}
    hosts.virsh("beta", "destroy", twice.name)
    assert adopt()[twice.name]["host"] == "alpha"


def test_a_migration_whose_command_was_killed_goes_on_and_is_recovered(hosts, guest, novastate, adopt, whole):
    g = guest("alpha", persistent=True, options="wss_mb=16 rate_mb=4")
    adopt()
    process = novastate.start("live-migration", g.name, "beta", "--bandwidth", "8")
    try:
        wait_for(
            "the migration to run",
            lambda: [row["status"] for row in json.loads(novastate("migrations", "--json")[1])] == ["running"],
            60,
        )
        wait_for("the guest at its destination", lambda: g.uuid in hosts.virsh("beta", "list", "--all", "--uuid"), 20)
    finally:
        process.kill()
        process.communicate(timeout=180)
    assert rows(novastate)[g.name]["task"] == "migrating"
    assert adopt()[g.name]["outcome"] == "left"
    status, out, err = novastate("recover", g.name, "--now")
    assert status == 0, err
    assert "\ncompleted: " in out, "what goes on is shown as it would have been"
    assert "its live migration is completed" in out
    assert (rows(novastate)[g.name]["task"], rows(novastate)[g.name]["host"]) == ("idle", "beta")
    assert whole(g.name) == "beta"


def test_a_migration_is_aborted_by_another_command(hosts, guest, novastate, adopt, whole):
    g = guest("alpha", persistent=True, options="wss_mb=32 rate_mb=64")
    adopt()
    process = novastate.start("live-migration", g.name, "beta", "--bandwidth", "4")
    try:
        wait_for("the abort to be taken", lambda: novastate("abort", g.name)[0] == 0, 60)
        out, _ = process.communicate(timeout=360)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 1
    assert out.splitlines()[-1] == f"cancelled: {g.name} on alpha"
    assert whole(g.name) == "alpha"


def test_a_host_whose_daemon_is_dead_is_said_and_nothing_of_it_is_changed(hosts, guest, novastate, adopt):
    here, there = guest("alpha"), guest("beta")
    adopt()
    hosts.kill_daemon("beta")
    done = adopt(status=1)
    assert {name: server["outcome"] for name, server in done.items()} == {here.name: "known", there.name: "left"}
    assert rows(novastate)[there.name]["power"] == "RUNNING"
    assert "silent" in novastate("doctor")[1]
