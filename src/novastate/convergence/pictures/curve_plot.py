"""A picture of a dirty curve: W(tau) with its band, and what was observed of it.

Rules: black, greys and line styles only; both axes are logarithmic, since what matters lies between the pause (tens of ms) and a
round (tens of s).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from novastate.convergence import bounds
from novastate.convergence.curve import DirtyCurve
from novastate.convergence.pictures.figures import figure
from novastate.errors import ConvergenceError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_curve"]

_MOMENTS = 200


def plot_curve(curve: DirtyCurve, observations: Iterable[Sequence[float]] | None = None) -> Figure:
    """W(tau) of *curve*, with its band of 90 %, and *observations* of it: (tau in s, pages) or (tau, pages, standard deviation).

    Without any, those that the curve was made of are drawn.

    Raises `ConvergenceError` where matplotlib is not installed, naming the extra, and for observations that are none.
    """
    bounds.instance("curve", curve, DirtyCurve)
    rows = curve.observations if observations is None else bounds.entries("observations", observations, object)
    seen = [_observed(at, row) for at, row in enumerate(rows)]
    with figure(6.0, 3.8) as drawn:
        axes = drawn.add_subplot()
        _curve(axes, curve, seen)
        axes.set_title(f"What the guest writes: {curve.pages(1.0):,.0f} distinct pages in a second", loc="left")
        return drawn


def _curve(axes: Axes, curve: DirtyCurve, seen: Sequence[tuple[float, float, float]]) -> None:
    taus = [tau for tau, _, _ in seen]
    low, high = min([0.01, *taus]) / 1.5, max([30.0, *taus]) * 1.5
    moments = [low * (high / low) ** (at / _MOMENTS) for at in range(_MOMENTS + 1)]
    quiet = not any([curve.upper.pages(high), *(pages + error for _, pages, error in seen)])
    floor = 0.0 if quiet else max(0.3 * curve.pages(low), 1e-3)
    if curve.spread or curve.band or curve.others:
        under, over = ([max(floor, side.pages(tau)) for tau in moments] for side in (curve.lower, curve.upper))
        axes.fill_between(moments, under, over, color="0.85", linewidth=0, label="90 % band")
    axes.plot(
        moments, [max(floor, curve.pages(tau)) for tau in moments], color="black", linewidth=1.3, label="W, the curve"
    )
    whole = sum(row.size for row in curve.classes)
    if whole:
        axes.axhline(whole, color="0.35", linewidth=0.9, linestyle=":", label="all that is ever written")
    if seen:
        axes.errorbar(
            taus,
            [max(floor, pages) for _, pages, _ in seen],
            yerr=[
                [min(1.645 * error, max(0.0, pages - floor)) for _, pages, error in seen],
                [1.645 * error for _, _, error in seen],
            ],
            fmt="o",
            color="black",
            markerfacecolor="white",
            markersize=4.5,
            linewidth=0.9,
            capsize=2.5,
            label="observed",
        )
    axes.set_xscale("log")
    axes.set_yscale("linear" if quiet else "log")  # nothing at all has no place on a logarithmic axis
    axes.set_xlim(low, high)
    axes.set_ylim(floor, 10.0 if quiet else None)
    axes.set_xlabel("window, s")
    axes.set_ylabel("distinct pages written in it")
    axes.spines["right"].set_visible(False)
    axes.legend(loc="lower right", frameon=False)


def _observed(at: int, row: object) -> tuple[float, float, float]:
    found = tuple[Any, ...](row) if isinstance(row, Iterable) and not isinstance(row, str | bytes) else ()
    if len(found) not in {2, 3}:
        raise ConvergenceError(f"observations[{at}]", row, "must be (tau, pages) or (tau, pages, deviation)")
    tau, pages, error = *found[:2], found[2] if len(found) > 2 else 0.0
    return (
        bounds.number(f"observations[{at}].tau", tau, bounds.SHORTEST, bounds.LONGEST),
        bounds.number(f"observations[{at}].pages", pages, 0, bounds.MOST_PAGES),
        bounds.number(f"observations[{at}].deviation", error, 0, bounds.MOST_PAGES),
    )
