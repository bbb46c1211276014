"""Writes docs/generated/transcripts/ by running the commands that the tutorial shows, so that they cannot drift apart."""

from __future__ import annotations

import contextlib
import io
import os
import shlex
import tempfile
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

from novastate.cli import main

#: Each transcript: the commands of one step, run one after the other in one folder. "!" before one: it fails, and should.
STEPS = {
    "demo": ["novastate demo"],
    "hosts": ["novastate hosts"],
    "boot": ["novastate boot web --host alpha --writes 'zipf wss=128MiB rate=128MiB/s s=0.99'", "novastate servers"],
    "migrate": ["novastate live-migration web beta --bandwidth 64"],
    "show": ["novastate show web"],
    "refused": [
        "! novastate live-migration wbe alpha",
        "! novastate live-migration web beta",
        "! novastate live-migration --block-migrate web alpha",
    ],
    "power": [
        "novastate pause web",
        "! novastate stop web",
        "novastate unpause web",
        "novastate stop web",
        "novastate start web --json",
    ],
    "never": [
        "novastate boot busy --host alpha --writes 'uniform wss=128MiB rate=900MiB/s'",
        "! novastate live-migration busy beta --bandwidth 32 --timeout 5",
    ],
    "forced": [
        "novastate live-migration busy beta --bandwidth 32 --timeout 5 --timeout-action force_complete --post-copy",
        "novastate migrations busy",
    ],
    "forecast": ["novastate forecast recordings/31-zipf-r128.json --from law"],
    "evaluate": ["novastate evaluate recordings --from law"],
    "machine": ["novastate machine live-migration"],
}


def ran(command: str) -> str:
    """The command and what it printed; ExtensionError if it ended otherwise than it should."""
    should_fail, words = command.startswith("! "), command.removeprefix("! ")
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        status = main(shlex.split(words)[1:])
    if bool(status) is not should_fail:
        raise ExtensionError(f"{words}: exit status {status}\n{out.getvalue()}")
    return f"$ {words}\n{out.getvalue()}"


def generate(app: Sphinx) -> None:
    out = Path(app.srcdir, "generated", "transcripts")
    out.mkdir(parents=True, exist_ok=True)
    recordings = Path(app.srcdir).parent / "examples" / "recordings"
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            Path("recordings").symlink_to(recordings)
            for name, commands in STEPS.items():
                (out / f"{name}.txt").write_text("\n".join(map(ran, commands)))
        finally:
            os.chdir(before)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("builder-inited", generate, priority=600)  # after the tables, which clear the folder
    return {"parallel_read_safe": True, "parallel_write_safe": True}
