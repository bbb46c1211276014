"""A process that is killed leaves whole commits behind, and every one that it was told of."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import closing, contextmanager

import pytest

from novastate.objects import ComputeNode, Instance, Migration
from novastate.store import Put, SqlStore
from novastate.testing.store_conformance import sample

#: Writes the same count into two nodes, and a line of history, in each commit; says so after each.
WRITER = """
import os, signal, sys
from itertools import count
from sqlalchemy import event
from novastate.objects import ComputeNode, Instance
from novastate.store import Put, SqlStore
from novastate.testing.store_conformance import sample

store = SqlStore(sys.argv[1])
fatal = int(sys.argv[2])  # the statement before which it dies; 0: none
pair = store.find(ComputeNode, limit=2)
vm = store.find(Instance, limit=1)[0]
if fatal:
    statements = count(1)

    def die(*_):
        if next(statements) == fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    event.listen(store._engine, "before_cursor_execute", die)
    event.listen(store._engine, "commit", die)
while True:
    for node in pair:
        node.vcpus_used += 1
    vm.host = f"host-{pair[0].vcpus_used}"
    store.commit(Put(pair[0]), Put(pair[1]), Put(vm))
    print(pair[0].vcpus_used, flush=True)
"""


@pytest.fixture
def url(tmp_path):
    url = f"sqlite:///{tmp_path}/cloud.db"
    with closing(SqlStore(url)) as store:
        store.commit(Put(sample(ComputeNode, 1)), Put(sample(ComputeNode, 2)), Put(sample(Instance, 1)))
    return url


@contextmanager
def python(program, *args):
    command = [sys.executable, "-c", program, *args]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def look(url):
    """The count that all rows agree on."""
    with closing(SqlStore(url, create=False)) as store:
        one, two = store.find(ComputeNode)
        vm = store.find(Instance)[0]
        times = one.vcpus_used
        assert (two.vcpus_used, one.revision, two.revision, vm.revision) == (times, *[times + 1] * 3)
        assert vm.host == (f"host-{times}" if times else None)
        hosts = [line.new for line in store.history(vm.uuid, limit=10_000) if line.field == "host"]
        assert hosts == [f"host-{n}" for n in range(1, times + 1)]
        with store._engine.connect() as raw:
            assert raw.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
            assert raw.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
            assert raw.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL
        store.commit(Put(sample(Migration, 1 + len(store.find(Migration)))))  # it can be written, too
    return times


def test_a_killed_process_leaves_whole_commits(url):
    for commits in (1, 17, 40):
        with python(WRITER, url, "0") as writer:
            lines = [writer.stdout.readline() for _ in range(commits)]
            os.kill(writer.pid, signal.SIGKILL)
            lines += writer.stdout.readlines()  # it went on until the signal came, however late that was
        told = int(lines[-1])
        assert told <= look(url) <= told + 1


@pytest.mark.parametrize("statement", range(1, 9))
def test_a_process_killed_inside_a_commit_leaves_none_of_it(url, statement):
    with python(WRITER, url, str(statement)) as writer:
        assert writer.stdout.read() == ""  # it died in its first commit
        assert writer.wait(60) == -signal.SIGKILL
    assert look(url) == 0


def test_the_statements_that_a_commit_may_die_at_are_all_tried(url):
    with python(WRITER, url, "9") as writer:
        assert writer.stdout.read() == "1\n"


READER = """
import sys
from novastate.objects import ComputeNode
from novastate.store import SqlStore
store = SqlStore(sys.argv[1], create=False)
for line in sys.stdin:
    print(*(n.revision for n in store.find(ComputeNode)), store.take("for you"), flush=True)
"""


def test_what_one_process_commits_another_reads_at_once(url):
    with python(READER, url) as reader, closing(SqlStore(url)) as store:
        for _ in range(20):
            pair = store.find(ComputeNode)
            store.commit(*map(Put, pair))
            store.post("for you", str(pair[0].revision))
            reader.stdin.write("\n")
            reader.stdin.flush()
            assert reader.stdout.readline().split() == [str(pair[0].revision)] * 3
        reader.stdin.close()


ADDER = """
import sys
from novastate.errors import StaleState
from novastate.objects import ComputeNode
from novastate.store import Put, SqlStore
store = SqlStore(sys.argv[1], timeout=60)
key = sys.argv[2]
print("ready", flush=True)
sys.stdin.readline()
for _ in range(30):
    while True:
        node = store.load(ComputeNode, key)
        node.vcpus_used += 1
        try:
            store.commit(Put(node))
            break
        except StaleState:
            pass
"""


def test_processes_lose_no_update(url):
    key = sample(ComputeNode, 1).host
    with python(ADDER, url, key) as one, python(ADDER, url, key) as two:
        for process in (one, two):
            assert process.stdout.readline() == "ready\n"
        for process in (one, two):
            process.stdin.write("go\n")
            process.stdin.flush()
        assert [process.wait(120) for process in (one, two)] == [0, 0]
    with closing(SqlStore(url)) as store:
        node = store.load(ComputeNode, key)
        assert (node.vcpus_used, node.revision) == (60, 61)


def test_processes_that_make_the_same_store_make_it_once(tmp_path):
    url = f"sqlite:///{tmp_path}/new.db"
    program = """
import sys
from novastate.store import SqlStore
print("ready", flush=True)
sys.stdin.readline()
SqlStore(sys.argv[1], timeout=60).post("made", "")
"""
    with python(program, url) as a, python(program, url) as b, python(program, url) as c:
        for process in (a, b, c):
            assert process.stdout.readline() == "ready\n"
        for process in (a, b, c):
            process.stdin.write("go\n")
            process.stdin.flush()
        assert [process.wait(120) for process in (a, b, c)] == [0, 0, 0]
    with closing(SqlStore(url, create=False)) as store:
        assert [store.take("made") for _ in range(4)] == ["", "", "", None]
