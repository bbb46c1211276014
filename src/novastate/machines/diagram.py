"""Pictures of a machine, drawn from its rows: Mermaid, Graphviz, a Markdown table, SVG.

Rules of this file:

1. A picture is computed from the rows each time, so it cannot drift from the code.
2. It is readable in black and white, and no two labels can overlap.
3. A trigger that is defined nearly everywhere is drawn from one node (``any but deleted``), once.

Theory. A graph of forty states and three hundred edges cannot be laid out so that it can be read. The SVG is
therefore no graph but a table of lanes: a column for each state, a line for each trigger, from the states
that it may be fired in to the one that it leads to. It needs no other program. For a graph give the
``dot`` text to Graphviz, or the Mermaid text to whatever shows it.
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


# --- SVG: a lane for each state, a line for each trigger

_LANE, _LINE, _LABEL = 30, 20, 170


def _lanes(graph: _Graph) -> list[str]:
    """The states from left to right: initial ones, the others in the order of their enum, final ones."""
    states = [n for n in graph.nodes if n not in graph.many]
    return sorted(states, key=lambda n: 0 if n in graph.initial else 2 if n in graph.final else 1)


def draw_svg(machine: type[Machine[Any]]) -> str:
    """The machine as an SVG picture: each line leads from the dots, where the trigger may be fired, to an arrow head.

    A ring is a trigger that keeps the state. A black mark below a state's name: it is initial; two bars:
    it is final.
    """
    graph = _graph(machine)
    lanes = {name: _LABEL + 20 + at * _LANE for at, name in enumerate(_lanes(graph))}
    lines = _table_lines(machine)
    head = 40 + 5 * max(map(len, lanes))
    width = _LABEL + 20 + len(lanes) * _LANE + 80
    bottom = head + 12 + len(lines) * _LINE
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{bottom + 10}" role="img"',
        f'viewBox="0 0 {width} {bottom + 10}" font-family="sans-serif" font-size="11">',
        f"<title>{escape(machine.__name__)}</title>",
        f'<rect width="{width}" height="{bottom + 10}" fill="white"/>',
    ]
    for name, x in lanes.items():
        parts.append(f'<path d="M{x} {head}V{bottom}" stroke="black" stroke-width="0.4" stroke-dasharray="1 3"/>')
        parts.append(f'<text transform="translate({x + 4} {head - 14})rotate(-50)">{escape(name)}</text>')
        if name in graph.initial:
            parts.append(f'<circle cx="{x}" cy="{head - 5}" r="4"/>')
        if name in graph.final:
            parts.append(f'<path d="M{x - 6} {head - 8}h12M{x - 6} {head - 4}h12" stroke="black"/>')
    for at, (trigger, sources, dest) in enumerate(lines):
        y = head + 16 + at * _LINE
        title = escape(f"{_sources(machine, sources)} → {dest}: {trigger}")
        parts.append(f'<g><title>{title}</title><text x="{_LABEL}" y="{y + 4}" text-anchor="end">{trigger}</text>')
        parts += _svg_line([lanes[str(source)] for source in sources], lanes[str(dest)], y)
        parts.append("</g>")
    return "\n".join([*parts, "</svg>"]) + "\n"


def _table_lines(machine: type[Machine[Any]]) -> list[tuple[str, list[State], State]]:
    return [(t, sources, dest) for t in machine.triggers for dest, sources in _by_dest(machine, t).items()]


def _svg_line(sources: list[int], dest: int, y: int) -> list[str]:
    """One line: dots at the *sources*, a head at *dest* for each side that it is reached from, a ring for a loop."""
    parts = [f'<circle cx="{x}" cy="{y}" r="3"/>' for x in sources if x != dest]
    for far, side in ((min(sources), -1), (max(sources), 1)):
        if (far - dest) * side > 0:
            parts.append(f'<path d="M{far} {y}H{dest + side * 2}" stroke="black" fill="none"/>')
            parts.append(f'<path d="M{dest} {y}l{side * 8} -4v8z"/>')
    if dest in sources:
        parts.append(f'<circle cx="{dest}" cy="{y}" r="5" stroke="black" fill="none"/>')
    return parts


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
