"""What a running migration tells of its guest."""

from __future__ import annotations

from novastate.convergence import DirtyClass, DirtyCurve
from novastate.convergence.online.learning import Counted, Counts

CURVE = DirtyCurve((DirtyClass(3000.0, 9000.0), DirtyClass(9000.0, 400.0)), 65536)


def test_what_was_worked_out_at_earlier_looks_changes_nothing():
    rows = [Counted(float(k), 1.0, 1, 2000.0 + 37 * k, 50.0, 0.2 * (k % 4), 0.1, 65536.0) for k in range(1, 90)]
    followed = Counts()
    for row in rows:
        followed.add(row)
        followed.busy(CURVE, row.at, 0.1, 1.0)
        followed.corrected(CURVE, row.at, 0.3)
    fresh = Counts()
    for row in rows[-64:]:
        fresh.add(row)
    assert followed.rows == fresh.rows
    assert followed.busy(CURVE, 90.0, 0.1, 1.0) == fresh.busy(CURVE, 90.0, 0.1, 1.0)
    assert followed.corrected(CURVE, 90.0, 0.3) == fresh.corrected(CURVE, 90.0, 0.3)
    assert followed.evidence(CURVE, 90.0, 0.3) == fresh.evidence(CURVE, 90.0, 0.3)
