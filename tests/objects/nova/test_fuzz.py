"""Whatever comes in becomes an object that goes out and comes in again as it is, or a WireError that is small and names the path.

What is promised is for what a JSON library makes; other Python objects are refused too, unless their own methods raise.
"""

from __future__ import annotations

import collections
import json
import warnings
from random import Random
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuzz import laws
from fuzz.mutate import mutated, places
from novastate import objects
from novastate.errors import NewerVersionWarning, WireError
from novastate.objects import nova
from novastate.objects.base import declared, fields
from novastate.objects.convert import structure
from novastate.objects.nova.versions import CURRENT
from novastate.testing import strategies

pytestmark = pytest.mark.filterwarnings("ignore::novastate.errors.NewerVersionWarning")

SEEDS = laws.seeds()
WIRED = sorted(name for name in declared() if name in CURRENT)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.sampled_from(laws.words())
JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=8) | st.sampled_from(laws.words()), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(JSON)
def test_any_json_is_taken_or_refused(held):
    laws.wire(lambda: nova.load(held), held)


@given(st.sampled_from(sorted(CURRENT)), st.dictionaries(st.sampled_from(laws.words()), JSON, max_size=6))
def test_any_data_of_any_object_are_taken_or_refused(name, data):
    held = laws.envelope(name, CURRENT[name], data)
    laws.wire(lambda: nova.load(held), held)


@given(st.sampled_from(sorted(declared())), JSON)
def test_any_plain_json_is_taken_or_refused(name, held):
    laws.plain(lambda: structure(declared()[name], held))


@given(st.binary(max_size=200) | st.text(max_size=200))
def test_any_text_is_taken_or_refused(text):
    laws.wire(lambda: nova.loads(text))
    laws.plain(lambda: objects.loads(objects.Flavor, text))


@pytest.mark.parametrize("seed", SEEDS)
@given(random=st.randoms(use_true_random=False), times=st.integers(1, 4))
def test_a_damaged_primitive_is_taken_or_refused(seed, random, times):
    held = mutated(random, SEEDS[seed], times)
    text = json.dumps(held)
    made = laws.wire(lambda: nova.load(held), held)
    assert json.dumps(held) == text, "what is read is left as it is"
    if made is not None and not any(
        isinstance(part[key], int) and abs(part[key]) >= 2**63 for part, key in places([held])
    ):
        assert nova.loads(text) == made


@pytest.mark.parametrize("name", WIRED)
@given(data=st.data(), random=st.randoms(use_true_random=False))
def test_a_damaged_object_of_any_class_is_taken_or_refused(name, data, random):
    whole = data.draw(strategies.records(declared()[name], partial=True))
    held = mutated(random, json.loads(nova.dumps(whole)))
    laws.wire(lambda: nova.load(held), held)
    plain = json.loads(objects.dumps(whole))
    laws.plain(lambda: structure(declared()[name], mutated(random, plain)))


@pytest.mark.parametrize("seed", SEEDS)
def test_every_member_is_missed_and_every_value_is_refused_by_its_path(seed):
    """Each place of each primitive in turn: taken away, and filled with what no field takes."""
    random = Random(seed)
    for number in range(len(places(SEEDS[seed]))):
        for change in range(2):
            held = json.loads(json.dumps(SEEDS[seed]))
            into, key = places(held)[number]
            if change:
                del into[key]
            else:
                into[key] = random.choice(([[[]]], {"": [None]}, 2**70, "\ud800", 0.5))
            laws.wire(lambda held=held: nova.load(held), held)


class Text(str):
    __slots__ = ()


#: Python objects that no JSON library makes.
OTHERS = {
    "a set": {1}, "a frozenset": frozenset(), "a tuple": (1, 2), "bytes": b"\xff", "a bytearray": bytearray(b"{}"), "an object": object(),
    "a class": dict, "a function": len, "a complex": 1j, "a range": range(3), "a view": {}.keys(), "a mapping": MappingProxyType({"a": 1}),
    "a dict of others": {1: 2, None: 3, (): 4, b"": 5}, "a default": collections.defaultdict(list), "an ordered": collections.OrderedDict(a=1),
    "a text": Text("a"), "an error": ValueError("a"), "Ellipsis": ..., "UNSET": objects.UNSET, "a record": objects.Flavor(vcpus=1, memory_mb=64),
}  # fmt: skip


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
@pytest.mark.parametrize(
    "seed", ["instance_active", "request_spec_pci_gpu", "libvirt_live_migrate_data_minimal", "flavor_1_3_newer"]
)
def test_what_is_no_json_is_taken_or_refused_everywhere(seed, other):
    def tried(held):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NewerVersionWarning)
            try:
                nova.load(held)
            except WireError as error:
                laws.refused_well(error)

    tried(other)
    for number in range(len(places(SEEDS[seed]))):
        held = json.loads(json.dumps(SEEDS[seed]))
        into, key = places(held)[number]
        into[key] = other
        tried(held)


def test_the_names_in_errors_cannot_forge_a_line_of_a_log():
    with pytest.raises(WireError) as refused:
        nova.load(laws.envelope("Flavor", "1.2", {"a\nERROR all is lost \x1b[2J\ud800": 1}))
    assert refused.value.field == r"flavor.a\nERROR all is lost \x1b[2J\ud800"
    assert str(refused.value).isprintable()


# --- secrets

HIDDEN = "hunter2-correct-horse"
SECRETS = [(name, field) for name in WIRED for field in fields(declared()[name]).values() if field.secret]
#: What a secret field does not take, with the secret inside.
WRONG = {
    "a list": [HIDDEN], "a list of lists": [[HIDDEN]], "an object": {"admin_pass": {"a": HIDDEN}}, "a list in an object": {"admin_pass": [HIDDEN]},
    "no text": HIDDEN + "\ud800", "a text": HIDDEN, "bytes": HIDDEN.encode(),
}  # fmt: skip


def said(read):
    """All that is to be seen of what *read* returns, or raises."""
    try:
        return repr(read())
    except WireError as error:
        laws.refused_well(error)
        return f"{error} {error.value!r} {error.allowed}"


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
@pytest.mark.parametrize(("name", "field"), SECRETS, ids=[f"{name}.{field.name}" for name, field in SECRETS])
def test_a_secret_is_never_in_an_error(name, field, wrong):
    cls = declared()[name]
    plain = json.loads(objects.dumps(strategies._some(cls)[0]))
    for read in (
        lambda: nova.load(laws.envelope(name, CURRENT[name], {field.wire: wrong})),
        lambda: structure(cls, {**plain, field.name: wrong}),
    ):
        assert HIDDEN not in said(read)


# --- what fuzzing has found, once


KEPT = sorted((laws.DATA / "fuzz").glob("*-*"))


@pytest.mark.parametrize("file", KEPT, ids=lambda file: file.name)
def test_what_broke_a_law_once_keeps_it(file):
    text = file.read_bytes()
    if file.name.startswith("plain-"):
        laws.plain_text(text)
    else:
        laws.wire(lambda: nova.loads(text))
