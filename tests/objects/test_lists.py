"""Nova's lists: sequences that cannot change, of one class each."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from novastate.objects import UNSET, InstanceList, KeyPair, KeyPairList, Tag, TagList, evolve
from object_records import UUID, instance

TAGS = tuple(Tag(resource_id=UUID, tag=name) for name in ("web", "blue", "blue", "eu"))


@given(st.lists(st.sampled_from(TAGS), max_size=5), st.integers(-6, 6), st.integers(-6, 6))
def test_a_list_answers_as_a_tuple_does(tags, start, stop):
    ours, plain = TagList(objects=tags), tuple(tags)
    assert len(ours) == len(plain)
    assert tuple(ours) == plain
    assert tuple(reversed(ours)) == plain[::-1]
    assert bool(ours) == bool(plain)
    assert ours.count(TAGS[1]) == plain.count(TAGS[1])
    assert (TAGS[0] in ours) == (TAGS[0] in plain)
    for part in (slice(start, stop), slice(None, None, 2), slice(stop, None, -1)):
        assert type(ours[part]) is TagList
        assert ours[part].objects == plain[part]
    if -len(plain) <= start < len(plain):
        assert ours[start] is plain[start]
        assert ours.index(plain[start]) == plain.index(plain[start])
    else:
        with pytest.raises(IndexError):
            ours[start]


def test_a_list_is_a_sequence_and_a_value():
    ours = TagList(objects=list(TAGS))
    assert isinstance(ours, Sequence)
    assert repr(ours[:1]) == f"TagList(objects=({TAGS[0]!r},))"
    assert repr(TagList()) == "TagList()"
    assert ours == TagList(objects=TAGS) != TagList(objects=TAGS[:2])
    assert hash(ours) == hash(TagList(objects=TAGS))
    assert evolve(ours, objects=[]) == TagList()
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        ours.objects = ()
    with pytest.raises(TypeError):
        ours[0] = TAGS[1]


def test_a_list_does_not_equal_a_list_of_another_class():
    assert TagList() != KeyPairList()
    assert TagList() != ()


def test_a_field_takes_a_list_and_holds_what_is_in_it():
    server = instance(tags=TagList(objects=TAGS), keypairs=KeyPairList(objects=[KeyPair(name="mine")]))
    assert server.tags == TAGS
    assert server.keypairs == (KeyPair(name="mine"),)


def test_a_list_holds_objects_that_live_and_not_copies():
    server = instance()
    servers = InstanceList(objects=[server])
    server.host = "cmp-a"
    assert servers[0].host == "cmp-a"


def test_a_list_that_was_never_loaded_is_not_an_empty_one():
    with pytest.raises(TypeError):
        len(TagList(objects=UNSET))


def test_who_has_instances_loads_no_lists():
    code = "from novastate.objects import Instance, RequestSpec, Migration; import sys; print(*sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    loaded = {name.rpartition(".")[2] for name in said.stdout.split() if name.startswith("novastate.objects.")}
    unused = {
        "lists",
        "block_device",
        "build_request",
        "console",
        "diagnostics",
        "host_numa",
        "instance_action",
        "usage",
    }
    assert "instance" in loaded
    assert not loaded & unused
