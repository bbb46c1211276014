"""Pictures of a machine, drawn from its rows: Mermaid, Graphviz, a Markdown table, SVG.

Rules of this file:

1. A picture is computed from the rows each time, so it cannot drift from the code.
2. It is readable in black and white: direction is an arrow, a way back is dashed, a final state has a
   double frame.
3. A trigger that is defined nearly everywhere is drawn from one node (``any but deleted``), once.

Theory. The SVG is a layered drawing: a state's column is its distance from the initial states, forward edges
run to the right, edges back bow below. It needs no program; for a better layout give the ``dot`` text to
Graphviz.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from html import escape
from typing import Any, NamedTuple

from novastate.errors import UnknownName
from novastate.machines.table import Machine, State

__all__ = ["FORMATS", "draw", "draw_html", "draw_svg"]

#: A trigger with more sources than this is drawn from one node.
_MANY = 6


class _Arrow(NamedTuple):
    source: str
    label: str
    dest: str


class _Graph(NamedTuple):
    nodes: tuple[str, ...]  # states, then nodes that stand for many
    many: frozenset[str]
    arrows: tuple[_Arrow, ...]
    initial: tuple[str, ...]
    final: frozenset[str]


def _sources(machine: type[Machine[Any]], sources: Iterable[State]) -> str:
    """``active, error``; or, where it is shorter, ``any but deleted``."""
    chosen = [s for s in machine.states if s in set(sources)]
    known = [s for s in machine.states if s in _shown(machine)]
    others = [s for s in known if s not in chosen]
    if not others and len(chosen) > 1:
        return "any"
    if len(others) < len(chosen) // 2 and set(chosen) <= set(known):
        return "any but " + ", ".join(map(str, others))
    return ", ".join(map(str, chosen))


def _shown(machine: type[Machine[Any]]) -> frozenset[State]:
    return machine.reachable | {s for row in machine.rows for s in (row.source, row.dest)}


def _by_dest(machine: type[Machine[Any]], trigger: str) -> Mapping[State, list[State]]:
    found: dict[State, list[State]] = {}
    for source, dest in machine.triggers[trigger].rows.items():
        found.setdefault(dest, []).append(source)
    return found


def _graph(machine: type[Machine[Any]]) -> _Graph:
    nodes = [str(s) for s in machine.states if s in _shown(machine)]
    many: list[str] = []
    labels: dict[tuple[str, str], list[str]] = {}
    for trigger in machine.triggers:
        for dest, sources in _by_dest(machine, trigger).items():
            name = _sources(machine, sources)
            if len(sources) > _MANY and name.startswith("any"):
                if name not in many:
                    many.append(name)
                labels.setdefault((name, str(dest)), []).append(trigger)
            else:
                for source in sources:
                    labels.setdefault((str(source), str(dest)), []).append(trigger)
    return _Graph(
        nodes=(*nodes, *many),
        many=frozenset(many),
        arrows=tuple(_Arrow(source, ", ".join(names), dest) for (source, dest), names in labels.items()),
        initial=tuple(str(s) for s in machine.states if s in machine.initial),
        final=frozenset(map(str, machine.final)),
    )


def _id(name: str) -> str:
    return re.sub(r"\W+", "_", name).strip("_")


def _mermaid(machine: type[Machine[Any]]) -> str:
    graph = _graph(machine)
    lines = ["stateDiagram-v2"]
    lines += [f'  state "{node}" as {_id(node)}' for node in graph.nodes if _id(node) != node]
    lines += [f"  [*] --> {_id(node)}" for node in graph.initial]
    lines += [f"  {_id(arrow.source)} --> {_id(arrow.dest)}: {arrow.label}" for arrow in graph.arrows]
    lines += [f"  {_id(node)} --> [*]" for node in graph.nodes if node in graph.final]
    return "\n".join(lines) + "\n"


def _dot(machine: type[Machine[Any]]) -> str:
    graph = _graph(machine)
    lines = [
        f"digraph {machine.__name__} {{",
        "  rankdir=LR;",
        '  node [shape=box, style=rounded, fontname="sans-serif", fontsize=11];',
        '  edge [fontname="sans-serif", fontsize=9];',
        '  "[*]" [shape=point, width=0.12];',
    ]
    for node in graph.nodes:
        looks = ' [style="rounded,dashed"]' if node in graph.many else ""
        lines.append(f'  "{node}"{" [peripheries=2]" if node in graph.final else looks};')
    lines += [f'  "[*]" -> "{node}";' for node in graph.initial]
    lines += [f'  "{arrow.source}" -> "{arrow.dest}" [label="{arrow.label}"];' for arrow in graph.arrows]
    return "\n".join([*lines, "}"]) + "\n"


def _table_rows(machine: type[Machine[Any]]) -> list[tuple[str, str, str, str]]:
    found: list[tuple[str, str, str, str]] = []
    for trigger, fire in machine.triggers.items():
        for dest, sources in _by_dest(machine, trigger).items():
            found.append((trigger, _sources(machine, sources), str(dest), (fire.__doc__ or "").strip()))
    return found


def _table(machine: type[Machine[Any]]) -> str:
    lines = ["| trigger | from | to | meaning |", "|---|---|---|---|"]
    lines += [f"| `{t}` | {source} | {dest} | {meaning} |" for t, source, dest, meaning in _table_rows(machine)]
    return "\n".join(lines) + "\n"


# --- SVG

_WIDTH, _HEIGHT, _GAP_X, _GAP_Y = 150, 26, 150, 22


def _columns(graph: _Graph) -> list[list[str]]:
    """The nodes by their distance from the initial ones; what stands for many comes last."""
    columns: list[list[str]] = []
    placed: set[str] = set()
    layer = list(graph.initial)
    while layer:
        columns.append(layer)
        placed.update(layer)
        ahead = [a.dest for a in graph.arrows if a.source in layer]
        layer = [n for n in graph.nodes if n in ahead and n not in placed]
    rest = [n for n in graph.nodes if n not in placed and n not in graph.many]
    columns += [rest] if rest else []
    columns += [[n for n in graph.nodes if n in graph.many]] if graph.many else []
    return columns


def draw_svg(machine: type[Machine[Any]]) -> str:
    """The machine as an SVG picture, laid out without any other program."""
    graph = _graph(machine)
    columns = _columns(graph)
    tallest = max(map(len, columns))
    place: dict[str, tuple[float, float]] = {}
    for across, column in enumerate(columns):
        spread = tallest / len(column)
        for down, node in enumerate(column):
            place[node] = (20 + across * (_WIDTH + _GAP_X), 20 + (down + 0.5) * spread * (_HEIGHT + _GAP_Y))
    width = 40 + len(columns) * (_WIDTH + _GAP_X) - _GAP_X
    height = 60 + tallest * (_HEIGHT + _GAP_Y)
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
            f'font-family="sans-serif" font-size="11" role="img"><title>{escape(machine.__name__)}</title>'
        ),
        (
            '<defs><marker id="arrow" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" '
            'orient="auto"><path d="M0 0 8 4 0 8z"/></marker></defs>'
        ),
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    labels: list[str] = []
    for at, arrow in enumerate(graph.arrows):
        line, label = _svg_arrow(arrow, place, at)
        parts.append(line)
        labels.append(label)
    parts += labels
    for node, (x, y) in place.items():
        top = y - _HEIGHT / 2
        dash = ' stroke-dasharray="4 3"' if node in graph.many else ""
        parts.append(
            f'<rect x="{x}" y="{top}" width="{_WIDTH}" height="{_HEIGHT}" rx="8" fill="white" stroke="black"{dash}/>'
        )
        if node in graph.final:
            parts.append(
                f'<rect x="{x + 3}" y="{top + 3}" width="{_WIDTH - 6}" height="{_HEIGHT - 6}" rx="6" fill="none" '
                'stroke="black"/>'
            )
        if node in graph.initial:
            parts.append(f'<circle cx="{x - 8}" cy="{y}" r="5"/>')
        size = 11 if len(node) <= 24 else 11 * 24 / len(node)
        parts.append(
            f'<text x="{x + _WIDTH / 2}" y="{y + 4}" text-anchor="middle" font-size="{size:.1f}">{escape(node)}</text>'
        )
    return "\n".join([*parts, "</svg>"]) + "\n"


def _svg_arrow(arrow: _Arrow, place: Mapping[str, tuple[float, float]], at: int) -> tuple[str, str]:
    """The curve and its label; labels sit at different places along the curves, so that few overlap."""
    (x1, y1), (x2, y2) = place[arrow.source], place[arrow.dest]
    forward = x2 > x1
    if forward:
        start, end = (x1 + _WIDTH, y1), (x2, y2)
        c1, c2 = (start[0] + _GAP_X / 2, y1), (x2 - _GAP_X / 2, y2)
    elif x1 == x2:  # the same column, or a loop
        start, end = (x1 + _WIDTH, y1 - 4), (x2 + _WIDTH, y2 + 4)
        bow = 30 + abs(y2 - y1) / 4
        c1, c2 = (start[0] + bow, y1 - 8), (end[0] + bow, y2 + 8)
    else:
        start, end = (x1, y1 + 5), (x2 + _WIDTH, y2 + 5)
        c1, c2 = (x1 - _GAP_X / 2, y1 + 40), (end[0] + _GAP_X / 2, y2 + 40)
    t = (0.3, 0.42, 0.54, 0.66)[at % 4]
    weights = ((1 - t) ** 3, 3 * (1 - t) ** 2 * t, 3 * (1 - t) * t**2, t**3)
    lx, ly = (sum(w * p[axis] for w, p in zip(weights, (start, c1, c2, end), strict=True)) for axis in (0, 1))
    dash = "" if forward else ' stroke-dasharray="5 3"'
    title = escape(f"{arrow.source} → {arrow.dest}: {arrow.label}")
    text = arrow.label if len(arrow.label) <= 34 else arrow.label[:33] + "…"
    return (
        (
            f'<path d="M{start[0]:.0f} {start[1]:.0f}C{c1[0]:.0f} {c1[1]:.0f} {c2[0]:.0f} {c2[1]:.0f} {end[0]:.0f} '
            f'{end[1]:.0f}" fill="none" stroke="black" stroke-width="0.8" marker-end="url(#arrow)"{dash}>'
            f"<title>{title}</title></path>"
        ),
        (
            f'<text x="{lx:.0f}" y="{ly:.0f}" text-anchor="middle" font-size="9" stroke="white" stroke-width="3" '
            f'paint-order="stroke">{escape(text)}</text>'
        ),
    )


def draw_html(machine: type[Machine[Any]]) -> str:
    """The picture, and the rows as a table below it: what a notebook shows."""
    rows = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in _table_rows(machine)
    )
    head = "<tr><th>trigger</th><th>from</th><th>to</th><th>meaning</th></tr>"
    return f"<div>{draw_svg(machine)}<table>{head}{rows}</table></div>"


#: How each format is drawn.
FORMATS: Mapping[str, Callable[[type[Machine[Any]]], str]] = {
    "mermaid": _mermaid,
    "dot": _dot,
    "table": _table,
    "svg": draw_svg,
    "html": draw_html,
}


def draw(machine: type[Machine[Any]], format: str = "mermaid") -> str:  # noqa: A002  (the word of the command line)
    """*machine* as ``mermaid``, ``dot`` (Graphviz), ``table`` (Markdown), ``svg`` or ``html``.

    Raises :class:`~novastate.errors.UnknownName` for another format.

    >>> from novastate.machines import VMMachine
    >>> print(draw(VMMachine, "table").splitlines()[2])
    | `spawned` | building | active | The guest has been built and runs. |
    """
    try:
        drawn = FORMATS[format]
    except KeyError:
        raise UnknownName("diagram format", format, FORMATS) from None
    return drawn(machine)
