"""Draws docs/generated/figures/: the pictures of the pages on convergence, of a recorded migration, by the package's own plots."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

from novastate.cli import main
from novastate.convergence import Recording, plot_curve
from novastate.convergence.pictures.figures import as_svg

#: Whose migration is drawn: its law was known, and it converges after a handful of rounds.
RECORDING = "benchmarks/recordings/31-zipf-r128.json"


def generate(app: Sphinx) -> None:
    out = Path(app.srcdir, "generated", "figures")
    out.mkdir(parents=True, exist_ok=True)
    path = Path(app.srcdir).parent / RECORDING
    curve = Recording.load(path).guest("host").curve
    (out / "curve.svg").write_text(as_svg(plot_curve(curve, curve.observations)))
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        if main(["forecast", str(path), "--from", "law", "--plot", str(out / "rounds.svg")]):
            raise ExtensionError(said.getvalue())


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("builder-inited", generate, priority=600)  # after the tables, which clear the folder
    return {"parallel_read_safe": True, "parallel_write_safe": True}
