"""A picture of a forecast: what remains to be sent over time, with its rounds, threshold, pause, throttle and band.

Rules: black, greys and line styles only, so that a print in black and white loses nothing; every axis has its unit. What is
drawn comes from `novastate.convergence.path`, which needs no matplotlib. The band is of guests that write less and more; the interval
of the end is wider, for it holds all else too that is not known (`novastate.convergence.ensemble`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from novastate.convergence import bounds
from novastate.convergence.path import Path, band, path_of
from novastate.convergence.pictures.figures import figure
from novastate.convergence.precopy import Forecast

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["headline", "plot_forecast"]

_MIB = 1 << 20
_MOMENTS = 400
#: Where the interval of the end is drawn, as a share of the height.
_HEIGHT = 0.55
#: Of a migration that goes on for long, so many rounds are drawn.
_ROUNDS = 14
#: An interval that ends later than this many times the total is cut, with an arrow.
_CUT = 1.6
#: Where all that comes after the first round lies below this share of the memory, it is drawn again, larger.
_SMALL = 0.05


def plot_forecast(result: Forecast, recorded: Iterable[tuple[float, float]] = ()) -> Figure:
    """What remains unsent over time, by *result*: rounds, threshold, pause, throttle, and the band of what else it may be.

    Where the later rounds are small beside the first they have a second picture below, with scales of its own.
    *recorded*: (s since the request, bytes that remained) of the migration as it was, drawn over it.
    Raises `ConvergenceError` where matplotlib is not installed, naming the extra; and for numbers that no migration has.
    """
    bounds.instance("result", result, Forecast)
    samples = [
        (bounds.number("recorded.time", when), bounds.number("recorded.remaining", left))
        for when, left in bounds.pairs("recorded", recorded)
    ]
    line = path_of(result)
    last = _horizon(result, line, samples)
    later = _later(result, line, last)
    with figure(7.5, 4.2 if later is None else 6.9) as drawn:
        axes = drawn.add_subplot() if later is None else drawn.add_subplot(2, 1, 1)
        _forecast(axes, result, line, samples, (0.0, last))
        end = "" if result.total is None else f"\nend: {_span(result)}"
        axes.set_title(headline(result) + end, loc="left")
        drawn.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
        if later is not None:
            first, high = later
            below = drawn.add_subplot(2, 1, 2)
            _forecast(below, result, line, samples, (first, last))
            below.set_ylim(0, high / _MIB)
            below.set_title("the same from the end of the first round on", loc="left", fontsize="medium")
        return drawn


def _later(result: Forecast, line: Path, last: float) -> tuple[float, float] | None:
    """From when on what remains is drawn again, s, and how high, bytes; None where it can be seen as it is."""
    whole = max(size for _, size in line.points)
    after = [point for point in line.syncs if point[0] > result.rules.begin]
    if not after or whole <= 0.0:
        return None
    high = max(_threshold(result, line), *(size for when, size in after if when <= last), 0.0)
    if high >= _SMALL * whole:
        return None
    started = after[0][0]
    return max(0.0, started - 0.25 * max(last - started, 0.1)), 1.25 * high


def _forecast(
    axes: Axes, result: Forecast, line: Path, samples: Sequence[tuple[float, float]], window: tuple[float, float]
) -> None:
    first, last = window
    moments = [first + (last - first) * at / _MOMENTS for at in range(_MOMENTS + 1)]
    least, most = band(result, moments)
    axes.fill_between(
        moments, _mib(least), _mib(most), color="black", alpha=0.15, linewidth=0, label="90 % band of the write rates"
    )
    times, left = _split(point for point in line.points if point[0] <= last)
    if times[-1] < last < line.end:  # cut within a round
        times, left = [*times, last], [*left, line.at(last)]
    axes.plot(times, _mib(left), color="black", linewidth=1.3, label="forecast")
    times, left = _split(point for point in line.syncs if point[0] <= last)
    axes.plot(
        times, _mib(left), "o", color="black", markersize=3.5, markerfacecolor="white", label="sync of dirty pages"
    )
    threshold = _threshold(result, line)
    meaning = f"threshold: {threshold / _MIB:.3g} MiB for a limit of {_time(result.limits.downtime)}"
    axes.axhline(threshold / _MIB, color="0.35", linewidth=0.9, linestyle="--", label=meaning)
    if samples:
        times, left = _split(samples)
        axes.plot(times, _mib(left), "x", color="0.25", markersize=3.5, markeredgewidth=0.8, label="as it was")
    _end(axes, result, line, last)
    axes.set_xlim(first, last)
    axes.set_ylim(0)
    axes.set_xlabel("time since the request, s")
    axes.set_ylabel("memory that remains to be sent, MiB")
    if any(percent for _, percent in line.throttle):
        _throttle(axes, line, last)
    else:
        axes.spines["right"].set_visible(False)


def headline(result: Forecast) -> str:
    """Verdict and numbers in one line."""
    if result.total is not None and result.downtime is not None and result.transferred is not None:
        how = "switches to post-copy" if result.post_copied else "converges"
        likely = "" if result.probability > 0.9 else f", {result.probability:.0%} likely"
        sent = f"{result.transferred / _MIB:.0f} MiB sent"
        return f"It {how}: {result.total:.1f} s, pause {_time(result.downtime)}, {sent}{likely}"
    if result.unlimited_total is not None and result.limits.timeout is not None:
        return f"It would take {result.unlimited_total:.1f} s, and is given up after {result.limits.timeout:.5g} s"
    given_up = "" if result.limits.timeout is None else f", and is given up after {result.limits.timeout:.5g} s"
    return f"It never converges ({result.probability:.0%} likely to complete){given_up}"


def _span(result: Forecast) -> str:
    if result.total is None or result.total_interval is None:
        return "none"
    low, high = result.total_interval
    instead = "" if result.otherwise is None else f", or {result.otherwise}"
    return f"{result.total:.1f} s (90 %: {low:.1f} to {high:.1f} s{instead})"


def _end(axes: Axes, result: Forecast, line: Path, last: float) -> None:
    """The pause or the switch to post-copy, the interval of the end, and the timeout."""
    timeout = result.limits.timeout
    if timeout is not None and timeout <= last:
        axes.axvline(timeout, color="black", linewidth=0.9, linestyle="-.", label=f"given up after {timeout:g} s")
    if result.total is None or result.downtime is None or line.stop is None:
        return
    if result.post_copied:
        axes.axvline(line.stop, color="black", linewidth=0.9, linestyle=":", label="the guest runs on the destination")
    low, high = result.total_interval or (result.total, result.total)
    across = axes.get_xaxis_transform()  # s, and a share of the height
    axes.plot([low, min(high, last)], [_HEIGHT, _HEIGHT], color="black", linewidth=1.3, marker="|", transform=across)
    axes.plot([result.total], [_HEIGHT], "o", color="black", markersize=4.5, transform=across, label="end, 90 % of all")
    if high > last:
        axes.plot([last], [_HEIGHT], ">", color="black", markersize=6, clip_on=False, transform=across)
    left = line.at(line.stop) / _MIB
    axes.plot([line.stop], [left], "v", color="black", markersize=5, label=f"pause {_time(result.downtime)}")


def _throttle(axes: Axes, line: Path, last: float) -> None:
    """The share of vCPU time that is withheld, on an axis of its own."""
    other = axes.twinx()
    times, percent = _split(point for point in line.throttle if point[0] <= last)
    times, percent = [*times, last], [*percent, percent[-1]]
    other.step(times, percent, where="post", color="0.35", linewidth=1.1, linestyle=(0, (1, 1)))
    other.set_ylim(0, 100)
    other.set_ylabel("vCPU time withheld (dotted), %")
    axes.set_zorder(other.get_zorder() + 1)  # the forecast is drawn over the dotted line
    axes.patch.set_visible(False)


def _threshold(result: Forecast, line: Path) -> float:
    """Bytes that the limit of the pause has room for, at the rate that the hypervisor measures."""
    rate = result.rules.switchover_bandwidth or result.link.limit
    if not rate and line.syncs and line.syncs[0][0] > result.rules.begin:
        rate = result.rounds[0].sent / (line.syncs[0][0] - result.rules.begin)
    return (rate or result.link.line_rate) * result.limits.downtime


def _horizon(result: Forecast, line: Path, samples: Sequence[tuple[float, float]]) -> float:
    """Up to when it is drawn, s."""
    recorded = max((when for when, _ in samples), default=0.0)
    if result.total is not None:
        high = result.total if result.total_interval is None else result.total_interval[1]
        last = max(result.total, min(high, _CUT * result.total))
    else:
        last = line.syncs[_ROUNDS - 1][0] if len(line.syncs) > _ROUNDS else line.end
    return max(1.04 * max(last, recorded), 1e-3)


def _mib(sizes: Sequence[float]) -> list[float]:
    return [size / _MIB for size in sizes]


def _split(points: Iterable[tuple[float, float]]) -> tuple[list[float], list[float]]:
    rows = list(points)
    return [float(when) for when, _ in rows], [float(value) for _, value in rows]


def _time(seconds: float) -> str:
    return f"{1000 * seconds:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"
