"""Keeps the hosts of one lab alive, and ends all of it when its standard input ends: ``keeper.py DIRECTORY HOST ...``.

Rules of this file:

- The other end of standard input is held by the process that uses the lab, and by nothing else. When that process ends, however
  it ends, the kernel closes the pipe; then every process of the lab is killed and DIRECTORY is removed. There is no other way out.
- A host is a set of namespaces (mount, UTS, network, PID) without names. Its first process only waits; when it dies, the kernel kills
  whatever runs in there. It writes its process id, as seen from outside, to ``DIRECTORY/HOST/first``.
- The hosts read the same pipe: they also end where this process was killed.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path

UNSHARE = ("unshare", "--mount", "--uts", "--net", "--pid", "--fork", "--kill-child=KILL", "--propagation", "private")
#: How a host begins: $1 its name, $2 the lab's directory, $3 Python. A file tree of its own wherever libvirt keeps something.
FIRST = """
set -e
read -r pid rest </proc/self/stat
mount -t proc proc /proc
mount -t sysfs sysfs /sys
hostname "$1"
ip link set lo up
for place in run:/run etc:/etc/libvirt lib:/var/lib/libvirt log:/var/log/libvirt cache:/var/cache/libvirt; do
  mkdir -p "${place#*:}"
  mount --bind "$2/$1/${place%%:*}" "${place#*:}"
done
mount --bind "$2/hosts" /etc/hosts
mount -t tmpfs -o size=8m,mode=0755 small /var/lib/libvirt/small
echo "$pid" >"$2/$1/first.new"
mv "$2/$1/first.new" "$2/$1/first"
exec "$3" -I -c 'import signal, sys
signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # what ends in here waits for nobody
sys.stdin.buffer.read()'
"""


def keep(directory: Path, hosts: list[str]) -> None:
    """Starts the hosts, waits for the end of standard input, ends the hosts and removes the directory."""
    first = [
        subprocess.Popen([*UNSHARE, "sh", "-c", FIRST, "first", host, str(directory), sys.executable]) for host in hosts
    ]
    try:
        sys.stdin.buffer.read()
    finally:
        for process in first:
            process.kill()
        for process in first:
            process.wait()
        for _ in range(50):  # what was killed may still be writing its last
            shutil.rmtree(directory, ignore_errors=True)
            if not directory.exists():
                break
            signal.sigtimedwait([], 0.1)


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    keep(Path(sys.argv[1]), sys.argv[2:])
