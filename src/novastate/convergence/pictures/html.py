"""Forecasts and dirty curves as a notebook shows them: a small table, and the picture where matplotlib is installed.

Without matplotlib (extra ``plot``) the table stands alone; nothing is said of it, for a notebook shows this unasked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from html import escape
from typing import TYPE_CHECKING

from novastate.convergence.curve import DirtyCurve
from novastate.convergence.pictures.curve_plot import plot_curve
from novastate.convergence.pictures.figures import as_svg, installed
from novastate.convergence.pictures.plots import plot_forecast
from novastate.convergence.precopy import Forecast

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["curve_html", "forecast_html", "forecast_rows"]

_MIB = 1 << 20


def forecast_rows(result: Forecast) -> list[tuple[str, str]]:
    """The facts of *result*, as (name, value) for people."""
    rows = [("verdict", result.verdict.value), ("probability", f"{result.probability:.0%} to complete in time")]
    if result.total is not None and result.total_interval is not None:
        low, high = result.total_interval
        within = f"between {low:.2f} and {high:.2f} s" if result.in_time else f"later than {low:.2f} s"
        rows.append(("total", f"{result.total:.2f} s, 90 % {within}"))
        if result.otherwise is not None:
            rows.append(("or", result.otherwise))
    if result.downtime is not None and result.transferred is not None:
        low, high = result.downtime_interval or (result.downtime, result.downtime)
        rows.append(
            ("pause", f"{1000 * result.downtime:.0f} ms, 90 % between {1000 * low:.0f} and {1000 * high:.0f} ms")
        )
        rows.append(("transferred", f"{result.transferred / _MIB:.0f} MiB"))
    rows.append(("syncs", str(result.syncs)))
    if result.throttle:
        rows.append(("throttle", f"{result.throttle} %"))
    return rows


def forecast_html(result: Forecast) -> str:
    """*result* as a piece of HTML."""
    return _page(result.reason, forecast_rows(result), lambda: plot_forecast(result))


def curve_html(curve: DirtyCurve) -> str:
    """*curve* as a piece of HTML."""
    rows = [(f"in {tau:g} s", f"{curve.pages(tau):,.0f} pages") for tau in (0.1, 1.0, 10.0)]
    rows.append(("of", f"{curve.page_count:,} pages, known within {curve.spread:.0%}"))
    return _page("Distinct pages that the guest writes.", rows, lambda: plot_curve(curve))


def _page(text: str, rows: Iterable[tuple[str, str]], draw: Callable[[], Figure]) -> str:
    lines = "".join(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in rows)
    picture = as_svg(draw()) if installed() else ""
    return f"<div><p>{escape(text)}</p><table>{lines}</table>{picture}</div>"
