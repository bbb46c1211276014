"""Whatever is huge is refused, or read, in bounded time and memory, and the error stays small.

Each case runs in a process of its own with 2 GiB of address space and a minute: not a test of speed. A parsed text may take some
fifty times its length, so that is what the greatest texts are given.
"""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[2]

_BEFORE = f"""
import json, resource, sys
resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
sys.path.insert(0, {str(TESTS)!r})
from fuzz import laws
from fuzz.laws import envelope
from novastate import objects
from novastate.objects.convert import structure
from novastate.errors import NewerVersionWarning, WireError
from novastate.objects import Flavor, Instance, nova

UUID = "00001111-0001-4001-8001-00000000f779"

def refused(read, field=None):
    assert laws.wire(read) is None, "taken"
    try:
        read()
    except WireError as error:
        assert field is None or error.field == field, error.field
        return error

def taken(read):
    made = read()
    assert made is not None
    return made

def deep(levels, key=None):
    held = []
    for _ in range(levels):
        held = [held] if key is None else {{key: held}}
    return held
"""


def run(body: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _BEFORE + textwrap.dedent(body)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]


NESTED = {
    "lists": '"[" * 100_000 + "]" * 100_000',
    "objects": "'{\"a\":' * 100_000 + '1' + '}' * 100_000",
    "no end": '"[" * 10_000_000',
    "in a field": """json.dumps(envelope("Flavor", "1.2", {"name": 7})).replace("7", "[" * 100_000 + "]" * 100_000)""",
}


@pytest.mark.parametrize("text", NESTED.values(), ids=NESTED)
@pytest.mark.parametrize("orjson", [True, False], ids=["orjson", "json"])
def test_a_text_nested_deep_is_refused(text, orjson):
    run(f"""
        if not {orjson}: sys.modules["orjson"] = None
        text = {text}
        refused(lambda: nova.loads(text), "$")
        refused(lambda: objects.loads(Flavor, text.encode()), "$")
    """)


PLACES = {
    "the whole": "{held}",
    "the data": 'envelope("Flavor", "1.2", {held})',
    "a field": 'envelope("Flavor", "1.2", dict(name={held}))',
    "a mapping": 'envelope("Flavor", "1.2", dict(extra_specs={held}))',
    "a list": 'envelope("InstanceList", "2.6", dict(objects={held}))',
    "a text in a mapping": 'envelope("PciDevice", "1.7", dict(extra_info=dict(a={held})))',
    "unknown, of a newer version": 'envelope("Flavor", "1.3", dict(fresh={held}))',
    "in a box, of a newer version": 'envelope("BuildRequest", "1.3", dict(tags=envelope("TagList", "1.9", dict(objects=[], fresh={held}))))',
    "a name": 'envelope({held}, "1.2", {{}})',
    "a version": 'envelope("Flavor", {held}, {{}})',
    "a version, a namespace": '{{**envelope("Flavor", "1.2", {{}}), "nova_object.namespace": {held}}}',
    "changes": '{{**envelope("Flavor", "1.2", {{}}), "nova_object.changes": {held}}}',
    "one of the changes": '{{**envelope("Flavor", "1.2", {{}}), "nova_object.changes": [{held}]}}',
    "a member of the envelope": '{{**envelope("Flavor", "1.2", {{}}), "more": {held}}}',
}


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
@pytest.mark.parametrize("key", ["None", '"a"'], ids=["lists", "objects"])
def test_a_primitive_nested_deep_is_refused(place, key):
    run(f"""
        held = deep(10_000, {key})
        refused(lambda: nova.load({place.format(held="held")}))
    """)


PLAIN = {
    "the whole": "{held}",
    "a field": "dict(name={held})",
    "$unset": '{{"$unset": {held}}}',
    "one of $unset": '{{"$unset": [{held}]}}',
    "$type": '{{"$type": {held}}}',
    "$wire": '{{"$wire": {held}}}',
    "unknown in $wire": '{{"$wire": {{"version": "1.9", "unknown": {{"fresh": {held}}}}}}}',
}


@pytest.mark.parametrize("place", PLAIN.values(), ids=PLAIN)
def test_plain_data_nested_deep_are_refused(place):
    run(f"""
        held = deep(10_000)
        refused(lambda: structure(Flavor, {place.format(held="held")}))
    """)


def test_any_json_is_bounded_too():
    run("""
        from novastate.objects import VIF
        for levels in 100, 10_000:
            for key in None, "a":
                held = deep(levels, key)
                refused(lambda: structure(VIF, {"id": "a", "profile": held}))
                refused(lambda: structure(VIF, {"id": "a", "meta": {"a": held}}))
        text = json.dumps([{"id": "a", "profile": deep(100)}])
        refused(lambda: nova.load(envelope("InstanceInfoCache", "1.5", {"network_info": text})))
        text = json.dumps([{"id": "a", "bogus": deep(100)}])
        refused(lambda: nova.load(envelope("InstanceInfoCache", "1.5", {"network_info": text})))
        taken(lambda: structure(VIF, {"id": "a", "profile": {f"f{i}": [i] for i in range(300_000)}}))
    """)


def test_what_is_unknown_in_a_newer_version_is_bounded_and_never_shown():
    run("""
        def inner(levels):
            return envelope("Flavor", "1.3", {"fresh": {"x": deep(levels)}})
        held = taken(lambda: nova.load(inner(20)))
        assert nova.dump(held)["nova_object.data"]["fresh"] == {"x": deep(20)}
        assert nova.loads(nova.dumps(held)) == held
        error = refused(lambda: nova.load(envelope("Flavor", "1.3", {"fresh": {"secret-key": 2**70}})))
        assert str(2**70) not in str(error)
    """)


def test_what_is_kept_of_a_newer_version_does_not_change_with_what_was_given():
    run("""
        given = envelope("Flavor", "1.3", {"fresh": {"x": [1]}})
        held = nova.load(given)
        given["nova_object.data"]["fresh"]["x"].append(object())
        assert nova.dump(held)["nova_object.data"]["fresh"] == {"x": [1]}
    """)


NUMBERS = {
    "in a text": """
        refused(lambda: nova.loads('{"nova_object.name":' + "9" * 1_000_000 + "}"))
        refused(lambda: nova.loads(json.dumps(envelope("Flavor", "1.2", {"vcpus": 0})).replace('"vcpus": 0', '"vcpus": ' + "9" * 1_000_000)))
        refused(lambda: objects.loads(Flavor, '{"vcpus":' + "9" * 1_000_000 + "}"))""",
    "with an exponent": """
        for number in "1e999", "-1e999", "NaN", "Infinity", "-Infinity", "1e-999999", "0e999999999":
            refused(lambda: nova.loads(json.dumps(envelope("Flavor", "1.2", {"vcpus": 0})).replace('"vcpus": 0', '"vcpus": ' + number)))""",
    "in a primitive": """
        for number in 10**400, -(10**400), 10**5000, 2**1_000_000, 1e999, float("nan"):
            refused(lambda: nova.load(number))
            for name in "vcpus", "rxtx_factor", "name", "extra_specs", "disabled", "created_at":
                refused(lambda: nova.load(envelope("Flavor", "1.2", {name: number})))
            refused(lambda: nova.load(envelope("Flavor", "1.2", {number: 1})))
            refused(lambda: nova.load(envelope("Flavor", "1.3", {"fresh": number})))
            refused(lambda: nova.load(envelope("Flavor", number, {})))
            refused(lambda: nova.load(envelope(number, "1.2", {})))
            refused(lambda: nova.load({**envelope("Flavor", "1.2", {}), number: 1}))
            refused(lambda: nova.load({**envelope("Flavor", "1.2", {}), "nova_object.changes": [number]}))
            refused(lambda: nova.load(envelope("PciDevice", "1.7", {"extra_info": {"a": number}})))
            refused(lambda: nova.load(envelope("PciDevice", "1.7", {"extra_info": {number: 1}})))
            refused(lambda: structure(Flavor, {number: 1}))
            refused(lambda: structure(Flavor, {"$unset": [number]}))
            refused(lambda: structure(Flavor, {"$wire": {"version": "1.9", "unknown": {number: 1}}}))
            refused(lambda: structure(Flavor, {"$wire": {"version": "1.9", "unknown": {"a": number}}}))""",
}


@pytest.mark.parametrize("body", NUMBERS.values(), ids=NUMBERS)
def test_a_huge_number_is_refused(body):
    run(body)


def test_a_text_of_a_hundred_megabytes_is_refused_unread():
    run("""
        text = '"' + "x" * 100_000_000 + '"'
        refused(lambda: nova.loads(text), "$")
        refused(lambda: objects.loads(Flavor, text.encode()), "$")
        assert refused(lambda: nova.loads("\\u00e4" * 40_000_000)).problem.startswith("is too long")
    """)


LONG = {
    **PLACES,
    "an address": 'envelope("HostMapping", {held}, {{}})',
    "a UUID": 'envelope("Instance", "2.8", dict(uuid={held}))',
    "an IP address": 'envelope("Instance", "2.8", dict(access_ip_v6={held}))',
    "a time": 'envelope("Instance", "2.8", dict(created_at={held}))',
    "a state": 'envelope("Instance", "2.8", dict(vm_state={held}))',
    "a JSON text": 'envelope("InstanceInfoCache", "1.5", dict(network_info={held}))',
    "the name of a field": 'envelope("Flavor", "1.2", {{{held}: 1}})',
    "the name of a member": '{{**envelope("Flavor", "1.2", {{}}), {held}: 1}}',
    "the namespace": '{{**envelope("Flavor", "1.2", {{}}), "nova_object.namespace": {held}}}',
    "the name in a mapping": 'envelope("Flavor", "1.2", dict(extra_specs={{{held}: 1}}))',
}


#: Where any text is right.
RIGHT = {"a field", "a text in a mapping", "unknown, of a newer version", "in a box, of a newer version"}


@pytest.mark.parametrize("place", LONG)
def test_a_text_of_a_hundred_megabytes_in_a_primitive_costs_little(place):
    run(f"""
        for held in "x" * 100_000_000, ":" * 100_000_000, "1." * 50_000_000:
            read = lambda: nova.load({LONG[place].format(held="held")})
            if {place in RIGHT}:
                taken(read)
            else:
                refused(read)
    """)


MANY = {
    "fields that are none": 'refused(lambda: nova.load(envelope("Flavor", "1.2", {f"f{i}": i for i in range(1_000_000)})), "flavor.f0")',
    "members": 'refused(lambda: nova.load({**envelope("Flavor", "1.2", {}), **{f"f{i}": i for i in range(1_000_000)}}), "flavor.f0")',
    "specs": 'taken(lambda: nova.load(envelope("Flavor", "1.2", {"extra_specs": {f"f{i}": "" for i in range(1_000_000)}})))',
    "JSON": 'taken(lambda: nova.load(envelope("PciDevice", "1.7", {"extra_info": {f"f{i}": "" for i in range(1_000_000)}})))',
    "elements": 'refused(lambda: nova.load(envelope("InstanceList", "2.6", {"objects": [None] * 1_000_000})), "instance_list.objects[0]")',
    "the last element": """refused(lambda: nova.load(envelope("NUMACell", "1.6", {"cpuset": [0] * 1_000_000 + ["x"]})))""",
    "unknown, of a newer version": """
        many = {f"f{i}": i for i in range(300_000)}
        taken(lambda: nova.load({**envelope("Flavor", "1.3", many), "nova_object.changes": list(many)}))
        refused(lambda: nova.load({**envelope("Flavor", "1.3", many), "nova_object.changes": [*many, "bogus"]}))""",
    "changes": 'taken(lambda: nova.load({**envelope("Flavor", "1.2", {"name": ""}), "nova_object.changes": ["name"] * 1_000_000}))',
    "$unset": 'taken(lambda: structure(Flavor, {"vcpus": 1, "memory_mb": 64, "$unset": ["swap"] * 1_000_000}))',
    "members in a text": """refused(lambda: nova.loads("{" + ",".join(f'"f{i}":0' for i in range(1_000_000)) + "}"), "$.nova_object.name")""",
    "given twice": """refused(lambda: nova.loads('{"' + "k" * 1_000_000 + '":[' + "[]," * 1_000_000 + '{"a":1,"a":2}]}'))""",
    "boxes of a newer version": """
        tag = envelope("Tag", "1.9", {"tag": "a"})
        taken(lambda: nova.load(envelope("TagList", "1.1", {"objects": [tag] * 100_000})))""",
}


@pytest.mark.parametrize("body", MANY.values(), ids=MANY)
def test_a_million_of_anything_is_read_or_refused(body):
    run(body)


def test_what_was_warned_of_is_not_kept_for_ever():
    run("""
        import warnings
        warnings.simplefilter("default")
        warnings.showwarning = lambda *_, **__: None
        for minor in range(10_000):
            nova.load(envelope("Flavor", f"1.{minor + 3}", {}))
        import novastate.objects.nova as package
        kept = [getattr(module, "__warningregistry__", {}) for name, module in sys.modules.items() if name.startswith("novastate")]
        assert sum(map(len, kept)) < 2000
    """)


def test_versions_that_are_none_are_not_kept():
    run("""
        for number in range(100):
            refused(lambda: nova.load(envelope("Flavor", "1" * 30_000_000 + str(number), {})))
    """)


#: Depth: a text in which a member is given twice there, and its path.
TWICE = {
    "$.a": '{"a": 1, "a": 2}',
    "$.b.a": '{"b": {"a": 1, "a": 2}}',
    "$.b[2].a": '{"b": [1, {}, {"a": 1, "a": 1}]}',
    "$[0][0].a": '[[{"a": {"c": 1}, "a": 2}]]',
    "$.\\x00": '{"\\u0000": 1, "\\u0000": 2}',
    "$.nova_object.data.vcpus": '{"nova_object.name": "Flavor", "nova_object.data": {"vcpus": 1, "vcpus": 2}}',
}


@pytest.mark.parametrize(("path", "text"), TWICE.items(), ids=TWICE)
@pytest.mark.parametrize("orjson", [True, False], ids=["orjson", "json"])
def test_a_member_given_twice_is_named(path, text, orjson):
    run(f"""
        if not {orjson}: sys.modules["orjson"] = None
        refused(lambda: nova.loads({text!r}), {path!r})
        refused(lambda: objects.loads(Flavor, {text.encode()!r}), {path!r})
    """)


def test_a_member_given_twice_is_named_at_every_depth():
    run("""
        for depth in range(40):
            refused(lambda: nova.loads('{"b":' * depth + '{"a":1,"a":2}' + "}" * depth), "$" + ".b" * depth + ".a")
        error = refused(lambda: nova.loads('{"bb":' * 200 + '{"a":1,"a":2}' + "}" * 200))
        assert error.field.startswith("$.bb.bb") and error.field.endswith(".bb.a")
    """)


def test_no_pattern_goes_back_and_forth_on_a_long_text():
    run(r"""
        import re, time
        from novastate.objects.base import declared, fields
        from novastate.objects.kinds import Kind
        from novastate.objects.marks import Pattern

        def patterns(kind):
            if isinstance(kind.args, Pattern):
                yield kind.args
                return
            for part in kind.args if isinstance(kind.args, tuple) else ():
                if isinstance(part, Kind):
                    yield from patterns(part)

        found = {p for cls in declared().values() for field in fields(cls).values() for p in patterns(field.kind)}
        assert len(found) > 5
        pieces = ["a", "0", ":", "-", ".", " ", ",", "0:", "1.", "1.0,", ">=1.0,", "==1.0 ", " , ", "1!", "1.0rc", "_", "A", "/", "a-", "0.0.", ">= ", "1a", "\n"]
        for pattern in found:
            match = re.compile(pattern.regex).fullmatch
            for piece in pieces:
                for tail in "", "!", "\x00":
                    match(piece * 100_000 + tail)
                    match(">=" + piece * 100_000 + tail)
    """)
