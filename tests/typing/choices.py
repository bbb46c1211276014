"""What the type checkers must see of the inverse questions, the choices and the pictures; never imported."""

from __future__ import annotations

from typing import assert_type

from novastate.convergence import Forecast, Guest, Limits, Link, Requirement, required_bandwidth
from novastate.convergence.choices import Choice, Choices, Way, compare
from novastate.convergence.inverse import required_downtime, required_throttle
from novastate.convergence.pictures.plots import plot_forecast


def asked(guest: Guest, link: Link, limits: Limits, made: Forecast) -> None:
    assert_type(required_bandwidth(guest, limits, line_rate=1e9, probability=0.9), Requirement | None)
    assert_type(required_downtime(guest, link, timeout=800), Requirement | None)
    least = required_throttle(guest, link, limits)
    assert least is not None
    assert_type(
        (least.value, least.forecast, least.probability, least.lucky), tuple[float, Forecast, float, float | None]
    )

    choices = compare(guest, link, limits, among=("wait", "throttle"))
    assert_type(choices, Choices)
    assert_type(choices["post_copy"], Choice)
    assert_type(choices.recommended, Way)
    assert_type([row.downtime for row in choices], list[float | None])
    compare(guest, link, among=("hope",))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

    plot_forecast(made, [(0.1, 2.0)]).savefig("out.png")
    plot_forecast(made, [1.0])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
