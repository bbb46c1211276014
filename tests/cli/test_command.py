"""The command: what it says, what it does, and what it answers to wrong use."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from novastate.cli.machine import MACHINES

LAW = "uniform wss=16MiB rate=8MiB/s"


@pytest.fixture
def web(cloud, run):
    status, _, err = run("boot", "web", "--host", "alpha", "--memory", "256", "--writes", LAW)
    assert (status, err) == (0, "")
    return "web"


def test_a_new_cloud_has_three_hosts(cloud, run):
    status, out, err = run("hosts", "--json")
    assert (status, err) == (0, "")
    assert [row["host"] for row in json.loads(out)] == ["alpha", "beta", "gamma"]
    assert cloud.exists()


def test_a_cloud_whose_maker_died_is_made_whole_by_the_next(cloud, run, monkeypatch):
    from novastate.store import SqlStore

    def died(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(SqlStore, "put_document", died)
    assert run("hosts")[0] == 130
    monkeypatch.undo()
    monkeypatch.setenv("NOVASTATE_CLOUD", str(cloud))
    status, out, err = run("hosts", "--json")
    assert (status, err) == (0, "")
    assert [row["host"] for row in json.loads(out)] == ["alpha", "beta", "gamma"]


def test_a_server_is_booted_shown_and_moved(web, run):
    _, out, _ = run("servers", "--json")
    (row,) = json.loads(out)
    assert (row["name"], row["status"], row["host"], row["power"]) == ("web", "ACTIVE", "alpha", "RUNNING")

    status, out, err = run("live-migration", "web", "beta", "--bandwidth", "64")
    assert (status, err) == (0, "")
    assert "forecast: converges" in out
    assert out.splitlines()[-1] == "completed: web on beta"

    _, out, _ = run("show", "web", "--json")
    shown = json.loads(out)
    assert shown["host"] == "beta"
    steps = [line["to"] for line in shown["history"] if line["field"] == "status"]
    assert steps == ["accepted", "queued", "preparing", "running", "completed"]

    _, out, _ = run("migrations", "web", "--json")
    (row,) = json.loads(out)
    assert (row["status"], row["source"], row["destination"]) == ("completed", "alpha", "beta")


def test_a_server_may_be_like_a_recorded_one(cloud, run):
    recording = Path(__file__).parents[2] / "examples" / "recordings" / "31-zipf-r128.json"
    status, _, err = run("boot", "web", "--host", "alpha", "--like", str(recording))
    assert (status, err) == (0, "")
    assert json.loads(run("show", "web", "--json")[1])["memory_mb"] == 384
    status, _, err = run("boot", "other", "--like", str(recording.with_name("218-memcached-w90-b100.json")))
    assert (status, err.count("\n")) == (2, 1)
    assert "write law" in err


def test_json_of_a_migration_is_one_object(web, run):
    status, out, _ = run("live-migration", "web", "beta", "--json")
    report = json.loads(out)
    assert (status, report["status"], report["forecast"]["verdict"]) == (0, "completed", "converges")


def test_block_migration_is_refused_on_shared_storage_and_nothing_moves(web, run):
    status, _, err = run("live-migration", "--block-migrate", "web", "beta")
    assert status == 1
    assert err.count("\n") == 1
    _, out, _ = run("servers", "--json")
    assert json.loads(out)[0]["host"] == "alpha"
    _, out, _ = run("hosts", "--json")
    assert [row["servers"] for row in json.loads(out)] == [1, 0, 0]


def test_block_migration_copies_local_disks(web, run):
    status, out, _ = run("live-migration", "--block-migrate", "web", "gamma")
    assert status == 0, out


def test_a_failed_migration_is_status_1(cloud, run):
    run("boot", "busy", "--host", "alpha", "--writes", "uniform wss=128MiB rate=900MiB/s")
    status, out, _ = run("live-migration", "busy", "beta", "--bandwidth", "32", "--timeout", "5")
    assert status == 1
    assert "forecast: " in out
    assert out.splitlines()[-1] == "cancelled: busy on alpha"


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["servrs"], "did you mean servers"),
        (["show", "wbe"], "did you mean web"),
        (["live-migration", "web", "betta"], "did you mean beta"),
        (["live-migration", "wep"], "did you mean web"),
        (["boot", "x", "--host", "gama"], "did you mean gamma"),
        (["boot", "x", "--writes", "unifrom wss=1MiB rate=1MiB/s"], "unifrom"),
        (["boot", "x", "--memory", "-5"], "memory"),
        (["boot", "x", "--memory", "much"], "--memory"),
        (["live-migration", "web", "--downtime", "5"], "downtime"),
        (["live-migration", "web", "--bandwidth", "nan"], "bandwidth"),
        (["live-migration", "web", "--bandwidth", "-1"], "bandwidth"),
        (["machine", "vmm"], "did you mean vm"),
        (["machine", "vm", "--format", "merm"], "mermaid"),
        (["forecast", "/no/such/file.json"], "/no/such/file.json"),
        (["--"], "required: COMMAND; try 'novastate --help'"),
        (["boot"], "required: NAME; try 'novastate boot --help'"),
    ],
)
def test_wrong_use_is_one_clear_line_and_status_2(web, run, argv, words):
    status, out, err = run(*argv)
    assert status == 2
    assert out == ""
    assert err.count("\n") == 1, err
    assert words in err
    _, out, _ = run("servers", "--json")
    assert [row["name"] for row in json.loads(out)] == ["web"]


def test_without_a_word_the_help_is_shown_and_it_is_wrong_use(run):
    status, out, err = run()
    assert (status, out) == (2, "")
    assert err.startswith("usage: novastate ")
    assert "live-migration" in err


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["live-migration", "web", "alpha"], "own host"),
        (["abort", "web"], "not allowed while task_state is idle"),
        (["boot", "web"], "exists already"),
        (["boot", "huge", "--memory", "999999"], "no valid host"),
    ],
)
def test_a_refused_operation_is_one_clear_line_and_status_1(web, run, argv, words):
    status, _, err = run(*argv)
    assert status == 1
    assert err.count("\n") == 1, err
    assert words in err


def test_a_corrupt_file_is_left_as_it_is(cloud, run):
    cloud.write_bytes(b"this is no database" * 100)
    status, _, err = run("servers")
    assert (status, err.count("\n")) == (1, 1)
    assert cloud.read_bytes() == b"this is no database" * 100


def test_a_file_of_a_newer_version_is_left_as_it_is(web, cloud, run):
    with sqlite3.connect(cloud) as db:
        db.execute("UPDATE novastate_meta SET value = '999' WHERE name = 'schema'")
    db.close()
    before = cloud.read_bytes()
    status, _, err = run("servers")
    assert (status, err.count("\n")) == (1, 1)
    assert "newer" in err
    assert cloud.read_bytes() == before


def test_a_directory_that_is_not_there_is_said(monkeypatch, run):
    status, _, err = run("servers", "--cloud", "/no/such/directory/cloud.sqlite")
    assert (status, err.count("\n")) == (1, 1)


def test_two_processes_do_not_act_on_one_cloud_at_once(web, cloud, run, monkeypatch):
    import fcntl

    from novastate.cli import cloud as module

    monkeypatch.setattr(module, "_LOCK_WAIT", 0.0)
    handle = os.open(f"{cloud}.lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        status, _, err = run("boot", "other")
        assert status == 1
        assert "another novastate process" in err
        assert run("servers")[0] == 0, "looking needs no lock"
    finally:
        os.close(handle)
    assert run("boot", "other")[0] == 0


@pytest.mark.parametrize("kind", ["mermaid", "dot", "table"])
@pytest.mark.parametrize("name", MACHINES)
def test_every_machine_prints_in_every_format(run, name, kind):
    status, out, _ = run("machine", name, "--format", kind)
    assert status == 0
    for row in MACHINES[name].rows:
        assert row.trigger in out


def test_the_names_of_machines_are_those_of_the_issue():
    assert {"vm", "task", "power", "live-migration"} <= set(MACHINES)


def test_doctor_says_which_variant_runs(run):
    status, out, _ = run("doctor", "--json")
    rows = {row["part"]: row for row in json.loads(out)}
    assert status == 0
    assert rows["novastate"]["state"] == "ok"
    expected = "pure Python" if os.environ.get("NOVASTATE_NATIVE") == "off" else "compiled"
    assert rows["kernels"]["note"].startswith(expected)


def test_output_into_a_closed_pipe_is_no_error(web):
    script = f"{sys.executable} -m novastate servers | true"
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr == ""


def test_a_migration_in_real_time_is_aborted_by_another_process(web, run, cloud):
    """The other process only leaves a request; the one that drives the migration acts on it."""
    migration = subprocess.Popen(
        [sys.executable, "-m", "novastate", "live-migration", "web", "beta", "--real-time", "--bandwidth", "16"],
        stdout=subprocess.PIPE,
        text=True,
    )
    watchdog = threading.Timer(300, migration.kill)
    watchdog.start()
    try:
        while run("abort", "web")[0] != 0:
            assert migration.poll() is None, "it ended before it could be aborted"
        out, _ = migration.communicate()
    finally:
        watchdog.cancel()
    assert migration.returncode == 1
    assert out.splitlines()[-1] == "cancelled: web on alpha"


def test_a_killed_process_is_recovered_from(web, run, cloud):
    migration = subprocess.Popen(
        [sys.executable, "-m", "novastate", "live-migration", "web", "beta", "--real-time", "--bandwidth", "16"],
        stdout=subprocess.DEVNULL,
    )
    watchdog = threading.Timer(300, migration.kill)
    watchdog.start()
    try:
        while json.loads(run("servers", "--json")[1])[0]["task"] != "migrating":
            assert migration.poll() is None
    finally:
        watchdog.cancel()
    migration.kill()
    migration.wait()
    status, out, _ = run("recover", "web", "--now", "--json")
    assert status == 0
    assert json.loads(out)[0]["changed"]
    row = json.loads(run("servers", "--json")[1])[0]
    assert (row["status"], row["task"], row["host"]) == ("ACTIVE", "idle", "alpha")
    assert run("live-migration", "web", "beta")[0] == 0


def test_the_demo_runs_its_whole_story(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, out, err = run("demo", "--json")
    story = json.loads(out)
    assert (status, err) == (0, "")
    assert story["migration"]["status"] == "completed"
    assert story["server"]["host"] == story["migration"]["destination"]
    total = {name: story["comparison"][name]["total_s"] for name in ("forecast", "simulation", "recorded")}
    assert abs(total["forecast"] - total["recorded"]) / total["recorded"] < 0.1
    assert abs(total["simulation"] - total["recorded"]) / total["recorded"] < 0.1
    assert list(tmp_path.iterdir()) == [], "the demo leaves nothing behind"


def test_every_command_is_found_by_its_module():
    """The table of modules names exactly the commands that the modules register."""
    from novastate.cli import _MODULES, _parser

    every = {word for action in _parser([])._actions if action.dest == "command" for word in action.choices}
    assert every == {word for words in _MODULES.values() for word in words}
    for words in _MODULES.values():
        for word in words:
            assert word in next(action.choices for action in _parser([word])._actions if action.dest == "command")


def test_a_light_command_loads_neither_numpy_nor_sqlalchemy():
    script = "import sys; from novastate.cli import main; main(['machine', 'vm']); print({'numpy', 'sqlalchemy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines()[-1] == "set()"


def novastate(*argv, stdout=subprocess.PIPE, **env):
    return subprocess.run(
        [sys.executable, "-m", "novastate", *argv],
        stdout=stdout, stderr=subprocess.PIPE, text=True, timeout=60, check=False, env={**os.environ, **env},
    )  # fmt: skip


#: The command, held up until nobody reads any more: before it begins, or when it has shown its forecast.
READ_NO_MORE = """
import select, sys
from novastate.cli import main, progress

def wait():
    gone = select.poll()
    gone.register(1, 0)
    assert gone.poll(60_000), "somebody reads still"

if sys.argv.pop(1) == "before":
    wait()
forecast = progress.Progress._forecast
progress.Progress._forecast = lambda *args: (forecast(*args), wait())
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_a_reader_that_goes_away_leaves_nothing_half_done(cloud, run, when):
    """The migration goes on to its end all the same."""
    run("boot", "web", "--memory", "2048", "--host", "alpha", "--writes", LAW)
    command = [sys.executable, "-c", READ_NO_MORE, when, "live-migration", "web", "beta", "--bandwidth", "50"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        if when == "meanwhile":
            assert process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 141
    server = json.loads(run("servers", "--json")[1])[0]
    began = [row["status"] for row in json.loads(run("migrations", "--json")[1])]
    assert (server["task"], server["host"], began) == ("idle", "beta", ["completed"])


def test_times_of_a_migration_in_real_time_are_those_of_the_wall_clock(web, run):
    import datetime as dt

    before = dt.datetime.now(dt.UTC)
    status, _, _ = run("live-migration", "web", "beta", "--real-time")
    started = dt.datetime.fromisoformat(json.loads(run("migrations", "--json")[1])[0]["started"])
    assert status == 0
    assert abs((started - before).total_seconds()) < 60


def test_a_forecast_policy_may_ask_for_a_pause_that_nova_refuses(web, run):
    assert run("live-migration", "web", "beta", "--downtime", "50")[0] == 2
    assert run("live-migration", "web", "beta", "--downtime", "0", "--policy", "forecast")[0] == 2
    status, out, err = run("live-migration", "web", "beta", "--downtime", "50", "--policy", "forecast")
    assert (status, err) == (0, "")
    assert "completed" in out


@pytest.mark.parametrize(
    "argv", [["--bandwidth", "1e300"], ["--bandwidth", "inf"], ["--bandwidth", "1e-9"], ["--downtime", "2147483648"]]
)
def test_numbers_that_cannot_be_change_nothing(web, run, argv):
    status, _, err = run("live-migration", "web", "beta", *argv)
    assert (status, err.count("\n")) == (2, 1)
    row = json.loads(run("servers", "--json")[1])[0]
    assert (row["task"], row["host"]) == ("idle", "alpha")
    assert json.loads(run("migrations", "--json")[1]) == []


def test_a_hopeless_migration_without_a_timeout_ends_all_the_same(cloud, run):
    run("boot", "busy", "--host", "alpha", "--memory", "256", "--writes", "uniform wss=128MiB rate=900MiB/s")
    status, out, _ = run("live-migration", "busy", "beta", "--bandwidth", "32", "--timeout", "0")
    assert status == 1
    assert "deadline" in out
    assert len(out.splitlines()) < 40, "progress is told sparingly"


def test_without_sqlalchemy_help_works_and_the_rest_says_what_to_install(tmp_path):
    (tmp_path / "sqlalchemy.py").write_text("raise ModuleNotFoundError('no sqlalchemy', name='sqlalchemy')")
    for argv, status in ((["--help"], 0), (["machine", "vm"], 0), (["servrs"], 2), (["servers"], 1)):
        done = novastate(*argv, PYTHONPATH=str(tmp_path), NOVASTATE_CLOUD=str(tmp_path / "x.sqlite"))
        assert done.returncode == status, (argv, done.stderr)
        assert "Traceback" not in done.stderr
    assert "novastate[sql]" in done.stderr


def test_doctor_says_what_is_wrong_with_the_choice_of_kernels():
    done = novastate("doctor", NOVASTATE_NATIVE="typo")
    assert done.returncode == 1
    assert "must be one of auto, require, off" in done.stdout
    assert "compiler" not in novastate("doctor", NOVASTATE_NATIVE="off").stdout
    done = novastate("machine", "vm", NOVASTATE_NATIVE="typo")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)


def test_a_full_disk_for_the_output_is_one_line():
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        done = novastate("machine", "vm", stdout=full)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)


@pytest.mark.parametrize(
    "body", ["{}", '{"hosts": 5, "now": 1}', '{"hosts": {}, "now": "x"}', '{"hosts": {}, "now": 1e300}']
)
def test_a_corrupt_simulated_cloud_is_one_line(web, cloud, run, body):
    with sqlite3.connect(cloud) as db:
        db.execute("UPDATE novastate_documents SET body = ? WHERE name = 'simulated-cloud'", [body])
    db.close()
    status, _, err = run("boot", "other")
    assert (status, err.count("\n")) == (1, 1), err


@pytest.mark.parametrize("name", ["", " ", "a\nb", "\x1b[31m", "x" * 256])
def test_names_that_would_spoil_a_table_are_refused(cloud, run, name):
    status, _, err = run("boot", name)
    assert (status, err.count("\n")) == (2, 1)
    assert "name" in err


def test_a_failed_boot_does_not_block_its_name(cloud, run):
    assert run("boot", "web", "--memory", "999999")[0] == 1
    assert run("boot", "web")[0] == 0
    assert run("live-migration", "web")[0] == 0


def test_a_server_that_is_named_as_another_s_uuid_does_not_hide_it(web, run):
    uuid = json.loads(run("servers", "--json")[1])[0]["uuid"]
    assert run("boot", uuid)[0] == 0
    assert json.loads(run("show", uuid, "--json")[1])["name"] == "web"


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["boot", "x", "--memroy", "5"], "--memory"),
        (["live-migration", "x", "--timeout-action", "abrt"], "abort"),
        (["hosts", "--js"], "--json"),
    ],
)
def test_a_mistyped_option_gets_the_near_one(cloud, run, argv, words):
    status, _, err = run(*argv)
    assert (status, err.count("\n")) == (2, 1)
    assert f"did you mean {words}" in err


def test_history_is_in_iso_time_for_programs_and_narrow_for_people(web, run):
    import datetime as dt

    assert dt.datetime.fromisoformat(json.loads(run("show", "web", "--json")[1])["history"][0]["at"]).tzinfo is not None
    _, out, _ = run("show", "web")
    assert max(map(len, out.splitlines())) <= 80


def test_a_forecast_is_for_the_host_that_is_chosen_and_counts_the_disk(cloud, run):
    run("boot", "big", "--host", "alpha", "--disk", "150", "--writes", LAW)
    run("boot", "other", "--host", "beta", "--memory", "8192")
    status, out, _ = run("live-migration", "big", "--json")
    report = json.loads(out)
    assert status == 0
    assert report["forecast"]["destination"] == report["destination"] == "gamma"
    assert report["forecast"]["disk_bytes"] > 0, "gamma shares no storage with alpha"
    run("boot", "small", "--host", "alpha", "--writes", LAW)
    assert json.loads(run("live-migration", "small", "beta", "--json")[1])["forecast"]["disk_bytes"] == 0


def test_nothing_is_left_out_where_there_are_many():
    from novastate.cli.cloud import every
    from novastate.objects import ComputeNode
    from novastate.store import MemoryStore, Put

    store = MemoryStore()
    names = [f"host-{n:02d}" for n in range(7)]
    store.commit(*(Put(ComputeNode(host=name, vcpus=1, memory_mb=1)) for name in names))
    for page in (1, 3, 7, 100):
        assert [node.host for node in every(store, ComputeNode, page=page)] == names
