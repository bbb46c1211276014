"""A picture of every kind of forecast parses, is labelled with units, holds finite numbers only, and is always the same."""

from __future__ import annotations

import functools
import re
import sys
from xml.etree import ElementTree as ET

import pytest

from novastate.convergence import DirtyClass, DirtyCurve, Guest, Limits, Link, Rules, forecast
from novastate.convergence.path import path_of
from novastate.convergence.pictures.curve_plot import plot_curve
from novastate.convergence.pictures.figures import as_svg, save
from novastate.convergence.pictures.html import curve_html, forecast_html
from novastate.convergence.pictures.plots import headline, plot_forecast
from novastate.errors import ConvergenceError

MIB = 1 << 20
PAGES = 98434
LINK = Link(64 * MIB)


def guest(rate=1.0, spread=0.1, **more):
    rows = (DirtyClass(16000, 15000 * rate), DirtyClass(60, 2400))
    return Guest(PAGES * 4096, 32079, 4096, DirtyCurve(rows, PAGES, spread), **more)


IDLE = Guest(4096, 1, 4096, DirtyCurve((), 1))
LARGE = Guest(2.0**36, 0, 4096, DirtyCurve((DirtyClass(60000, 15000),), 2**24))
HUGE = Guest(2.0**50, 0, 4096, DirtyCurve((DirtyClass(2.0**30, 1e6),), 2**38))
CASES = {
    "converges": forecast(guest(0.2), LINK, Limits(0.3, 800)),
    "never": forecast(guest(4.0), LINK, Limits(0.05, 20)),
    "for ever": forecast(guest(4.0), LINK, Limits(0.05)),
    "times out": forecast(guest(), LINK, Limits(0.3, 5)),
    "auto-converge": forecast(guest(4.0), LINK, Limits(0.3), Rules.qemu(auto_converge=True)),
    "post-copy": forecast(guest(4.0), LINK, Limits(0.05), Rules.qemu(post_copy=True)),
    "unlimited": forecast(guest(0.2), Link(None)),
    "one page": forecast(IDLE, LINK),
    "no first pass": forecast(HUGE, Link(1.0, 1.0)),
    "large": forecast(LARGE, LINK, Limits(0.3)),
}
TEXTS = {
    "converges": ["It converges: 4.", "pause ", "threshold: 19.2 MiB for a limit of 300 ms", "end: 4."],
    "never": ["It never converges", "given up after 20 s"],
    "for ever": ["It never converges"],
    "times out": ["It would take 5.", "is given up after 5 s"],
    "auto-converge": ["It converges: ", "vCPU time withheld (dotted), %"],
    "post-copy": ["It switches to post-copy: 4.", "the guest runs on the destination"],
    "unlimited": ["It converges: "],
    "one page": ["It converges: "],
    "no first pass": ["It never converges"],
    "large": ["It converges: ", "the same from the end of the first round on"],
}
SAMPLES = [(0.5, 370 * MIB), (2.0, 250 * MIB), (4.0, 140 * MIB)]


@functools.cache
def picture(case):
    return as_svg(plot_forecast(CASES[case]))


def parsed(svg):
    assert "nan" not in svg.lower()
    assert not re.search(r"\binf\b", svg)
    root = ET.fromstring(svg)
    assert root.tag.endswith("svg")
    return [element.text for element in root.iter() if element.tag.endswith("text")]


@pytest.mark.parametrize("case", CASES)
def test_every_kind_of_forecast_has_a_picture_with_title_and_units(case):
    told = parsed(picture(case))
    for text in [
        *TEXTS[case],
        "time since the request, s",
        "memory that remains to be sent, MiB",
        "forecast",
        "90 % band of the write rates",
    ]:
        assert any(text in one for one in told if one), text
    assert "as it was" not in told


def test_what_was_recorded_is_drawn_over_it_and_the_same_is_the_same_picture(tmp_path):
    drawn = [plot_forecast(CASES["converges"], SAMPLES) for _ in range(2)]
    for suffix in (".svg", ".png", ".pdf"):
        for name, one in zip("ab", drawn, strict=True):
            save(one, tmp_path / f"{name}{suffix}")
        assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()
    told = as_svg(drawn[0])
    assert "as it was" in parsed(told)
    assert told.count("<use") >= picture("converges").count("<use") + len(SAMPLES)


@pytest.mark.parametrize("case", CASES)
def test_only_black_white_and_grey_are_used(case):
    colours = set(re.findall(r"#[0-9a-f]{6}", picture(case)))
    assert all(colour[1:3] == colour[3:5] == colour[5:7] for colour in colours)


def test_nothing_global_is_left_behind_and_pyplot_is_not_asked_for(monkeypatch):
    import matplotlib as mpl

    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    before = mpl.rcParams.copy()
    as_svg(plot_forecast(CASES["one page"]))
    assert mpl.rcParams.copy() == before


@pytest.mark.parametrize(
    "observations", [(), [(0.25, 2956), (1.0, 9003)], [(0.5, 5379.0, 300.0), (1.0, 0.0, 500.0), (60.0, 15000, 0)]]
)
def test_a_curve_has_a_picture_with_its_observations(observations):
    told = parsed(as_svg(plot_curve(guest().curve, observations)))
    assert {"window, s", "distinct pages written in it", "W, the curve", "90 % band"} < set(told)
    assert ("observed" in told) == bool(observations)


def test_a_curve_is_drawn_with_what_it_was_made_of():
    made = DirtyCurve.from_windows({0.25: 2956, 0.5: 5379, 1.0: 9003}, page_count=PAGES)
    assert len(made.observations) == 3
    told = as_svg(plot_curve(made))
    assert "observed" in parsed(told)
    assert "observed" not in parsed(as_svg(plot_curve(made, ())))


def test_the_curve_of_an_idle_guest_has_a_picture():
    told = parsed(as_svg(plot_curve(IDLE.curve)))
    assert "W, the curve" in told
    silent = plot_curve(DirtyCurve((), 100)).axes[0]
    assert silent.get_yscale() == "linear"
    low, high = silent.get_ylim()
    line = silent.get_lines()[0].get_ydata()
    assert low <= min(line) <= max(line) < high


@pytest.mark.parametrize(
    ("draw", "field"),
    [
        (lambda: plot_forecast(CASES["never"], [(-1, 0)]), "recorded.time"),
        (lambda: plot_forecast(CASES["never"], [(1, float("nan"))]), "recorded.remaining"),
        (lambda: plot_curve(guest().curve, [(1.0,)]), "observations[0]"),
        (lambda: plot_curve(guest().curve, [(1.0, 2.0), (0.0, 2.0)]), "observations[1].tau"),
        (lambda: plot_curve(guest().curve, [(1.0, 2.0, -1.0)]), "observations[0].deviation"),
    ],
)
def test_what_cannot_be_drawn_is_refused_by_name(draw, field):
    with pytest.raises(ConvergenceError) as caught:
        draw()
    assert caught.value.field == field


def test_a_picture_that_cannot_be_written_names_the_file(tmp_path):
    drawn = plot_forecast(CASES["one page"])
    for path, problem in (
        ("a.gif", "no kind of picture"),
        ("nowhere/a.svg", "cannot be written"),
        ("", "no kind of picture"),
    ):
        with pytest.raises(ConvergenceError, match=problem) as caught:
            save(drawn, tmp_path / path)
        assert caught.value.value == str(tmp_path / path)


def test_a_suffix_in_capitals_is_the_same_suffix(tmp_path):
    for name in ("a.svg", "b.SVG"):
        save(plot_forecast(CASES["one page"]), tmp_path / name)
    assert (tmp_path / "b.SVG").read_bytes() == (tmp_path / "a.svg").read_bytes()


def test_no_text_stands_over_the_lines():
    """The numbers of the end and of the pause stand in title and legend: in the picture they would cover the throttle's line."""
    for case, result in CASES.items():
        for axes in plot_forecast(result).axes:
            assert [text.get_text() for text in axes.texts] == [], case


def test_without_matplotlib_one_error_names_the_extra_and_a_notebook_shows_the_table(monkeypatch):
    from novastate.convergence.pictures import figures, html

    with_picture = forecast_html(CASES["converges"])
    assert with_picture.count("<svg") == with_picture.count("</svg>") == 1
    assert CASES["converges"]._repr_html_() == with_picture
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    monkeypatch.setattr(html, "installed", lambda: False)
    monkeypatch.setattr(figures, "installed", lambda: False)
    with pytest.raises(ConvergenceError, match=r"novastate\[plot\]"):
        plot_forecast(CASES["converges"])
    with pytest.raises(ConvergenceError, match=r"novastate\[plot\]"):
        figures.check("out.svg")
    bare = forecast_html(CASES["converges"])
    assert "<svg" not in bare
    assert "<th>verdict</th><td>converges</td>" in bare
    assert bare[: bare.index("</table>")] == with_picture[: with_picture.index("</table>")]


def test_a_curve_shows_itself_in_a_notebook():
    found = curve_html(guest().curve)
    assert "<th>in 1 s</th><td>9,7" in found
    assert found.count("<svg") == 1
    ET.fromstring(found)
    assert guest().curve._repr_html_() == curve_html(guest().curve)


def test_later_rounds_that_are_too_small_to_be_seen_are_drawn_again():
    whole, later = plot_forecast(CASES["large"]).axes
    line = path_of(CASES["large"])
    first, last = later.get_xlim()
    seen = [(when, size) for when, size in line.syncs if first <= when <= last]
    assert len(seen) >= 2
    assert whole.get_xlim()[0] == 0.0
    assert whole.get_xlim()[1] == last
    assert later.get_ylim()[1] < 0.05 * whole.get_ylim()[1]
    assert all(size / MIB < later.get_ylim()[1] for _, size in seen)
    assert len(plot_forecast(CASES["converges"]).axes) == 1


def test_the_headline_is_one_line():
    for case in CASES.values():
        assert 10 < len(headline(case)) < 90
        assert "\n" not in headline(case)
