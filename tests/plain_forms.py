"""What the plain JSON of each class looks like, as a file that remembers it, and what may change in it without an upgrade step.

    python tests/plain_forms.py [--takes-more CLASS.FIELD ...]

writes the file anew. It refuses to where a class would no longer read what it wrote, and its number has not gone up: add a step to
``novastate.objects.schema.STEPS`` and a golden file to ``tests/objects/data/schema``. Of two patterns it cannot tell whether the new
one takes all that the old one took; ``--takes-more`` says so.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from novastate.objects import UNSET, schema
from novastate.objects.base import Field, declared, fields
from novastate.objects.kinds import Kind
from novastate.objects.marks import I64, Ip, Pattern

FILE = Path(__file__).parent / "objects" / "data" / "plain_forms.json"

Form = dict[str, Any]


def forms() -> dict[str, Form]:
    """The form of every class."""
    ours = {name: cls for name, cls in declared().items() if cls.__module__.startswith("novastate.")}
    return {name: form(cls) for name, cls in sorted(ours.items())}


def form(cls: type[Any]) -> Form:
    """The number of *cls*, and of each field: what it holds, whether None is taken, what it means that it is not there."""
    return {"number": schema.number(cls), "fields": {name: _field(field) for name, field in fields(cls).items()}}


def _field(field: Field) -> Form:
    absent = "refused" if field.required else "UNSET" if field.default is UNSET else "default"
    return {"holds": _kind(field.kind), "null": field.nullable, "absent": absent}


def _kind(kind: Kind) -> Any:
    args: Any = kind.args
    match kind.tag:
        case "int":
            return ["int", *map(int, args or (-I64, I64 - 1))]
        case "float":
            return ["float", *map(str, args or ("-inf", "inf"))]
        case "str" if isinstance(args, Pattern):
            return ["str", args.regex]
        case "str" if isinstance(args, Ip):
            return ["ip", args.version]
        case "literal":
            return ["literal", *sorted(args)]
        case "enum":
            return ["literal", *sorted((member.value for member in args[0]), key=str)]
        case "record" | "any record":
            return [kind.tag, args[0].__name__]
        case _:
            return [kind.tag, *map(_kind, args)]


def refused(old: Form, new: Form) -> list[str]:
    """What the class reads no longer: the fields, each with the reason."""
    was, now = old["fields"], new["fields"]
    found = [f"{name}: is gone" for name in was if name not in now]
    found += [
        f"{name}: is new, and must be given" for name in now if name not in was and now[name]["absent"] == "refused"
    ]
    for name in was.keys() & now.keys():
        before, after = was[name], now[name]
        if before["null"] and not after["null"] and not _takes(after["holds"], ["literal", None]):
            found.append(f"{name}: None is no longer taken")
        if before["absent"] == "UNSET" != after["absent"]:
            found.append(f"{name}: where it is not there it was UNSET, and is {after['absent']}")
        if not _takes(after["holds"], before["holds"]):
            found.append(f"{name}: {after['holds']} may not take every {before['holds']}")
    return sorted(found)


def _takes(new: Any, old: Any) -> bool:
    """Whether *new* takes whatever *old* took."""
    if new in (old, ["json"]):
        return True
    match new, old:
        case ["nullable", part], ["nullable", was]:
            return _takes(part, was)
        case ["nullable", part], was:
            return _takes(part, was)
        case ["str"], ["str" | "ip", *_]:
            return True
        case ["str"], ["literal", *values]:
            return None not in values and all(isinstance(value, str) for value in values)
        case ["ip", 0], ["ip", _]:
            return True
        case ["int", least, most], ["int", low, high]:
            return least <= low and high <= most
        case ["float", least, most], ["float", low, high]:
            return float(least) <= float(low) and float(high) <= float(most)
        case ["literal", *values], ["literal", *were]:
            return set(were) <= set(values)
        case ["any record", base], ["record", was]:
            return base == was
        case [("seq" | "set" | "map") as tag, *parts], [other, *were] if tag == other:
            return all(_takes(part, was) for part, was in zip(parts, were, strict=True))
        case _:
            return False


def lost(old: dict[str, Form], new: dict[str, Form], *, takes_more: frozenset[str] = frozenset()) -> list[str]:
    """What is read no longer though no number says so: ``VIF.meta: None is no longer taken``."""
    found = [f"{name}: the class is gone" for name in old if name not in new]
    for name in old.keys() & new.keys():
        if new[name]["number"] < old[name]["number"]:
            found.append(f"{name}: its number was {old[name]['number']}, and is {new[name]['number']}")
        elif new[name]["number"] == old[name]["number"]:
            found += [f"{name}.{why}" for why in refused(old[name], new[name])]
    return sorted(why for why in found if why.partition(":")[0] not in takes_more)


def kept() -> dict[str, Form]:
    """The forms that the file remembers."""
    return json.loads(FILE.read_text(encoding="utf-8"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--takes-more", nargs="*", default=[], metavar="CLASS.FIELD")
    takes_more = frozenset(parser.parse_args().takes_more)
    now = forms()
    if FILE.exists() and (why := lost(kept(), now, takes_more=takes_more)):
        sys.exit("\n".join(["these need a step in novastate.objects.schema.STEPS:", *why]))
    FILE.write_text("{\n" + ",\n".join(map(_text, now.items())) + "\n}\n", encoding="utf-8")
    return 0


def _text(named: tuple[str, Form]) -> str:
    """A class, with each field in a line of its own."""
    name, held = named
    lines = ",\n".join(f"  {json.dumps(field)}: {json.dumps(told)}" for field, told in held["fields"].items())
    return f'"{name}": {{"number": {held["number"]}, "fields": {{\n{lines}\n}}}}'


if __name__ == "__main__":
    sys.exit(main())
