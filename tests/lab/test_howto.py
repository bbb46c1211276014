"""The how-to for two libvirt hosts, run word for word: its commands are read from the page, and only addresses are replaced.

A block of the page that is run has a comment before it, which says how: ``% run``, ``% run in the background``, ``% run in the
background and interrupt``, ``% run until it works``, each followed by ``, and it fails`` where it should, and by a colon and the words
that its output must hold.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab.lab import wait_for

PAGE = Path(__file__).parents[2] / "docs" / "howto-libvirt.md"
BLOCK = re.compile(r"^% (run[^\n:]*)(?:: ([^\n]*))?\n```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
HOW = {"run", "run in the background", "run in the background and interrupt", "run until it works"}
DEADLINE = 600


@dataclass
class Step:
    """A block of the page."""

    how: str
    fails: bool
    words: list[str]
    script: str


def steps():
    found = []
    for how, words, script in BLOCK.findall(PAGE.read_text()):
        manner, _, fails = how.partition(", and it ")
        assert manner in HOW, how
        assert fails in {"", "fails"}, how
        found.append(Step(manner, bool(fails), [word.strip() for word in words.split(", ") if word], script))
    return found


def test_every_command_of_the_page_is_run():
    """But those that install: what a reader types and nobody runs goes stale."""
    page = PAGE.read_text()
    shown = {
        block
        for block in re.findall(r"^```sh\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
        if "pip install" not in block
    }
    assert shown == {step.script for step in steps()}
    assert page.count("\n% run") == len(steps())


@pytest.fixture
def shell(hosts, tmp_path):
    """``shell(script)``: a process that runs it as a reader does, its addresses those of the lab; exported variables stay."""
    replaced = {
        "qemu+ssh://root@a.example/system": hosts.uri("alpha"),
        "qemu+ssh://root@b.example/system": hosts.uri("beta"),
    }
    for number, host in enumerate(hosts.hosts, 1):
        replaced[f"qemu+ssh://root@10.0.0.{number}/system"] = hosts.peer_uri(host)
        replaced[f"10.0.0.{number}"] = hosts.address(host)
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    running = []

    def shell(script):
        for old, new in replaced.items():
            script = script.replace(old, new)
        env.update(re.findall(r"^export (\w+)=(\S+)$", script, re.MULTILINE))
        process = subprocess.Popen(
            # One command is the process itself, so that it can be interrupted.
            ["bash", "-e", "-c", f"exec {script}" if script.startswith("novastate") else script],
            cwd=tmp_path, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        running.append(process)
        return process

    yield shell
    for process in running:
        process.kill()
        process.communicate()


def check(step, process):
    out, _ = process.communicate(timeout=DEADLINE)
    assert bool(process.returncode) is step.fails, f"{step.script}{out}"
    for word in step.words:
        assert word in out, f"{word!r} is missing: {step.script}{out}"


def on_its_way(hosts, guest):
    """Whether both hosts have it, and so its migration has begun."""
    return all(guest.uuid in hosts.virsh(host, "list", "--all", "--uuid") for host in hosts.hosts)


def until_it_works(shell, step):
    until = time.monotonic() + DEADLINE
    while time.monotonic() < until:
        process = shell(step.script)
        out, _ = process.communicate(timeout=DEADLINE)
        if not process.returncode:
            for word in step.words:
                assert word in out
            return
    raise AssertionError(f"it does not work: {step.script}{out}")


def test_the_how_to_works_word_for_word(hosts, guest, shell, whole):
    hosts.run("alpha", "qemu-img", "create", "-f", "qcow2", f"{hosts.shared_dir}/web.qcow2", "64M")
    hosts.run("beta", "qemu-img", "create", "-f", "qcow2", f"{hosts.images_dir}/db.qcow2", "64M")
    web = guest(
        "alpha", name="web", persistent=True, options="wss_mb=16 rate_mb=6", disks=[f"{hosts.shared_dir}/web.qcow2"]
    )
    guest("beta", name="db", persistent=True, options="disk=1", disks=[f"{hosts.images_dir}/db.qcow2"])
    behind = []
    for step in steps():
        if "stop web" in step.script:  # after all that was done to it, and before it begins anew
            assert whole("web") == "beta"
        if step.how == "run until it works":
            until_it_works(shell, step)
        elif step.how.startswith("run in the background"):
            process = shell(step.script)
            behind.append((step, process))
            if step.how.endswith("interrupt"):
                wait_for("the guest on its way", lambda: on_its_way(hosts, web), 60)
                process.send_signal(signal.SIGINT)
        else:
            check(step, shell(step.script))
        if step.how != "run in the background":
            while behind:
                check(*behind.pop())
    assert not behind
    assert hosts.qemu_pids("web").keys() == {"beta"}
    assert hosts.qemu_pids("db") == {}
    assert hosts.path("alpha", f"{hosts.images_dir}/db.qcow2").exists()
