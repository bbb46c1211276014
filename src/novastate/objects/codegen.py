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
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple, cast

from novastate.errors import InvalidField, WireError
from novastate.objects.base import Field, fields, is_mutable, per_class, root, tracked
from novastate.objects.checks import Check, ProblemError, check_json, is_ip
from novastate.objects.marks import I64, Ip, Pattern
from novastate.objects.steps import Profile, Step, bind, dump_field, load_field, under
from novastate.objects.values import EMPTY, UNSET, FrozenDict

__all__ = ["Row", "Source", "compiled", "dump_rows", "finish", "load_rows", "rows"]


class Row(NamedTuple):
    """One field in one format."""

    field: Field
    #: The name of its member.
    key: str
    #: What reads and writes its values; None: the field's own check, and nothing.
    load: Step | None
    dump: Step | None
    check: Check


class Source:
    """Lines of a function, and the names that they use."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.names: dict[str, Any] = {
            "U": UNSET,
            "EMPTY": EMPTY,
            "NONE": frozenset(),
            "InvalidField": InvalidField,
            "under": under,
            "named": _named,
            "simple": _simple,
        }

    def add(self, text: str, **names: Any) -> None:
        """Adds lines as they stand."""
        self.lines.append(text)
        self.names.update(names)


def compiled(source: Source, called: str) -> Callable[..., Any]:
    """The function *called*, out of *source*."""
    code = compile("\n".join(source.lines), f"<novastate {called}>", "exec")
    exec(code, source.names)  # noqa: S102  (the source is ours, and holds no text from outside but as quoted names)
    return cast("Callable[..., Any]", source.names[called])


def rows(cls: Any, profile: Profile, keys: Callable[[Field], str]) -> Sequence[Row]:
    """The fields of *cls* in a format; *keys* says how a field is called there, "" that it is not there."""
    return [
        Row(
            field,
            key,
            load_field(field, profile),
            dump_field(field, profile),
            check,
        )
        for field, check in zip(fields(cls).values(), _checks(cls), strict=True)
        if (key := keys(field))
    ]


@per_class
def _checks(cls: type[Any]) -> tuple[Check, ...]:
    """The check of each field, for what comes from outside."""
    import attrs  # noqa: PLC0415

    return tuple(_of_wire(attribute.converter) for attribute in attrs.fields(cls))


def _of_wire(take: Check) -> Check:
    def check(value: Any) -> Any:
        try:
            return take(value)
        except InvalidField as error:
            raise WireError(error.field, error.value, error.problem, error.allowed) from None

    return check


def _simple(held: list[Any], of: type[Any]) -> frozenset[Any] | None:
    """A set of whole numbers, or of texts, none of them unusual; None if it is something else, or empty."""
    return frozenset(held) if _are_simple(held, of) else None


def _named(held: dict[Any, Any], of: type[Any]) -> FrozenDict[str, Any] | None:
    """The same by name."""
    return FrozenDict(held) if _are_simple(held, str) and _are_simple(held.values(), of) else None


def _are_simple(held: Collection[Any], of: type[Any]) -> bool:
    if set(map(type, held)) != {of}:
        return False
    return "".join(held).isascii() if of is str else min(held) >= -I64 and max(held) < I64


# --- in


@per_class
def _twin(cls: type[Any]) -> type[Any]:
    """A class whose objects can become *cls*: the same slots, and assignment without checks."""
    metaclass: Any = type(cls)
    plain: dict[str, Any] = {"__slots__": cls.__slots__, "__hash__": None}
    plain |= {name: getattr(object, name) for name in ("__init__", "__setattr__", "__delattr__")}
    made: type[Any] = metaclass(cls.__name__, cls.__bases__, plain)
    return made


def load_rows(source: Source, cls: type[Any], table: Sequence[Row], absent: Callable[[Field], Any]) -> None:
    """Adds what reads the fields out of ``d`` into ``o``; *absent* tells what stands for a member that is not there.

    Then comes whatever the format does about members that are no fields, and :func:`finish`.
    """
    source.add("    n = 0\n    get = d.get")
    for index, row in enumerate(table):
        source.add(_load_row(source, f"f{index}", index, row, absent(row.field), root(cls)))
    source.add("    o = twin()", twin=_twin(cls))
    given = {row.field.name: f"f{index}" for index, row in enumerate(table)}
    for name, field in fields(cls).items():
        if name not in given:
            source.names[f"x_{name}"] = absent(field)
        source.lines.append(f"    o.{name} = {given.get(name, f'x_{name}')}")


def finish(source: Source, cls: type[Any]) -> None:
    """Adds the end of a reader: ``o``, whose past is ``past``, becomes an object of *cls*."""
    if is_mutable(cls):
        source.add(f"    o._held = ({''.join(f'o.{name}, ' for name in tracked(cls))})")
    source.add("    o._past = past\n    o.__class__ = cls\n    return o", cls=cls)


def _load_row(source: Source, f: str, index: int, row: Row, absent: Any, at: str) -> str:
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
            where = f"{at}.{field.name}"
            lines += [f"if {f} is U: {missing}"]
            lines += [f"elif {f} is None: {'pass' if field.nullable else check}"]
            if kind.tag == "datetime":  # what the format's own step would do with most of them
                source.names.update(iso=datetime.fromisoformat, UTC=UTC)
                lines += ["else:", "  try:", f"    g = iso({f})", f"    {f} = g if g.tzinfo is UTC else s{index}({f})"]
                lines += ["  except (TypeError, ValueError, InvalidField):"]
            else:
                lines += ["else:"]
            lines += [f"    try: {f} = s{index}({f})", "    except InvalidField as e:"]
            lines += [f"        raise hide{index}(under(e, {where!r})) from None"]
            source.names[f"hide{index}"] = _hide if field.secret else _show
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
        case "map" if kind.args[0].tag == "str" and kind.args[1].tag in {"int", "str"} and not kind.args[1].args:
            of = kind.args[1].tag
            lines += [f"if {f}.__class__ is dict: {f} = (named({f}, {of}) or t{index}({f})) if {f} else EMPTY"]
        case "json" | "map":
            is_json = kind.tag == "json" or kind.args[1].tag == "json"
            source.names.update({"freeze": check_json, "ProblemError": ProblemError})
            lines += [
                f"if {f}.__class__ is dict:",
                f"    try: {f} = {'freeze' if is_json else f't{index}'}({f}) if {f} else EMPTY",
                f"    except ProblemError: {check}",
            ]
        case "seq":
            lines += [f"if {f}.__class__ is list: {f} = t{index}({f}) if {f} else ()"]
        case "set" if kind.args[0].tag in {"int", "str"} and not kind.args[0].args:
            of = kind.args[0].tag
            lines += [f"if {f}.__class__ is list: {f} = (simple({f}, {of}) or t{index}({f})) if {f} else NONE"]
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


def _show(error: WireError) -> WireError:
    return error


def _hide(error: WireError) -> WireError:
    """The error without what was given: the field is a secret."""
    return WireError(error.field, "***", error.problem, error.allowed)


# --- out


def dump_rows(source: Source, table: Sequence[Row], inner: Callable[[Row], str], lacks: Callable[[Field], str]) -> None:
    """Adds what writes the fields of ``o`` that are set into ``out``.

    *inner* gives a statement about a field that was just written, where there is something to say: ``p`` is what became of it.
    *lacks* gives one about a field that is not set.
    """
    source.add("    out = {}")
    for index, row in enumerate(table):
        f = f"f{index}"
        put = f"out[{row.key!r}]"
        lines = [f"{f} = o.{row.field.name}", f"if {f} is not U:"]
        none = f" if {f} is not None else None" if row.field.nullable else ""
        bind(source.names, f"s{index}", row.dump)
        said = inner(row)
        if row.dump is None:
            lines.append(f"    {put} = {f}")
        elif row.field.kind.tag == "enum":
            lines.append(f"    {put} = {f}._value_{none}")
        elif row.field.kind.tag == "map" and row.dump is dict:
            lines.append(f"    {put} = {{**{f}}}{none}")
        elif said:
            lines += [f"    p = {put} = s{index}({f}){none}", "    " + said]
        else:
            lines.append(f"    {put} = s{index}({f}){none}")
        if otherwise := lacks(row.field):
            lines += ["else: " + otherwise]
        source.add("\n".join("    " + line for line in lines))
