"""Two hosts on one machine, alpha and beta: libvirt daemons that take each other for another machine, and a link between them.

Rules of this file:

- A host has mount, UTS, network and PID namespaces of its own (see keeper.py), so its own host name, directories, processes and address.
  Nothing has a name outside of the lab's directory: any number of labs run side by side.
- Whatever happens to the process that uses a lab, the lab ends with it.
- Every command that is run has a deadline; a host that does not come up says why. Deadlines are for what hangs: they are said for a
  quiet machine, and a slow or busy one has SLACK times as long.
- The same path means the same thing on both hosts, as on real ones: IMAGES and SMALL are each host's own, `Lab.shared_dir` is both's.

>>> lab = Lab.up()                                        # doctest: +SKIP
>>> connection = libvirt.open(lab.uri("alpha"))           # doctest: +SKIP
>>> connection.createXML(lab.domain_xml("g1"))            # doctest: +SKIP
>>> lab.down()                                            # doctest: +SKIP
"""

from __future__ import annotations

import atexit
import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid as uuids
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

from lab import image

HOSTS = ("alpha", "beta")
ADDRESSES = {"alpha": "10.77.0.1", "beta": "10.77.0.2"}
PORTS = {"alpha": 49200, "beta": 49300}
LINK = "link0"
SLACK = 6
#: Directories that every host has, with contents of its own; SMALL takes 8 MiB.
IMAGES = Path("/var/lib/libvirt/images")
SMALL = Path("/var/lib/libvirt/small")
SERIAL = Path("/var/log/libvirt/serial")
#: A whole line: a guest that is reset writes the next one into the middle of its last.
HEARTBEAT = re.compile(r"^HB (seq=\d+(?: \w+=\d+(?:\.\d+)?)+)\n", re.MULTILINE)

#: On a machine with much to do, or after a pause, a guest's kernel would complain of the time that it lost.
QUIET = "nowatchdog rcupdate.rcu_cpu_stall_suppress=1"

LIBVIRTD_CONF = """\
host_uuid = "{uuid}"
auth_unix_rw = "none"
auth_tcp = "none"
listen_tls = 0
listen_tcp = 1
listen_addr = "{address}"
keepalive_interval = 2
keepalive_count = 5
log_outputs = "2:file:/var/log/libvirt/libvirtd.log"
"""
QEMU_CONF = """\
user = "root"
group = "root"
security_driver = "none"
stdio_handler = "file"
namespaces = []
cgroup_controllers = []
migration_port_min = {port}
migration_port_max = {last_port}
keepalive_interval = 2
keepalive_count = 5
shared_filesystems = ["{shared}"]
"""


def run(*command: str | Path, timeout: float = 20.0 * SLACK) -> str:
    """What a command writes. Raises RuntimeError with its own words if it fails or takes too long."""
    words = [str(part) for part in command]
    with subprocess.Popen(
        words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,  # to end what the command started as well: it would hold the pipes open
    ) as process:
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise RuntimeError(f"no end within {timeout} s: {' '.join(words)}") from None
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    if process.returncode:
        raise RuntimeError(f"{' '.join(words)}: status {process.returncode}: {(err + out).strip()}")
    return out


def wait_for(what: str, condition, timeout: float, every: float = 0.05):
    """The first true answer of *condition*; AssertionError after SLACK times *timeout* seconds without one."""
    timeout *= SLACK
    until = time.monotonic() + timeout
    while not (answer := condition()):
        if time.monotonic() > until:
            raise AssertionError(f"not within {timeout} s: {what() if callable(what) else what}")
        time.sleep(every)
    return answer


class Lab:
    """Two hosts. Made by `up`."""

    hosts = HOSTS
    images_dir = IMAGES
    small_dir = SMALL

    def __init__(self) -> None:
        self.image = image.build()
        self.directory = Path(tempfile.mkdtemp(dir="/tmp", prefix="nsl"))  # short: socket paths take 107 bytes
        self.boot = self.directory / "boot"
        self.shared_dir = self.directory / "shared"
        self.up_seconds = 0.0
        self._first: dict[str, int] = {}
        self._lay_out()
        # The pipe's only writing end is ours: when this process is gone, the lab goes too.
        self._said = self.directory / "said"
        with self._said.open("wb") as said:
            self._keeper = subprocess.Popen(
                [sys.executable, "-I", Path(__file__).with_name("keeper.py"), self.directory, *HOSTS],
                stdin=subprocess.PIPE,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )
        atexit.register(self.down)

    @classmethod
    def up(cls) -> Lab:
        """A lab whose daemons have answered their first, slow question. Raises RuntimeError with the daemons' own words."""
        began = time.monotonic()
        lab = cls()
        try:
            for host in HOSTS:
                place = lab.directory / host / "first"
                wait_for(lambda host=host: f"the namespaces of {host}: {lab._said.read_text()}", place.exists, 10)
                lab._first[host] = int(place.read_text())
            lab._connect_hosts()
            with ThreadPoolExecutor() as pool:
                list(pool.map(lab.start_daemon, HOSTS))
        except BaseException:
            lab.down()
            raise
        lab.up_seconds = time.monotonic() - began
        return lab

    def down(self) -> None:
        """Ends every process of the lab and removes its directory, whatever is left of it; any number of times."""
        atexit.unregister(self.down)
        if self._keeper.stdin is None or self._keeper.stdin.closed:
            return
        self._keeper.stdin.close()
        try:
            self._keeper.wait(20 * SLACK)
        except subprocess.TimeoutExpired:
            self._keeper.kill()  # the hosts read the same pipe
            self._keeper.wait()
        shutil.rmtree(self.directory, ignore_errors=True)

    # --- where things are

    def uri(self, host: str) -> str:
        """How this process reaches the host's daemon: by a socket, so even where the link is cut."""
        return f"qemu+unix:///system?socket={self.directory}/{host}/run/libvirt/libvirt-sock"

    def peer_uri(self, host: str) -> str:
        """How the other host's daemon reaches this one: over the link."""
        return f"qemu+tcp://{ADDRESSES[host]}/system"

    @property
    def peers(self) -> dict[str, str]:
        return {host: self.peer_uri(host) for host in HOSTS}

    def address(self, host: str) -> str:
        """The host's end of the link. The hosts' names resolve to these, on the hosts."""
        return ADDRESSES[host]

    def other(self, host: str) -> str:
        return HOSTS[1 - HOSTS.index(host)]

    def path(self, host: str, inside: str | Path) -> Path:
        """Where this process finds what the host knows as *inside*: ``lab.path("beta", lab.images_dir / "a.qcow2")``."""
        return Path(f"/proc/{self._first[host]}/root{inside}")

    def run(self, host: str, *command: str | Path, timeout: float = 20.0 * SLACK) -> str:
        """What a command writes that is run on the host. RuntimeError if it fails."""
        return run(*self._inside(host), *command, timeout=timeout)

    def serial(self, host: str, name: str) -> str:
        """What the guest wrote on its serial console while it ran on this host; "" if nothing."""
        try:
            return (self.directory / host / "log" / "serial" / f"{name}.log").read_text(errors="replace")
        except FileNotFoundError:
            return ""

    def heartbeats(self, host: str, name: str) -> list[dict[str, float]]:
        """The guest's heartbeats on this host, oldest first: seq, t, writes, checked, bad, sweeps, with a disk disk_..."""
        return [
            {key: float(value) for key, value in (part.split("=") for part in line.split())}
            for line in HEARTBEAT.findall(self.serial(host, name).replace("\r", ""))
        ]

    def daemon_log(self, host: str) -> str:
        return (self.directory / host / "log" / "libvirtd.log").read_text(errors="replace")

    def qemu_log(self, host: str, name: str) -> str:
        return (self.directory / host / "log" / "qemu" / f"{name}.log").read_text(errors="replace")

    # --- guests

    def domain_xml(
        self,
        name: str,
        uuid: str | None = None,
        memory_mb: int = 128,
        options: str = "",
        *,
        vcpus: int = 1,
        disks: Iterable[str | Path] = (),
        vnc: bool = False,
        devices: str = "",
    ) -> str:
        """A domain that boots the lab guest; *options*: see guest/init.c; *disks*: paths, .qcow2 or raw; *devices*: more XML."""
        parts = []
        for letter, disk in zip("abcdefgh", map(str, disks), strict=False):
            kind = "qcow2" if disk.endswith(".qcow2") else "raw"
            parts.append(
                f"<disk type='file' device='disk'><driver name='qemu' type='{kind}'/><source file={quoteattr(disk)}/>"
                f"<target dev='vd{letter}' bus='virtio'/></disk>"
            )
        if vnc:
            parts.append(
                "<graphics type='vnc' autoport='yes' listen='0.0.0.0'/><video><model type='vga' vram='4096'/></video>"
            )
        else:
            parts.append("<video><model type='none'/></video>")
        return f"""<domain type='qemu'>
  <name>{escape(name)}</name><uuid>{uuid or uuids.uuid4()}</uuid>
  <memory unit='MiB'>{memory_mb}</memory><vcpu>{vcpus}</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type>
    <kernel>{self.boot}/vmlinuz</kernel><initrd>{self.boot}/initramfs.gz</initrd>
    <cmdline>console=ttyS0 quiet panic=-1 edd=off nokaslr {QUIET} {escape(options)}</cmdline></os>
  <features><acpi/></features>
  <cpu mode='custom' match='exact' check='none'><model>qemu64</model></cpu>
  <on_poweroff>destroy</on_poweroff><on_reboot>restart</on_reboot><on_crash>destroy</on_crash>
  <devices>
    <controller type='usb' model='none'/><memballoon model='none'/>
    <serial type='file'><source path='{SERIAL}/{escape(name)}.log' append='on'/></serial>
    {"".join(parts)}{devices}
  </devices>
</domain>"""

    def define(self, instance) -> str:
        """The same for an Instance; metadata ``guest``: options, ``disks``: paths between commas, ``vnc``: yes."""
        asked = dict(instance.metadata)
        return self.domain_xml(
            instance.name,
            str(instance.uuid),
            instance.memory_mb or instance.flavor.memory_mb,
            asked.get("guest", ""),
            vcpus=instance.vcpus or instance.flavor.vcpus,
            disks=[path for path in asked.get("disks", "").split(",") if path],
            vnc=asked.get("vnc") == "yes",
        )

    def processes(self, host: str) -> dict[int, list[str]]:
        """Every process on the host: its id here, and its command line."""
        found = {}
        home = os.readlink(f"/proc/{self._first[host]}/ns/pid")  # noqa: PTH115 - not a path
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):  # it has just ended
                    if os.readlink(entry / "ns" / "pid") == home:  # noqa: PTH115
                        found[int(entry.name)] = (entry / "cmdline").read_text(errors="replace").split("\0")
        return found

    def qemu_pids(self, guest: str) -> dict[str, int]:
        """Host → id of the QEMU process there that runs, or waits for, the guest with this uuid or name."""
        return {
            host: pid
            for host in HOSTS
            for pid, words in self.processes(host).items()
            if "qemu-system" in words[0]
            and any(word in {guest, f"guest={guest}"} or word.startswith(f"guest={guest},") for word in words)
        }

    def kill_qemu(self, host: str, guest: str) -> None:
        """SIGKILL to the guest's QEMU on this host. KeyError: there is none."""
        self._kill(self.qemu_pids(guest)[host])

    # --- daemons

    def daemon_pid(self, host: str) -> int | None:
        """The daemon's process id here; None: it does not run."""
        return min((pid for pid, words in self.processes(host).items() if words[0].endswith("libvirtd")), default=None)

    def kill_daemon(self, host: str) -> None:
        """SIGKILL; its guests go on."""
        while (pid := self.daemon_pid(host)) is not None:
            self._kill(pid)

    def start_daemon(self, host: str) -> None:
        """Starts the daemon unless it runs, and waits for its answer to a question that makes it look at QEMU."""
        if self.daemon_pid(host) is None:
            run(*self._inside(host), "libvirtd", "--daemon", "--listen", timeout=30 * SLACK)
        try:
            self.virsh(host, "domcapabilities", "--virttype", "qemu", timeout=40 * SLACK)
        except RuntimeError as error:
            raise RuntimeError(
                f"the daemon of {host} does not answer: {error}\n{self.daemon_log(host)[-2000:]}"
            ) from None

    def restart_daemon(self, host: str) -> None:
        """SIGKILL, then a new daemon, which finds the guests that the old one left."""
        self.kill_daemon(host)
        self.start_daemon(host)

    def stop_daemon(self, host: str) -> None:
        """SIGSTOP: it keeps its connections and answers nothing."""
        os.kill(self.daemon_pid(host) or 0, signal.SIGSTOP)

    def cont_daemon(self, host: str) -> None:
        if (pid := self.daemon_pid(host)) is not None:
            os.kill(pid, signal.SIGCONT)

    def virsh(self, host: str, *words: str, timeout: float = 20.0 * SLACK) -> str:
        return run("virsh", "--quiet", "--connect", self.uri(host), *words, timeout=timeout)

    # --- the link

    def cut_link(self) -> None:
        """From now on every packet between the hosts is lost, and nobody is told."""
        for host in HOSTS:
            self.run(host, "iptables", "-w", "-I", "INPUT", "-i", LINK, "-j", "DROP")

    def break_link(self) -> None:
        """From now on whoever sends to the other host, on an old connection or a new one, gets a TCP reset."""
        for host in HOSTS:
            for chain, side in (("INPUT", "-i"), ("OUTPUT", "-o")):
                self.run(
                    host, *f"iptables -w -I {chain} {side} {LINK} -p tcp -j REJECT --reject-with tcp-reset".split()
                )

    def mend_link(self) -> None:
        """The link is whole again; its line rate stays."""
        for host in HOSTS:
            self.run(host, "iptables", "-w", "-F")

    def line_rate(self, bytes_per_second: float | None) -> None:
        """What the link carries, each way, with all headers; None: as much as it can."""
        for host in HOSTS:
            with contextlib.suppress(RuntimeError):  # there was no limit
                self.run(host, "tc", "qdisc", "del", "dev", LINK, "root")
            if bytes_per_second is not None:
                rate = int(bytes_per_second)
                burst = max(rate // 50, 1 << 17)  # a segment is up to 64 KiB
                self.run(host, *f"tc qdisc add dev {LINK} root tbf rate {rate}bps burst {burst} latency 200ms".split())

    # --- between two tests

    def reset(self) -> None:
        """Link, daemons and directories as they were at the beginning, and no guest on either host, whatever state it is in."""
        self.mend_link()
        self.line_rate(None)
        for host in HOSTS:
            self.cont_daemon(host)
            for pid, words in self.processes(host).items():
                if "qemu-system" in words[0]:
                    self._kill(pid)
            try:
                self.start_daemon(host)
                self._forget(host)
            except RuntimeError:  # a daemon that hangs is of no use to the next test
                self.restart_daemon(host)
                self._forget(host)
            for inside in (IMAGES, SMALL, SERIAL, self.shared_dir):
                for path in self.path(host, inside).iterdir():
                    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()

    def _forget(self, host: str) -> None:
        """No guest and no pool that the daemon knows of. RuntimeError: it does not let go of one."""
        until = time.monotonic() + 10 * SLACK
        while guests := self.virsh(host, "list", "--all", "--uuid").split():
            if time.monotonic() > until:
                raise RuntimeError(f"{host} does not let go of {', '.join(guests)}")
            for guest in guests:
                for words in (("destroy", guest), ("undefine", guest, "--managed-save", "--snapshots-metadata")):
                    with contextlib.suppress(RuntimeError):  # gone already, or never defined
                        self.virsh(host, *words)
        for pool in self.virsh(host, "pool-list", "--all", "--uuid").split():
            for word in ("pool-destroy", "pool-undefine"):
                with contextlib.suppress(RuntimeError):  # not active, or never defined
                    self.virsh(host, word, pool)

    # --- inner parts

    def _lay_out(self) -> None:
        """The lab's directory."""
        self.directory.chmod(0o755)
        self.boot.mkdir()
        shutil.copyfile(self.image.kernel, self.boot / "vmlinuz")
        shutil.copyfile(self.image.initramfs, self.boot / "initramfs.gz")
        self.shared_dir.mkdir()
        names = "".join(f"{ADDRESSES[host]} {host}\n" for host in HOSTS)
        (self.directory / "hosts").write_text(f"127.0.0.1 localhost\n::1 localhost\n{names}")
        for host in HOSTS:
            home = self.directory / host
            for part in ("etc", "run", "lib/images", "lib/small", "log/serial", "cache"):
                (home / part).mkdir(parents=True)
            fields = {
                "uuid": uuids.uuid4(),
                "address": ADDRESSES[host],
                "port": PORTS[host],
                "last_port": PORTS[host] + 63,
                "shared": self.shared_dir,
            }
            (home / "etc" / "libvirtd.conf").write_text(LIBVIRTD_CONF.format(**fields))
            (home / "etc" / "qemu.conf").write_text(QEMU_CONF.format(**fields))

    def _connect_hosts(self) -> None:
        first, second = (self._first[host] for host in HOSTS)
        # In the network namespace only: ip looks for the other one in /proc of out here.
        run("nsenter", "-t", str(first), "-n", *f"ip link add {LINK} type veth peer name {LINK} netns {second}".split())
        for host in HOSTS:
            self.run(host, "ip", "address", "add", f"{ADDRESSES[host]}/24", "dev", LINK)
            self.run(host, "ip", "link", "set", LINK, "up")

    def _inside(self, host: str) -> tuple[str, ...]:
        return ("nsenter", "-t", str(self._first[host]), "-m", "-u", "-n", "-p", "-r", "--")

    @staticmethod
    def _kill(pid: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        wait_for(f"the end of process {pid}", lambda: not Path(f"/proc/{pid}").exists(), 10, 0.01)
