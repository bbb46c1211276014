"""Plain JSON that an older version wrote is read; what a newer one wrote is refused; and no form changes unnoticed."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import plain_forms
from novastate import objects
from novastate.errors import WireError
from novastate.objects import UNSET, VIF, FixedIP, Flavor, Route, dumps, loads, make_converter, nova, schema
from novastate.objects.base import declared
from novastate.objects.convert import structure, unstructure

GOLDEN = {path.name: json.loads(path.read_text()) for path in Path(__file__).with_name("data").glob("schema/*.json")}
CASES = [(golden["class"], case) for golden in GOLDEN.values() for case in golden["cases"]]
CONVERTER = make_converter()


# --- what was written


@pytest.mark.parametrize(("name", "case"), CASES)
def test_what_an_older_version_wrote_is_read_and_written_anew(name, case):
    cls = getattr(objects, name)
    read = structure(cls, case["before"])
    assert unstructure(read) == case["after"]
    assert structure(cls, case["after"]) == read
    assert loads(cls, json.dumps(case["before"])) == read
    assert CONVERTER.structure(case["before"], cls) == read
    assert CONVERTER.unstructure(read) == case["after"]


@pytest.mark.parametrize(("name", "case"), CASES)
def test_reading_leaves_what_is_read_as_it_is(name, case):
    given = copy.deepcopy(case["before"])
    structure(getattr(objects, name), given)
    schema.upgraded(getattr(objects, name), given)
    assert given == case["before"]


def test_every_step_has_a_golden_file():
    steps = {(name, number) for name, steps in schema.STEPS.items() for number in range(1, len(steps) + 1)}
    assert steps <= {(golden["class"], golden["schema"]) for golden in GOLDEN.values()}


@pytest.mark.parametrize("name", schema.STEPS)
def test_every_class_of_the_table_is_there(name):
    assert schema.number(declared()[name]) == 1 + len(schema.STEPS[name])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
TEXT = st.none() | st.sampled_from(["10.0.0.1", "fe80::1%eth0", "10.0.0.0/8", "", "any"]) | st.text(max_size=9)
OLD = {
    "FixedIP": {"address": TEXT, "meta": JSON},
    "Route": {"cidr": TEXT, "meta": JSON},
    "Subnet": {"cidr": TEXT, "meta": JSON},
    "NetworkModel": {"meta": JSON},
    "VIF": {"details": JSON, "meta": JSON},
    "ImageMetaProps": {"img_hv_requested_version": st.sampled_from([">=6.1", "6.1", ""]) | st.text(max_size=9)},
}


@pytest.mark.parametrize("name", schema.STEPS)
@given(data=st.data())
def test_whatever_an_older_record_held_is_read(name, data):
    cls = declared()[name]
    plain = {field: data.draw(values) for field, values in OLD[name].items()}
    for field in data.draw(st.sets(st.sampled_from(sorted(plain)))):
        del plain[field]
        if name != "ImageMetaProps":  # whose fields need not be there
            plain.setdefault("$unset", []).append(field)
    read = structure(cls, plain)
    assert structure(cls, unstructure(read)) == read


@pytest.mark.parametrize("name", schema.STEPS)
@given(data=st.data())
def test_a_step_takes_any_object(name, data):
    plain = data.draw(st.dictionaries(st.sampled_from([*OLD[name], "$unset", "$type", "x"]), JSON))
    before = copy.deepcopy(plain)
    assert schema.upgraded(declared()[name], plain)["$schema"] == schema.number(declared()[name])
    assert plain == before


def test_what_a_field_takes_no_longer_is_still_seen():
    read = loads(FixedIP, b'{"address": "gw", "meta": {"address": "old"}}')
    assert read == FixedIP(meta={"address": "old", "address_": "gw"})
    assert loads(Route, b'{"cidr": "all", "$unset": ["meta", "gateway"]}') == Route(meta={"cidr": "all"}, gateway=UNSET)


# --- the number


def test_only_a_class_that_has_changed_writes_a_number():
    for cls in declared().values():
        written = unstructure(
            structure(cls, {"$unset": [n for n, f in objects.base.fields(cls).items() if f.required]})
        )
        assert written.get("$schema", 1) == schema.number(cls)


@pytest.mark.parametrize(
    ("cls", "plain", "path"),
    [
        (Flavor, {"vcpus": 1, "memory_mb": 1, "$schema": 2}, "flavor.$schema"),
        (VIF, {"$schema": 3}, "vif.$schema"),
        (VIF, {"network": {"subnets": [{"$schema": 9}], "$schema": 2}, "$schema": 2}, "vif.network.subnets[0].$schema"),
    ],
)
def test_what_a_newer_version_wrote_is_refused(cls, plain, path):
    for read in (structure, lambda cls, plain: CONVERTER.structure(plain, cls)):
        with pytest.raises(WireError, match="is from a newer novastate") as refused:
            read(cls, plain)
        assert refused.value.field == path


@pytest.mark.parametrize("cls", [Flavor, VIF])
@pytest.mark.parametrize("number", [0, -1, True, 1.0, 2.0, "1", None, [], {}])
def test_a_number_that_is_none_is_refused(cls, number):
    plain = {"vcpus": 1, "memory_mb": 1} if cls is Flavor else {}
    with pytest.raises(WireError, match="must be a whole number") as refused:
        structure(cls, {**plain, "$schema": number})
    assert refused.value.field == f"{objects.base.root(cls)}.$schema"


def test_a_number_may_be_given_where_nothing_changed():
    assert structure(Flavor, {"vcpus": 1, "memory_mb": 1, "$schema": 1}) == Flavor(vcpus=1, memory_mb=1)


def test_at_the_present_number_nothing_is_brought_up():
    with pytest.raises(WireError, match=r"vif\.meta"):
        structure(VIF, {"meta": None, "$schema": 2})
    assert structure(VIF, {"meta": None, "$schema": 1}) == VIF()
    with pytest.raises(WireError, match=r"vif\.x"):
        structure(VIF, {"x": 1, "$schema": 2})


def test_the_wire_of_nova_knows_no_number():
    cache = objects.InstanceInfoCache(
        instance_uuid="00001111-0001-4001-8001-00000000f779",
        network_info=[VIF(network=objects.NetworkModel(subnets=[objects.Subnet(ips=[FixedIP()])]))],
    )
    assert b"$schema" in dumps(cache)
    assert b"$schema" not in nova.dumps(cache)


# --- forms


def test_no_form_has_changed_unnoticed():
    now, kept = plain_forms.forms(), plain_forms.kept()
    assert plain_forms.lost(kept, now) == [], "add a step to novastate.objects.schema.STEPS, and a golden file"
    assert now == kept, "more is read than before: run `python tests/plain_forms.py`, and commit the file"


BASE = {"holds": ["int", 0, 9], "null": False, "absent": "default"}
NARROWER = [
    ({}, None, "is gone"),
    ({}, {"null": False, "holds": ["str"]}, "may not take"),
    ({"null": True}, {"null": False}, "None is no longer taken"),
    ({"absent": "UNSET"}, {"absent": "default"}, "it was UNSET"),
    ({"absent": "UNSET"}, {"absent": "refused"}, "it was UNSET"),
    ({}, {"holds": ["int", 1, 9]}, "may not take"),
    ({}, {"holds": ["int", 0, 8]}, "may not take"),
    ({"holds": ["str"]}, {"holds": ["str", "a+"]}, "may not take"),
    ({"holds": ["str", "a+"]}, {"holds": ["str", "b+"]}, "may not take"),
    ({"holds": ["str"]}, {"holds": ["ip", 0]}, "may not take"),
    ({"holds": ["ip", 0]}, {"holds": ["ip", 4]}, "may not take"),
    ({"holds": ["json"]}, {"holds": ["map", ["str"], ["json"]]}, "may not take"),
    ({"holds": ["literal", "a", "b"]}, {"holds": ["literal", "a"]}, "may not take"),
    ({"holds": ["literal", "a", None]}, {"holds": ["str"]}, "may not take"),
    ({"holds": ["seq", ["nullable", ["str"]]]}, {"holds": ["seq", ["str"]]}, "may not take"),
    ({"holds": ["record", "A"]}, {"holds": ["record", "B"]}, "may not take"),
    ({"holds": ["any record", "A"]}, {"holds": ["record", "A"]}, "may not take"),
    ({"holds": ["float", "-inf", "inf"]}, {"holds": ["float", "0.0", "inf"]}, "may not take"),
]
WIDER = [
    ({}, {"null": True}),
    ({}, {"absent": "UNSET"}),
    ({}, {"absent": "refused"}),
    ({}, {"holds": ["int", -1, 10]}),
    ({}, {"holds": ["json"]}),
    ({"null": True}, {"null": False, "holds": ["json"]}),
    ({"holds": ["str", "a+"]}, {"holds": ["str"]}),
    ({"holds": ["ip", 4]}, {"holds": ["ip", 0]}),
    ({"holds": ["literal", "a"]}, {"holds": ["str"]}),
    ({"holds": ["literal", "a"]}, {"holds": ["literal", "a", "b"]}),
    ({"holds": ["map", ["str"], ["str"]]}, {"holds": ["map", ["str"], ["nullable", ["str"]]]}),
    ({"holds": ["seq", ["record", "A"]]}, {"holds": ["seq", ["any record", "A"]]}),
    ({"holds": ["float", "0.0", "1.0"]}, {"holds": ["float", "-inf", "inf"]}),
]


def changed(old, new, number=1):
    before = {"number": 1, "fields": {"a": {**BASE, **old}}}
    after = {"number": number, "fields": {} if new is None else {"a": {**BASE, **old, **new}}}
    return {"A": before}, {"A": after}


@pytest.mark.parametrize(("old", "new", "why"), NARROWER)
def test_a_form_that_takes_less_needs_a_step(old, new, why):
    (told,) = plain_forms.lost(*changed(old, new))
    assert told.startswith("A.a: ")
    assert why in told
    assert plain_forms.lost(*changed(old, new, number=2)) == []
    assert plain_forms.lost(*changed(old, new), takes_more=frozenset({"A.a"})) == []


@pytest.mark.parametrize(("old", "new"), WIDER)
def test_a_form_that_takes_more_needs_none(old, new):
    assert plain_forms.lost(*changed(old, new)) == []


def test_a_new_field_needs_a_step_only_where_it_must_be_given():
    for absent, needed in (("refused", 1), ("default", 0), ("UNSET", 0)):
        old, new = changed({}, {})
        new["A"]["fields"]["b"] = {**BASE, "absent": absent}
        assert len(plain_forms.lost(old, new)) == needed


def test_neither_a_class_nor_a_number_may_go():
    old, new = changed({}, {}, number=1)
    assert plain_forms.lost(old, {}) == ["A: the class is gone"]
    old["A"]["number"] = 2
    assert plain_forms.lost(old, new) == ["A: its number was 2, and is 1"]
