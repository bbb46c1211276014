"""Asks the real Nova, which runs in a process of its own (peer.py); every answer has a deadline."""

from __future__ import annotations

import json
import os
import select
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Self

PEER = Path(__file__).with_name("peer.py")
#: Seconds that one request may take; the first one waits for Nova's import too.
DEADLINE = 120.0


class NovaError(Exception):
    """What Nova raised: the name of its class, and its text."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(f"{name}: {message}")
        self.name, self.message = name, message


class Peer:
    """The real Nova, ready to be asked; a context manager. One that failed to answer is ended, and the next question starts another."""

    def __init__(self, python: Path) -> None:
        self._python = python
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def ask(self, op: str, *arguments: Any) -> Any:
        """The answer to one call; raises NovaError for what Nova raised."""
        (answer,) = self.ask_many(op, [arguments])
        if isinstance(answer, NovaError):
            raise answer
        return answer

    def ask_many(self, op: str, calls: list[Any], deadline: float = DEADLINE) -> list[Any]:
        """The answers to *calls*, one list of arguments each; a NovaError stands where Nova raised."""
        request = json.dumps({"op": op, "calls": calls}).encode() + b"\n"
        if self._process is None:
            self._start()
        try:
            answers = json.loads(self._exchange(request, time.monotonic() + deadline))
        except BaseException:
            self._end()
            raise
        return [NovaError(one["error"], one["message"]) if "error" in one else one["ok"] for one in answers]

    def _start(self) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  (closed with the process)
        self._process = subprocess.Popen(
            [str(self._python), "-W", "ignore", str(PEER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            bufsize=0,
            env={**os.environ, "PYTHONPATH": "", "PYTHONHASHSEED": "0"},
        )
        self._left = b""

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait(10)
        for pipe in (process.stdin, process.stdout, self._errors):
            assert pipe is not None
            pipe.close()

    def _exchange(self, request: bytes, end: float) -> bytes:
        """Sends a line and reads one; both pipes may fill, so they are served together."""
        assert self._process is not None
        to, of = self._process.stdin, self._process.stdout
        assert to is not None
        assert of is not None
        os.set_blocking(to.fileno(), False)
        while b"\n" not in self._left:
            readable, writable, _ = select.select([of], [to] if request else [], [], max(0.0, end - time.monotonic()))
            if not readable and not writable:
                raise TimeoutError(f"no answer from Nova in time\n{self._said()}")
            if readable:
                read = os.read(of.fileno(), 1 << 16)
                if not read:
                    raise EOFError(f"Nova's process ended ({self._process.wait(10)})\n{self._said()}")
                self._left += read
            if writable:
                try:
                    request = request[os.write(to.fileno(), request) :]
                except BrokenPipeError:
                    request = b""  # its end is read next
        line, _, self._left = self._left.partition(b"\n")
        return line

    def _said(self) -> str:
        self._errors.seek(0)
        return self._errors.read()[-3000:].decode(errors="replace")
