"""Small damage to a primitive, as a peer, a store or an attacker may do it: one change at a place drawn at random.

A primitive is what a JSON library makes: dicts, lists, texts, numbers, booleans, None. What comes out is that, too.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from fuzz.laws import envelope, words
from novastate.objects.nova.versions import CURRENT

WORDS = words()
TEXTS = (
    "", "a", "0", "1.0", "None", "null", "[]", "{}", "[{}]", '[{"meta": 5, "bogus": 1}]', '{"a": 1, "a": 2}', "[" * 300,
    "ä ß 名", "\x00", "\n", "x" * 5000, "2026-08-05T04:00:00Z", "2026-08-05T04:00:00.5+23:59", "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-14:00", "10.0.0.1", "::1", "fe80::1%eth0", "fa:16:3e:00:00:08", "00001111-0001-4001-8001-00000000f779",
)  # fmt: skip
NUMBERS = (0, 1, -1, 7, 2**31, 2**63 - 1, 2**63, -(2**63), 2**64, 10**400, 0.0, -0.0, 0.5, 1e300, 5e-324)
VERSIONS = (
    "1.0",
    "1.1",
    "1.5",
    "2.0",
    "2.99",
    "1.99",
    "0.1",
    "1.999999",
    "1.01",
    "1",
    "1.",
    "1.0.0",
    "-1.0",
    "\u0967.\u0966",
    "9" * 400,
    "1.0\n",
)
_NAME, _VERSION, _DATA, _CHANGES = (f"nova_object.{member}" for member in ("name", "version", "data", "changes"))


def a_value(random: Random) -> Any:
    """Any JSON value; now and then an envelope, or a word of ours where no one expects it."""
    match random.randrange(10):
        case 0:
            return None
        case 1:
            return random.random() < 0.5
        case 2 | 3:
            return random.choice(NUMBERS)
        case 4 | 5:
            return random.choice(TEXTS)
        case 6:
            return random.choice(WORDS)
        case 7:
            return [a_value(random) for _ in range(random.randrange(3))]
        case 8:
            return {random.choice(WORDS): a_value(random) for _ in range(random.randrange(3))}
        case _:
            return envelope(random.choice(tuple(CURRENT)), random.choice(VERSIONS), {})


def places(held: Any) -> list[tuple[Any, Any]]:
    """Every place in it: a container, and a key or index of it."""
    found: list[tuple[Any, Any]] = []
    ahead = [held]
    while ahead:
        part = ahead.pop()
        for key in part if isinstance(part, dict) else range(len(part)):
            found.append((part, key))
            if isinstance(part[key], dict | list):
                ahead.append(part[key])
    return found


def _replace(random: Random, held: Any, key: Any, _: Any) -> None:
    held[key] = a_value(random)


def _remove(random: Random, held: Any, key: Any, _: Any) -> None:
    del held[key]


def _add(random: Random, held: Any, key: Any, _: Any) -> None:
    if isinstance(held, dict):
        held[random.choice((*WORDS, *TEXTS))] = a_value(random)
    else:
        held.insert(random.randrange(len(held) + 1), a_value(random))


def _rename(random: Random, held: Any, key: Any, _: Any) -> None:
    if isinstance(held, dict):
        held[random.choice((*WORDS, *TEXTS))] = held.pop(key)


def _move(random: Random, held: Any, key: Any, root: Any) -> None:
    into, where = random.choice(places(root))
    into[where] = copy.deepcopy(held[key])


def _nest(random: Random, held: Any, key: Any, _: Any) -> None:
    for _ in range(random.choice((1, 1, 2, 40))):
        held[key] = [held[key]] if random.random() < 0.5 else {random.choice(WORDS): held[key]}


def _repeat(random: Random, held: Any, key: Any, _: Any) -> None:
    if isinstance(held[key], list):
        held[key] = held[key] * random.randrange(5)


def _inside(random: Random, held: Any, key: Any, _: Any) -> None:
    """Damages what a text says, where that is JSON."""
    if isinstance(held[key], str):
        try:
            said = json.loads(held[key])
        except (ValueError, RecursionError):
            return
        held[key] = json.dumps(mutated(random, said))


_AT_A_PLACE: Sequence[Callable[[Random, Any, Any, Any], None]] = (
    _replace, _replace, _remove, _add, _rename, _move, _nest, _repeat, _inside, _inside,
)  # fmt: skip


def _of_an_envelope(random: Random, held: dict[str, Any], root: Any) -> None:
    match random.randrange(6):
        case 0:
            held[_NAME] = random.choice(tuple(CURRENT))
        case 1 | 2:
            held[_VERSION] = random.choice((*VERSIONS, *CURRENT.values()))
        case 3:
            held["nova_object.namespace"] = random.choice(("nova", "cinder", None, 1))
        case 4:
            data = held.get(_DATA)
            names = list(data) if isinstance(data, dict) else []
            held[_CHANGES] = random.choice((names, [*names, *names], ["bogus"], [[]], [None], a_value(random)))
        case _:
            others = [part for into, key in places(root) if isinstance(part := into[key], dict) and _NAME in part]
            other = copy.deepcopy(random.choice(others)) if others else {}
            held.update(other)


def mutated(random: Random, primitive: Any, times: int = 1) -> Any:
    """A copy of *primitive* with one small change, or with several."""
    made = {"": copy.deepcopy(primitive)}
    for _ in range(times):
        here = places(made)
        envelopes = [part for into, key in here if isinstance(part := into[key], dict) and _NAME in part]
        if envelopes and random.random() < 0.25:
            _of_an_envelope(random, random.choice(envelopes), made[""])
            continue
        into, key = random.choice(here)
        if into is made:
            if random.random() < 0.9 and len(here) > 1:
                into, key = random.choice(here[1:])
            else:
                made[""] = a_value(random)
                continue
        random.choice(_AT_A_PLACE)(random, into, key, made)
    return made.get("")
