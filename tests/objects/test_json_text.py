"""JSON texts: the same ones are read by either library; what is given twice, too long or no JSON is refused with its path."""

from __future__ import annotations

import json
import time

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from novastate.errors import WireError
from novastate.objects import Flavor, json_text, loads
from novastate.objects.json_text import encode, parse

ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)
CODECS = {
    "json": (lambda data: ENCODER.encode(data).encode(), json_text._strict),
    "orjson": (orjson.dumps, orjson.loads),
}


@pytest.fixture(params=CODECS)
def codec(request, monkeypatch):
    """The module's own functions on either JSON library."""
    monkeypatch.setattr(json_text, "_codec", lambda: CODECS[request.param])
    return request.param


def on_both(text, **given):
    """What either library makes of *text*: its value, with the types in it, or the path and the problem of the error."""
    for name, codec in CODECS.items():
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(json_text, "_codec", lambda codec=codec: codec)
            try:
                yield name, repr(parse(text, **given))
            except WireError as error:
                yield name, (error.field, error.problem if "twice" in error.problem else error.problem[:11])


# --- given twice

TWICE = [
    ('{"a":1,"a":2}', "$.a"),
    ('{"a":1,"a":1}', "$.a"),
    ('{"a":1,"b":2,"a":1,"b":3}', "$.a"),
    ('{"a":1,"\\u0061":2}', "$.a"),
    ('{"é":1,"\\u00e9":2}', "$.é"),
    ('{"\\ud83d\\ude00":1,"😀":2}', "$.😀"),
    ('{"a":{"b":[0,{"c":1,"c":2}]}}', "$.a.b[1].c"),
    ('[[],[{"":1,"":2}]]', "$[1][0]."),
    ('{"a":[{"x":1,"x":2},{"y":1,"y":2}]}', "$.a[0].x"),
    ('{"a":{"x":1,"x":2},"b":1,"b":2}', "$.b"),
    ('{"a":{"x":1,"x":2},"a":3}', "$.a"),
    ('{"a":3,"a":{"x":1,"x":2}}', "$.a"),
    ('{"\\"":1,"\\u0022":2}', '$."'),
    ('{"\\\\":1,"\\u005c":2}', "$.\\"),
    ('{"a":"\\\\","a":"\\""}', "$.a"),
    ('{"a":"\\\\\\"","a":"\\u0022"}', "$.a"),
    ('{"a\\/b":1,"a/b":2}', "$.a/b"),
    (' {\n"a" : 1 ,\t"a" : 2 } ', "$.a"),
    ('{"a":"x\\u0022y","b":{"c":"\\u0022","c":"\\u0022"}}', "$.b.c"),
]


@pytest.mark.parametrize(("text", "path"), TWICE)
@pytest.mark.parametrize("form", [str, str.encode])
def test_what_is_given_twice_is_refused_with_its_path(codec, text, path, form):
    with pytest.raises(WireError, match="is given twice") as refused:
        parse(form(text))
    assert refused.value.field == path


ONCE = [
    '{"a":"\\u0022","b":"\\"\\""}',
    '{"a":"\\\\","b":"\\\\\\""}',
    '{"a":{"a":{"a":1}},"b":[{"a":1},{"a":1}]}',
    '{"A":1,"a":2}',
    '{"e\\u0301":1,"é":2}',
    '{"a":"\\"a\\":1,\\"a\\":2"}',
    '{"\\\\u0061":1,"a":2}',
]


@pytest.mark.parametrize("text", ONCE)
def test_what_is_given_once_is_read(codec, text):
    assert parse(text) == parse(text.encode()) == json.loads(text)


def test_a_record_that_says_a_thing_twice_is_refused(codec):
    with pytest.raises(WireError, match=r"\$\.vcpus: is given twice"):
        loads(Flavor, '{"vcpus":1,"memory_mb":1,"vcpus":2}')


SPACE = st.sampled_from(["", " ", "\n\t", "  \r"])


@st.composite
def spelled(draw, text):
    """A JSON string that means *text*, its characters spelled one way or another."""
    if draw(st.booleans()):
        return json.dumps(text, ensure_ascii=False)
    ways = [draw(st.sampled_from([json.dumps(character)[1:-1], _escaped(character)])) for character in text]
    return '"' + "".join(ways) + '"'


def _escaped(character):
    units = character.encode("utf-16-be")
    return "".join(f"\\u{units[n : n + 2].hex()}" for n in range(0, len(units), 2))


# Few names, so that they meet: in an object, and around one.
NAMES = st.sampled_from(["", "a", "\\", '"', '\\"', '"a":1', "é", "😀", "a\n", "/"])
SCALARS = (
    st.sampled_from(["null", "true", "false", "0", "-0", "-0.0", "1.50", "1E2", "12e-1", "18446744073709551616"])
    | NAMES.flatmap(spelled)
    | st.integers().map(str)
)


@st.composite
def objects(draw, inner):
    pairs = draw(st.lists(st.tuples(NAMES.flatmap(spelled), inner), max_size=3))
    gap = [draw(SPACE) for _ in range(3)]
    return (
        "{" + gap[0] + ",".join(f"{gap[1]}{name}{gap[2]}:{gap[0]}{held}{gap[1]}" for name, held in pairs) + gap[2] + "}"
    )


def arrays(inner):
    return st.tuples(SPACE, st.lists(inner, max_size=3)).map(lambda t: f"[{t[0]}" + f",{t[0]}".join(t[1]) + "]")


TEXTS = st.recursive(SCALARS, lambda inner: objects(inner) | arrays(inner), max_leaves=12)


def says_twice(text):
    """Whether a strict reader finds a name twice in one object."""
    found = []

    def pairs(given):
        found.append(len(given) != len(dict(given)))
        return dict(given)

    json.loads(text, object_pairs_hook=pairs)
    return any(found)


@given(TEXTS)
def test_exactly_the_texts_that_say_a_thing_twice_are_refused(text):
    for form in (text, text.encode()):
        for _, made in on_both(form):
            refused = isinstance(made, tuple)
            assert refused == says_twice(text)
            assert not refused or made[1] == "is given twice"


@given(TEXTS)
def test_both_libraries_read_the_same(text):
    assert len({made for form in (text, text.encode()) for _, made in on_both(form)}) == 1


@given(st.text(alphabet='{}[]",:\\u0dab1e.- ', max_size=12) | st.binary(max_size=8))
def test_both_libraries_refuse_the_same(text):
    assert len({made for _, made in on_both(text)}) == 1


@given(TEXTS)
def test_what_was_read_is_written_and_read_again(text):
    if not says_twice(text):
        assert parse(encode(parse(text))) == parse(text)


# --- no JSON

NO_JSON = [
    "", " ", "{", "[1,]", '{"a":1,}', "nul", "'a'", "01", "+1", ".5", "1.", "0x1", '"\t"', '"\\x41"', '"\\u12"', "{a:1}", "[]x", "\x0b1",
    "NaN", "Infinity", "-Infinity", '{"a":NaN}', "1e999", "-1e999", "9" * 400, "9" * 10_000, "1" + "0" * 309,
    "\ud800", '"\\ud800"', '"\\udc00\\ud800"', '{"\\uDFFF":1}', b'"\xed\xa0\x80"', b'"\xc0\x80"', b"\xff", b'"\xe9"',
    "\ufeff{}", b"\xef\xbb\xbf{}", "{}".encode("utf-16"), "{}".encode("utf-16-le"), "{}".encode("utf-32"), b"\x00",
    "[" * 100_000, '{"a":' * 100_000, "[" * 100_000 + "]" * 100_000,
]  # fmt: skip


@pytest.mark.parametrize("text", NO_JSON, ids=lambda text: repr(text[:20]))
def test_what_is_no_json_is_refused(codec, text):
    with pytest.raises(WireError, match="is not JSON") as refused:
        parse(text)
    assert refused.value.field == "$"
    assert len(str(refused.value)) < 300


@pytest.mark.parametrize("data", [None, 7, ["{}"], bytearray(b"{}"), memoryview(b"{}"), {}])
def test_what_is_no_text_is_refused(codec, data):
    with pytest.raises(WireError, match="must be JSON, as bytes or text"):
        parse(data)


@pytest.mark.parametrize("digits", ["9223372036854775807", "-9223372036854775808", "18446744073709551615", "-0"])
def test_a_whole_number_of_64_bits_is_exact(codec, digits):
    assert repr(parse(digits)) == repr(int(digits))


@pytest.mark.parametrize("digits", ["18446744073709551616", "-9223372036854775809", "1" + "0" * 308])
def test_a_greater_number_is_a_float(codec, digits):
    assert repr(parse(f"[{digits}]")) == repr([float(digits)])


def test_some_two_hundred_levels_are_read(codec):
    assert encode(parse("[" * 200 + "]" * 200)) == b"[" * 200 + b"]" * 200


# --- time and room


def test_the_limit_is_in_bytes(codec):
    for text in ("[1]", '"é"', '"é"'.encode(), '"😀"'):
        size = len(text if isinstance(text, bytes) else text.encode())
        parse(text, limit=size)
        with pytest.raises(WireError, match=f"is too long: at most {size - 1} bytes are read, got <{size} bytes>"):
            parse(text, limit=size - 1)
    with pytest.raises(WireError, match="is too long"):
        loads(Flavor, '{"vcpus":1,"memory_mb":1}', limit=10)


def test_a_text_beyond_the_usual_limit_is_not_even_read(codec):
    with pytest.raises(WireError, match="is too long"):
        parse(b"[" * (json_text.LIMIT + 1))


def test_a_path_through_long_names_is_short_and_soon_told(codec):
    """A long name around many members: if each place held its whole path, this would take 10^11 bytes."""
    name, many = "n" * 10**6, ",".join(["[]"] * 10**5)
    text = f'{{"{name}":[{many},{{"x":1,"x":2}}]}}'
    began = time.process_time()
    with pytest.raises(WireError, match="is given twice") as refused:
        parse(text)
    assert refused.value.field == f"$.{'n' * 97}...[100000].x"
    assert time.process_time() - began < 5


def test_a_long_name_given_twice_is_shown_in_short(codec):
    with pytest.raises(WireError, match="is given twice") as refused:
        parse(f'{{"{"n" * 10**6}":1,"{"n" * 10**6}":2}}')
    assert refused.value.field == f"$.{'n' * 97}..."
    assert len(str(refused.value)) < 300
