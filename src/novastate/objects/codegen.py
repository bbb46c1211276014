"""Python source for the functions that read and write one class in one format, made from its declared fields.

A field costs some 30 ns this way, a tenth of what a loop over a table costs. What is written here is only the straight road: the
common values of each kind are recognised in line, and whatever else comes goes to the field's own check or to a step, which know
the errors.

Rules of the generated reader: ``d`` is the dict that is read, ``f0`` … the values of the fields, ``n`` counts the fields that ``d``
has not. When ``n`` and the length of ``d`` do not add up to the number of fields, something is in ``d`` that is no field.

The object is made past its constructor: a twin of its class, with the same slots and plain assignment, is filled and becomes the
class. The values were checked on the way.
"""

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

from novastate.errors import InvalidField
from novastate.objects.base import fields, is_mutable, per_class, tracked
from novastate.objects.checks import is_ip
from novastate.objects.marks import I64, Ip, Pattern
from novastate.objects.members import CHANGES, DATA, NAME, NAMESPACE, VERSION
from novastate.objects.past import LOADED
from novastate.objects.steps import Step, bind
from novastate.objects.values import EMPTY, UNSET

if TYPE_CHECKING:
    from novastate.objects.codec import Reading, Row, Writing

__all__ = ["reader", "writer"]


class Source:
    """Lines of a function, and the names that they use."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.names: dict[str, Any] = {
            "U": UNSET,
            "EMPTY": EMPTY,
            "NONE": frozenset(),
            "InvalidField": InvalidField,
        }

    def add(self, text: str, **names: Any) -> None:
        """Adds lines as they stand."""
        self.lines.append(text)
        self.names.update(names)

    def compiled(self, called: str) -> Step:
        """The function *called* that they define."""
        code = compile("\n".join(self.lines), f"<novastate {called}>", "exec")
        exec(code, self.names)  # noqa: S102  (the source is ours, and holds no text from outside but as quoted names)
        return cast("Step", self.names[called])


# --- in


@per_class
def _twin(cls: type[Any]) -> type[Any]:
    """A class whose objects can become *cls*: the same slots, and assignment without checks."""
    metaclass: Any = type(cls)
    plain: dict[str, Any] = {"__hash__": None}
    if "__slots__" in vars(cls):  # a subclass of a user's own has a dict
        plain["__slots__"] = cls.__slots__
    plain |= {name: getattr(object, name) for name in ("__init__", "__setattr__", "__delattr__")}
    made: type[Any] = metaclass(cls.__name__, cls.__bases__, plain)
    return made


def reader(cls: type[Any], reading: "Reading") -> Step:
    """What reads an object of *cls*."""
    source = Source()
    _open(source, reading)
    source.add("    n = 0\n    get = d.get")
    for index, row in enumerate(reading.rows):
        source.add(_load_row(source, f"f{index}", index, row, reading.absent(row.field)))
    source.add("    o = twin()", twin=_twin(cls))
    given = {row.field.name: f"f{index}" for index, row in enumerate(reading.rows)}
    for name, field in fields(cls).items():
        if name not in given:
            source.names[f"x_{name}"] = reading.absent(field)
        source.lines.append(f"    o.{name} = {given.get(name, f'x_{name}')}")
    expected = len(reading.rows) + reading.adds
    source.add(f"    if n + len(d) != {expected}: past = surplus(o, d) or past", surplus=reading.surplus)
    required = [f"o.{row.field.name} is U" for row in reading.rows if row.field.required and reading.lacking]
    if required:
        source.add(f"    if {' or '.join(required)}: lacking(o, d)", lacking=reading.lacking)
    if is_mutable(cls):
        source.add(f"    o._held = ({''.join(f'o.{name}, ' for name in tracked(cls))})")
    source.add("    o._past = past\n    o.__class__ = cls\n    return o", cls=cls)
    return source.compiled("read")


def _open(source: Source, reading: "Reading") -> None:
    """Adds the beginning of a reader, up to ``d`` and ``past``."""
    source.names.update(opening=reading.opening, prepare=reading.prepare, LOADED=LOADED)
    source.add("def read(p):")
    if reading.envelope is None:
        source.add("    d = p\n    past = LOADED\n    if not isinstance(d, dict): opening(d)")
    else:
        name, namespace, version = reading.envelope
        source.add(f"""\
    if (
        p.__class__ is dict and len(p) == 4 and p.get({VERSION!r}) == {version!r}
        and p.get({NAME!r}) == {name!r} and p.get({NAMESPACE!r}) == {namespace!r}
        and (d := p.get({DATA!r})).__class__ is dict
    ): past = LOADED
    else: d, past = opening(p)""")
    if reading.prepare:
        source.add("    d = prepare(d)")


def _load_row(source: Source, f: str, index: int, row: "Row", absent: Any) -> str:
    field, kind = row.field, row.field.kind
    source.names[f"t{index}"] = row.check
    if absent is UNSET:
        missing = "n += 1"
    else:
        source.names[f"a{index}"] = absent
        missing = f"n += 1; {f} = a{index}"
    check = f"{f} = t{index}({f})"
    lines = [f"{f} = get({row.key!r}, U)"]
    rest = [f"elif {f} is U: {missing}"]
    rest.append(f"elif {f} is not None: {check}" if field.nullable else f"else: {check}")
    match kind.tag:
        case _ if row.load is not None:
            bind(source.names, f"s{index}", row.load)
            lines += [f"if {f} is U: {missing}"]
            lines += [f"elif {f} is None: {'pass' if field.nullable else check}"]
            if kind.tag == "datetime":  # what the format's own step would do with most of them
                source.names.update(iso=datetime.fromisoformat, UTC=UTC)
                lines += ["else:", "  try:", f"    g = iso({f})", f"    {f} = g if g.tzinfo is UTC else s{index}({f})"]
                lines += ["  except (TypeError, ValueError, InvalidField):"]
            else:
                lines += ["else:"]
            lines += [f"    try: {f} = s{index}({f})", "    except InvalidField as e:"]
            lines += [f"        wrong{index}(e)"]
            source.names[f"wrong{index}"] = row.wrong
            rest = []
        case "str" if not kind.args:
            lines += [f"if {f}.__class__ is str:", f"    if not {f}.isascii(): {check}"]
        case "str" if isinstance(kind.args, Ip):
            source.names["is_ip"] = is_ip
            lines += [f"if {f}.__class__ is str and is_ip({f}, {kind.args.version}): pass"]
        case "str" if isinstance(kind.args, Pattern):
            source.names[f"m{index}"] = re.compile(kind.args.regex).fullmatch
            lines += [f"if {f}.__class__ is str and m{index}({f}): pass"]
        case "int":
            least, most = (int(edge) for edge in kind.args or (-I64, I64 - 1))
            # Numbers of one machine word of CPython's are compared twice as fast, and are most.
            word = f"{max(least, 0)} <= {f} <= {min(most, 2**30 - 1)}"
            lines += [f"if {f}.__class__ is int and ({word} or {least} <= {f} <= {most}): pass"]
        case "bool":
            lines += [f"if {f} is True or {f} is False: pass"]
        case "enum":
            by_value = {member.value: member for member in kind.args[0]}
            source.names[f"e{index}"] = by_value
            of = type(next(iter(kind.args[0])).value)
            source.names[f"c{index}"] = str if of is type(None) else of
            lines += [f"if {f}.__class__ is c{index} and {f} in e{index}: {f} = e{index}[{f}]"]
            if None in by_value:
                lines += [f"elif {f} is None: {f} = e{index}[None]"]
        case "literal":
            source.names[f"k{index}"] = frozenset(kind.args)
            lines += [f"if {f}.__class__ is str and {f} in k{index}: pass"]
        case "json" | "map":
            lines += [f"if {f}.__class__ is dict: {f} = t{index}({f}) if {f} else EMPTY"]
        case "seq":
            lines += [f"if {f}.__class__ is list: {f} = t{index}({f}) if {f} else ()"]
        case "set":
            lines += [f"if {f}.__class__ is list: {f} = t{index}({f}) if {f} else NONE"]
        case _:
            lines += [
                f"if {f} is U: {missing}",
                f"elif {f} is not None: {check}" if field.nullable else f"else: {check}",
            ]
            rest = []
    lines += rest
    if field.optional:  # often not there, and asked for that way
        lines = [f"if {row.key!r} in d:", f"    {f} = d[{row.key!r}]", *("    " + line for line in lines[1:])]
        lines += ["else:", f"    {f} = U", f"    {missing}"]
    return "\n".join("    " + line for line in lines)


# --- out


def writer(cls: type[Any], writing: "Writing") -> Step:
    """What writes an object of *cls*."""
    source = Source()
    source.add("def write(o):\n    if type(o) is not cls and not issubclass(type(o), cls): raise TypeError(type(o))")
    source.add("    c = []\n    out = {}", cls=cls, unset=writing.unset_key)
    for index, row in enumerate(writing.rows):
        source.add(_dump_row(source, f"f{index}", index, row, writing))
    for index, (key, value) in enumerate(writing.constants.items()):
        source.add(f"    out[{key!r}] = c{index}", **{f"c{index}": value})
    source.add("    past = getattr(o, '_past', None)")
    if writing.past:
        key, dump = writing.past
        source.add(f"    if past is not None and past.version: out[{key!r}] = kept(past)", kept=dump)
    if writing.envelope is None:
        source.add("    return out")
        return source.compiled("write")
    name, namespace, version, told = writing.envelope
    source.names.update(LOADED=LOADED, told=told, differing=_differing, keys=tuple(row.key for row in writing.rows))
    source.add(f"""\
    made = {{
        {NAME!r}: {name!r}, {NAMESPACE!r}: {namespace!r}, {VERSION!r}: {version!r}, {DATA!r}: out,
    }}
    if past is not LOADED: c = told(made, past, c)""")
    if is_mutable(cls):
        now = "".join(f"f{index}, " for index in range(len(writing.rows)))
        source.add(f"    if past is not None and ({now}) != o._held: c = differing(keys, ({now}), o._held, c)")
    source.add(f"    if c: made[{CHANGES!r}] = c\n    return made")
    return source.compiled("write")


def _dump_row(source: Source, f: str, index: int, row: "Row", writing: "Writing") -> str:
    put, kind = f"out[{row.key!r}]", row.field.kind
    lines = [f"{f} = o.{row.field.name}", f"if {f} is not U:"]
    none = f" if {f} is not None else None" if row.field.nullable else ""
    bind(source.names, f"s{index}", row.dump)
    if row.dump is None:
        lines.append(f"    {put} = {f}")
    elif kind.tag == "enum":
        lines.append(f"    {put} = {f}._value_{none}")
    elif kind.tag == "map" and row.dump is dict:
        lines.append(f"    {put} = {{**{f}}}{none}")
    else:
        lines.append(f"    p = {put} = s{index}({f}){none}")
    match writing.inner(row):
        case 1:
            lines.append(f"    if p is not None and {CHANGES!r} in p: c.append({row.key!r})")
        case 2:
            lines.append(f"    if any({CHANGES!r} in each for each in p): c.append({row.key!r})")
        case _:
            pass
    if writing.lacks(row.field):
        lines.append(f"else: out.setdefault(unset, []).append({row.field.name!r})")
    return "\n".join("    " + line for line in lines)


def _differing(keys: tuple[str, ...], now: tuple[Any, ...], held: tuple[Any, ...], inner: list[str]) -> list[str]:
    differing = (key for key, value, was in zip(keys, now, held, strict=True) if value is not UNSET and value != was)
    return [*inner, *(key for key in differing if key not in inner)]
