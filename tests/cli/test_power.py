"""The power commands: what they do to a server, what they print, and what they answer to wrong use."""

from __future__ import annotations

import json

import pytest


@pytest.fixture
def web(run):
    assert run("boot", "web", "--host", "alpha", "--memory", "256")[0] == 0
    return "web"


def done(run, *argv):
    """The command, which must succeed; its server as JSON."""
    status, out, err = run(*argv, "--json")
    assert (status, err) == (0, ""), argv
    return json.loads(out)


def test_each_command_leaves_the_status_that_nova_shows(web, run):
    for argv, status, power in (
        (["pause"], "PAUSED", "PAUSED"),
        (["unpause"], "ACTIVE", "RUNNING"),
        (["suspend"], "SUSPENDED", "SUSPENDED"),
        (["resume"], "ACTIVE", "RUNNING"),
        (["stop"], "SHUTOFF", "SHUTDOWN"),
        (["start"], "ACTIVE", "RUNNING"),
        (["reboot"], "ACTIVE", "RUNNING"),
        (["stop", "--force"], "SHUTOFF", "SHUTDOWN"),
        (["reboot", "--hard"], "ACTIVE", "RUNNING"),
        (["stop", "--grace", "5"], "SHUTOFF", "SHUTDOWN"),
    ):
        row = done(run, *argv, web)
        assert (row["name"], row["status"], row["power"], row["task"]) == ("web", status, power, "idle"), argv
        listed = json.loads(run("servers", "--json")[1])
        assert listed == [row]


def test_for_people_it_prints_one_fact_a_line(web, run):
    status, out, err = run("pause", "web")
    assert (status, err) == (0, "")
    assert "status  PAUSED" in out.splitlines()


def test_a_deleted_server_is_gone_from_the_list_and_its_name_is_free(web, run):
    uuid = done(run, "show", "web")["uuid"]
    assert done(run, "delete", "web")["status"] == "DELETED"
    assert json.loads(run("servers", "--json")[1]) == []
    assert [row["servers"] for row in json.loads(run("hosts", "--json")[1])] == [0, 0, 0]
    assert json.loads(run("recover", "--json")[1]) == []
    status, _, err = run("show", "web")
    assert (status, err.count("\n")) == (2, 1)
    assert run("boot", "web")[0] == 0
    assert done(run, "show", "web")["uuid"] != uuid
    shown = done(run, "show", uuid)
    assert shown["vm_state"] == "deleted"
    assert [line["to"] for line in shown["history"] if line["field"] == "task_state"][-2:] == ["deleting", None]


def test_a_stopped_server_is_started_where_it_was_moved(web, run):
    assert run("live-migration", "web", "beta")[0] == 0
    done(run, "stop", "web")
    assert done(run, "start", "web")["host"] == "beta"


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["puase", "web"], "did you mean pause"),
        (["pause", "wbe"], "did you mean web"),
        (["stop", "web", "--forse"], "did you mean --force"),
        (["stop", "web", "--grace", "-3"], "grace"),
        (["stop", "web", "--grace", "nan"], "grace"),
        (["stop", "web", "--grace", "soon"], "--grace"),
        (["start"], "SERVER"),
    ],
)
def test_wrong_use_is_one_clear_line_and_status_2(web, run, argv, words):
    status, out, err = run(*argv)
    assert (status, out) == (2, "")
    assert err.count("\n") == 1, err
    assert words in err
    assert json.loads(run("servers", "--json")[1])[0]["status"] == "ACTIVE"


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["start", "web"], "not allowed while vm_state is active"),
        (["unpause", "web"], "allowed: paused"),
        (["resume", "web"], "allowed: suspended"),
    ],
)
def test_what_the_state_refuses_is_one_clear_line_and_status_1(web, run, argv, words):
    lines = done(run, "show", "web")["history"]
    status, out, err = run(*argv)
    assert (status, out) == (1, "")
    assert err.count("\n") == 1, err
    assert words in err
    assert done(run, "show", "web")["history"] == lines
