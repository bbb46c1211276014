"""Sets of CPUs as texts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from novastate.errors import InvalidField
from novastate.objects.cpu_spec import MOST, format_cpu_spec, parse_cpu_spec


@pytest.mark.parametrize(
    ("text", "cpus"),
    [
        ("", set()),
        (" , ,", set()),
        ("3", {3}),
        ("0-3", {0, 1, 2, 3}),
        (" 0 - 3 , 5 ", {0, 1, 2, 3, 5}),
        ("0-3,^2", {0, 1, 3}),
        ("^2,0-3", {0, 1, 3}),
        ("0-5,^1-3", {0, 4, 5}),
        ("^1", set()),
        (str(MOST), {MOST}),
    ],
)
def test_a_text_names_cpus(text, cpus):
    assert parse_cpu_spec(text) == cpus


@pytest.mark.parametrize(
    "text", ["x", "3-1", "1-", "-1", "^", "1-2-3", "0-65536", "99999999999999999999", "0-3,^x", "1 2"]
)
def test_a_text_that_is_none_is_refused_by_the_name_of_its_field(text):
    with pytest.raises(InvalidField, match="hw:numa_cpus"):
        parse_cpu_spec(text, "hw:numa_cpus.0")


@given(st.sets(st.integers(0, MOST), max_size=50))
def test_what_is_written_is_read_again(cpus):
    assert parse_cpu_spec(format_cpu_spec(cpus)) == cpus
