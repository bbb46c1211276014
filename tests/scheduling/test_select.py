"""Selection: filters object by name, weighers order, and a refusal says what each host lacked."""

from __future__ import annotations

import pytest

from novastate.errors import NoValidHost
from novastate.objects import Destination
from novastate.scheduling import select
from scheduling_records import node, spec


def test_the_host_with_most_room_comes_first():
    hosts = [node("a", memory_mb_used=2048), node("b"), node("c", memory_mb_used=1024)]
    assert select(spec(), hosts) == ("b", "c", "a")


def test_equal_hosts_keep_the_order_of_their_names():
    assert select(spec(), [node("c"), node("a"), node("b")]) == ("a", "b", "c")


def test_each_weigher_counts_over_its_own_range():
    """More CPU and disk outweigh more memory, two weighers to one, whatever the units."""
    hosts = [node("memory", memory_mb=8192), node("rest", vcpus=5, disk_gb=41)]
    assert select(spec(), hosts) == ("rest", "memory")


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        (dict(memory_mb=4097), "4097 memory_mb needed, 4096 free"),
        (dict(ignore_hosts=["a"]), "to be ignored"),
        (dict(force_hosts=["z"]), "only z is wanted"),
        (dict(requested_destination=Destination(host="z")), "z is wanted"),
    ],
)
def test_a_refusal_says_what_the_host_lacked(wanted, reason):
    with pytest.raises(NoValidHost) as error:
        select(spec(**wanted), [node("a")])
    assert error.value.reasons == {"a": reason}


def test_what_is_ignored_for_this_once_is_left_out():
    assert select(spec(), [node("a"), node("b")], frozenset({"a"})) == ("b",)
    with pytest.raises(NoValidHost, match="tried already"):
        select(spec(), [node("a")], frozenset({"a"}))


def test_a_requested_destination_is_the_only_one():
    assert select(spec(requested_destination=Destination(host="b")), [node("a"), node("b")]) == ("b",)
