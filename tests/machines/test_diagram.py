"""Pictures: every row is in them, and nothing else."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest

from machine_reference import MACHINES
from novastate.errors import UnknownName
from novastate.machines import LiveMigrationMachine, TaskMachine, VMMachine
from novastate.machines.diagram import FORMATS, draw


def states_of(machine, name):
    """The states that a node's name stands for."""
    by_name = {str(s): s for s in machine.states}
    if name in by_name:
        return {by_name[name]}
    known = {s for row in machine.rows for s in (row.source, row.dest)}
    if name == "any":
        return known
    if name.startswith("any but "):
        return known - {by_name[n] for n in name.removeprefix("any but ").split(", ")}
    return {by_name[n] for n in name.split(", ")}


def rows_of(machine, arrows):
    return {
        (trigger, source, dest)
        for name, to, label in arrows
        for source in states_of(machine, name)
        for dest in states_of(machine, to)
        for trigger in label.split(", ")
    }


def rows(machine):
    return {(row.trigger, row.source, row.dest) for row in machine.rows}


@pytest.mark.parametrize("machine", MACHINES, ids=lambda m: m.__name__)
def test_dot_holds_every_row_and_no_other(machine):
    arrows = re.findall(r'"([^"]+)" -> "([^"]+)" \[label="([^"]+)"\]', draw(machine, "dot"))
    assert rows_of(machine, arrows) == rows(machine)


@pytest.mark.parametrize("machine", MACHINES, ids=lambda m: m.__name__)
def test_mermaid_holds_every_row_and_no_other(machine):
    text = draw(machine)
    names = {short: name for name, short in re.findall(r'state "([^"]+)" as (\w+)', text)}
    arrows = [
        (names.get(source, source), names.get(dest, dest), label)
        for source, dest, label in re.findall(r"^  (\w+) --> (\w+): (.+)$", text, re.MULTILINE)
    ]
    assert rows_of(machine, arrows) == rows(machine)
    assert set(re.findall(r"\[\*\] --> (\w+)", text)) == {
        re.sub(r"\W+", "_", str(s)).strip("_") for s in machine.initial
    }
    assert len(re.findall(r"--> \[\*\]", text)) == len(machine.final)


@pytest.mark.parametrize("machine", MACHINES, ids=lambda m: m.__name__)
def test_the_table_holds_every_row_and_no_other(machine):
    lines = draw(machine, "table").splitlines()[2:]
    arrows = [(cells[2], cells[3], cells[1].strip("`")) for cells in (re.split(r" ?\| ?", line) for line in lines)]
    assert rows_of(machine, arrows) == rows(machine)
    for line in lines:
        assert re.search(r"\w.*\. \|$", line), "every trigger says what it means"


@pytest.mark.parametrize("machine", MACHINES, ids=lambda m: m.__name__)
def test_svg_is_well_formed_and_names_every_row(machine):
    svg = ET.fromstring(draw(machine, "svg"))
    space = {"s": "http://www.w3.org/2000/svg"}
    titles = [title.text for title in svg.iterfind("s:g/s:title", space)]
    arrows = [re.fullmatch(r"(.+) → (.+): (.+)", title).groups() for title in titles]
    assert rows_of(machine, arrows) == rows(machine)
    shown = {text.text for text in svg.iterfind("s:text", space)}
    assert {str(s) for s in machine.reachable} <= shown
    # Black and white: no other colour.
    assert set(re.findall(r'(?:fill|stroke)="(\w+)"', draw(machine, "svg"))) <= {"black", "white", "none"}


@pytest.mark.parametrize("machine", MACHINES, ids=lambda m: m.__name__)
def test_what_is_drawn_lies_within_the_picture(machine):
    svg = ET.fromstring(draw(machine, "svg"))
    width, height = float(svg.get("width")), float(svg.get("height"))
    for box in svg.iterfind("{http://www.w3.org/2000/svg}rect"):
        assert 0 <= float(box.get("x", 0)) <= width
        assert float(box.get("x", 0)) + float(box.get("width")) <= width
        assert float(box.get("y", 0)) + float(box.get("height")) <= height


def test_a_notebook_gets_a_picture_and_a_table():
    assert LiveMigrationMachine._repr_svg_().startswith("<svg")
    html = LiveMigrationMachine._repr_html_()
    assert html.startswith("<div><svg")
    assert "<td>post_copy</td>" in html


def test_a_status_that_a_type_never_has_is_in_no_picture_of_it():
    for drawn in FORMATS:
        assert "post-migrating" not in draw(LiveMigrationMachine, drawn)


def test_what_holds_nearly_everywhere_is_drawn_once():
    assert '"any but deleted" -> "deleted" [label="delete"]' in draw(VMMachine, "dot")
    assert draw(TaskMachine, "dot").count("evacuate") == 1


def test_pictures_are_the_same_every_time():
    assert draw(TaskMachine, "dot") == draw(TaskMachine, "dot")


def test_an_unknown_format_lists_the_near_ones():
    with pytest.raises(UnknownName, match="mermaid"):
        draw(VMMachine, "mermade")
