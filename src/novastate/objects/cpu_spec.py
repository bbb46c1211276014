"""Sets of CPUs as operators write them: ``0-3,^2,8``.

Rules of this file (Nova's ``parse_cpu_spec``, nova/virt/hardware.py): numbers, ranges, and after a caret what is taken out again,
with commas between; spaces and empty parts mean nothing. A number has a bound, so that a slip of the pen takes no memory.
"""

import re
from collections.abc import Iterable

from novastate.errors import InvalidField

__all__ = ["MOST", "format_cpu_spec", "parse_cpu_spec"]

#: The greatest CPU number that is read; Linux knows 8192 CPUs at most.
MOST = 65_535

_RULE = re.compile(r"(\^?)\s*(\d{1,6})\s*(?:-\s*(\d{1,6})\s*)?")


def parse_cpu_spec(spec: str, field: str = "cpu_spec") -> frozenset[int]:
    """The CPUs that *spec* names. Raises InvalidField, on *field*, for a part that is none.

    >>> sorted(parse_cpu_spec("0-3,^2,8"))
    [0, 1, 3, 8]
    """
    taken, rejected = set[int](), set[int]()
    for part in spec.split(","):
        if not (text := part.strip()):
            continue
        rule = _RULE.fullmatch(text)
        start = int(rule[2]) if rule else 1
        end = int(rule[3] or rule[2]) if rule else 0
        if start > end or end > MOST:
            raise InvalidField(field, spec, f"{text[:40]!r} is no CPU from 0 to {MOST}, range, or either after a caret")
        (rejected if rule and rule[1] else taken).update(range(start, end + 1))
    return frozenset(taken - rejected)


def format_cpu_spec(cpus: Iterable[int]) -> str:
    """*cpus*, as :func:`parse_cpu_spec` reads them.

    >>> format_cpu_spec({0, 1, 2, 5, 7, 8})
    '0-2,5,7-8'
    """
    runs: list[list[int]] = []
    for cpu in sorted(set(cpus)):
        if runs and cpu == runs[-1][-1] + 1:
            runs[-1][1:] = [cpu]
        else:
            runs.append([cpu])
    return ",".join("-".join(map(str, run)) for run in runs)
