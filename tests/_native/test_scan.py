"""The simulator's kernels and their twin: the same bits, counts and cursors; and what both must do."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from novastate._native import scan_py

try:
    from novastate._native import _scan as compiled
except ImportError:  # no compiler here: the twin is all there is
    compiled = scan_py

COSTS = np.array([[4104, 4104, 9, 50], [105, 17, 2, 17]], dtype=np.int64)
LAST = (1 << 64) - 1
NONE = np.zeros(0, dtype=np.uint64)
CHANCES = [0, 1, 1 << 31, 0xDEADBEEF, (1 << 32) - 1, 1 << 32]


@pytest.fixture(params=compiled.variants())
def kernel(request):
    before = compiled.isa()
    compiled.force_isa(request.param)
    yield compiled
    compiled.force_isa(before)


def bitmaps(pages, seed, *densities):
    """Dirty, zero, again, written: random bits of these densities, none past the last page."""
    rng = np.random.default_rng(seed)
    flags = np.zeros((4, (pages + 63) // 64 * 64), dtype=bool)
    for row, density in zip(flags, densities, strict=True):
        row[:pages] = rng.random(pages) < density
    return np.packbits(flags, axis=1, bitorder="little").view("<u8").astype(np.uint64)


def near(pages, chance):
    """What of so many pages is found with this chance, to five deviations."""
    return pytest.approx(pages * chance, abs=5 * (pages * chance * max(0.0, 1 - chance)) ** 0.5 + 0.01)


def ones(words):
    return np.flatnonzero(np.unpackbits(words.astype("<u8").view(np.uint8), bitorder="little"))


guests = st.tuples(
    st.sampled_from([1, 2, 63, 64, 65, 300, 5000, 20_001]),
    st.integers(0, 2**32),
    *(st.sampled_from([0.0, 0.01, 0.5, 1.0]) for _ in range(4)),
)
budgets = st.tuples(st.sampled_from([-5, 0, 1, 9, 4104, 100_000, 2**62]), st.sampled_from([0, 1, 105, 5000, 2**62]))


def by_page(bits, pages, cursor, room, patience):
    """The rule itself: page by page, until one uses up the budget."""
    dirty, zero, again = (set(ones(row).tolist()) for row in bits[:3])
    counts, taken = [0, 0, 0, 0], []
    for page in (*range(cursor % pages, pages), *range(cursor % pages)):
        if page not in dirty:
            continue
        if taken and (room <= 0 or patience <= 0):
            break
        kind = 2 if page in zero else 1 if page in again else 0
        room, patience = room - COSTS[0, kind], patience - COSTS[1, kind]
        counts[kind] += 1
        taken.append(page)
    return counts, taken


@given(guests, budgets, st.floats(0, 1))
@example((64, 0, 1.0, 0.0, 0.0, 0.0), (64 * 4104, 2**62), 0.0)
@example((5000, 1, 0.0, 0.5, 0.5, 0.5), (1, 1), 0.5)
def test_the_scan_goes_page_by_page_from_the_cursor(guest, budget, place):
    bits = bitmaps(*guest)
    pages, cursor = guest[0], int(place * guest[0])
    left = len(ones(bits[0]))
    before = ones(bits[0])
    expected, taken = by_page(bits, pages, cursor, *(max(1, one) for one in budget))
    for module in (compiled, scan_py):
        mine, counts = bits.copy(), np.zeros(4, dtype=np.int64)
        end = module.scan(mine, pages, cursor, left, *(max(1, one) for one in budget), COSTS, counts)
        assert counts.tolist() == expected
        assert set(ones(mine[0])) == set(before) - set(taken)
        assert set(ones(mine[2])) == set(ones(bits[2])) | set(taken)
        assert (mine[1] == bits[1]).all()
        assert end % pages == ((taken[-1] + 1) if taken else cursor) % pages


@pytest.mark.usefixtures("kernel")
class TestEveryVariantIsTheTwin:
    @pytest.mark.parametrize("pages", [1, 65, 4000, 40_000])
    @pytest.mark.parametrize("dirty", [0.0, 0.02, 1.0])
    def test_scan_until_nothing_is_left(self, pages, dirty):
        both = [bitmaps(pages, 7, dirty, 0.3, 0.4, 0.0) for _ in range(2)]
        cursors, left = [pages // 3] * 2, len(ones(both[0][0]))
        while left:
            counts = np.zeros((2, 4), dtype=np.int64)
            for at, module in enumerate((compiled, scan_py)):
                cursors[at] = module.scan(both[at], pages, cursors[at], left, 1_000_000, 30_000, COSTS, counts[at])
            assert cursors[0] == cursors[1]
            assert counts[0].tolist() == counts[1].tolist()
            assert (both[0] == both[1]).all()
            assert 0 < counts[0].sum() <= left
            left -= int(counts[0].sum())
        assert not both[0][0].any()

    @pytest.mark.parametrize("slots", [1, 16, 1024])
    def test_scan_with_a_cache(self, slots):
        pages = 700
        both = [bitmaps(pages, 5, 0.5, 0.2, 0.4, 0.0) for _ in range(2)]
        caches = [np.vstack((np.full(slots, -1), np.zeros(slots, dtype=np.int64))) for _ in range(2)]
        deltas = 0
        for now in range(6):
            cursors, fresh = [0, 0], bitmaps(pages, 9, 0.4, 0, 0, 0)[0]
            counts = np.zeros((2, 4), dtype=np.int64)
            for at, module in enumerate((compiled, scan_py)):
                both[at][0] |= fresh
                left = len(ones(both[at][0]))
                cursors[at] = module.scan_cached(
                    both[at], pages, caches[at], now, 0, left, 900_000, 2**62, COSTS, counts[at]
                )
            assert cursors[0] == cursors[1]
            assert counts[0].tolist() == counts[1].tolist()
            assert (both[0] == both[1]).all()
            assert (caches[0] == caches[1]).all()
            deltas += int(counts[0, 3])
        assert deltas

    @pytest.mark.parametrize("pages", [1, 64, 65, 9999])
    def test_census_and_merge(self, pages):
        bits = bitmaps(pages, 3, 0.5, 0.3, 0.4, 0.2)
        twin = bits.copy()
        counts = np.zeros((2, 4), dtype=np.int64)
        compiled.census(bits, pages, counts[0])
        scan_py.census(twin, pages, counts[1])
        assert counts[0].tolist() == counts[1].tolist()
        assert counts[0].sum() == len(ones(bits[0]))
        dirty, written = set(ones(bits[0])), set(ones(bits[3]))
        assert compiled.merge(bits, pages) == scan_py.merge(twin, pages) == len(written - dirty)
        assert (bits == twin).all()
        assert set(ones(bits[0])) == dirty | written
        assert not written & set(ones(bits[1]))
        assert not bits[3].any()

    @pytest.mark.parametrize("pages", [1, 2, 3, 100, 4096, 5000])
    @pytest.mark.parametrize("base", [0, 1 << 62])
    @pytest.mark.parametrize("parts", [False, True])
    def test_draw(self, pages, base, parts):
        half, middle = pages // 2, 1 << 63
        rows = [(0, middle - 1, 0), (middle, LAST, half)] if half else [(0, LAST, 0)]
        ratios = np.array([half / 2**52, (pages - half) / 2**52] if half else [pages / 2**53])
        groups = np.array(rows, dtype=np.uint64)
        guide = np.zeros(2, dtype=np.int32)
        since = np.linspace(2**30, 2**32, pages // 64 + 2).astype(np.uint64) if parts else NONE
        both = np.zeros((2, 2, pages // 64 + 2), dtype=np.uint64)
        for shuffled in (False, True):
            order = an_order(pages, shuffled=shuffled)
            for marks, module in zip(both, (compiled, scan_py), strict=True):
                module.draw(*marks, 5, 42, LAST - 20, 500, base, groups, ratios, guide, 63, order, since, 6)
            assert (both[0] == both[1]).all()
            assert 5 <= ones(both[0].ravel()).min() <= ones(both[0, 0] | both[0, 1]).max() < pages + 5
        assert bool(both[0, 1].any()) == parts

    @pytest.mark.parametrize("chance", CHANCES)
    @pytest.mark.parametrize("late", CHANCES)
    def test_fill(self, chance, late):
        pages = 3000
        both = np.zeros((2, 2, 60), dtype=np.uint64)
        groups = np.array(
            [(low, size, chance, late) for low, size in ((0, 1), (1, 63), (64, 64), (128, 2872))], np.uint64
        )
        for marks, module in zip(both, (compiled, scan_py), strict=True):
            module.fill(*marks, 77, 9, 1 << 40, groups)
        assert (both[0] == both[1]).all()
        written, early = (ones(row) for row in both[0])
        assert len(written) == near(pages, chance / 2**32 * late / 2**32)
        assert len(early) == near(pages, chance / 2**32 * (1 - late / 2**32))
        assert all(77 <= page < pages + 77 for page in (*written, *early))
        assert not set(written) & set(early)

    @pytest.mark.parametrize("chance", CHANCES)
    @pytest.mark.parametrize("remains", [None, 0.0, 0.3, 1.0])
    def test_fill_scattered(self, chance, remains):
        pages = 3000
        both = np.zeros((2, 2, 60), dtype=np.uint64)
        groups = np.array([(low, size, chance) for low, size in ((0, 1), (1, 63), (64, 64), (128, 2872))], np.uint64)
        rate = -math.log2(max(1e-9, 1 - chance / 2**32))
        paces, left = np.full(4, -rate), np.zeros(0) if remains is None else np.full(60, remains)
        for marks, module in zip(both, (compiled, scan_py), strict=True):
            module.fill_scattered(*marks, 77, 9, 1 << 40, groups, paces, an_order(pages, shuffled=True), left, 6)
        assert (both[0] == both[1]).all()
        written, early = (ones(row) for row in both[0])
        kept = 1 - 2 ** -(rate * (1.0 if remains is None else remains))
        assert len(written) == near(pages, kept)
        assert len(early) == near(pages, chance / 2**32 - kept)
        assert all(77 <= page < pages + 77 for page in (*written, *early))
        assert not set(written) & set(early)

    @pytest.mark.skipif(compiled is scan_py, reason="the twin does not look into the guide")
    @pytest.mark.parametrize("wrong", [-1, 2, 1 << 20])
    def test_a_guide_leads_to_groups(self, wrong):
        groups = np.array([(0, (1 << 63) - 1, 0), (1 << 63, LAST, 50)], dtype=np.uint64)
        guide = np.array([0, wrong, 1, 1], dtype=np.int32)
        order, written = an_order(100, shuffled=False), np.zeros(4, dtype=np.uint64)
        with pytest.raises(ValueError, match="guide"):
            compiled.draw(written, NONE, 0, 42, 0, 500, 0, groups, np.zeros(2), guide, 62, order, NONE, 6)

    def test_mark(self):
        both = np.zeros((2, 4), dtype=np.uint64)
        for written, module in zip(both, (compiled, scan_py), strict=True):
            module.mark(written, np.array([255, 0, 64, 0], dtype=np.int64))
            module.mark(written, np.array([], dtype=np.int64))
        assert ones(both[0]).tolist() == ones(both[1]).tolist() == [0, 64, 255]


def test_the_twin_takes_any_number_of_writes_in_pieces(monkeypatch):
    groups, order, since = (
        np.array([(0, LAST, 0)], dtype=np.uint64),
        an_order(3000, shuffled=True),
        np.full(47, 2**31, np.uint64),
    )
    filled = np.array([(0, 70, 1 << 31), (70, 1, 1 << 31), (71, 2000, 1 << 30)], dtype=np.uint64)
    rows = np.column_stack((filled, np.full(3, 1 << 30))).astype(np.uint64)
    found = []
    for many in (1 << 20, 64):
        monkeypatch.setattr(scan_py, "_MANY", many)
        marks = np.zeros((6, 47), dtype=np.uint64)
        scan_py.draw(*marks[:2], 0, 1, 7, 1000, 1 << 60, groups, np.array([3000 / 2**53]), GUIDE, 63, order, since, 6)
        scan_py.fill(*marks[2:4], 3, 1, 7, rows)
        scan_py.fill_scattered(*marks[4:], 0, 1, 7, filled, np.full(3, -1.0), order, np.full(47, 0.3), 6)
        found.append(marks)
    assert (found[0] == found[1]).all()
    assert all(row.any() for row in found[0])


def an_order(pages, *, shuffled):
    rows = math.isqrt(pages - 1) + 1 if shuffled else 0
    columns = -(-pages // rows) if rows else 0
    return np.array([pages, rows, columns, 0x5A5A5A5A, 2**63 + 7], dtype=np.uint64)


@pytest.mark.parametrize("pages", [1, 2, 3, 5, 64, 1000, 4097])
def test_an_order_names_every_page_once(pages):
    found = scan_py.scatter(np.arange(pages, dtype=np.uint64), an_order(pages, shuffled=True))
    assert sorted(found.tolist()) == list(range(pages))


def test_an_order_scatters_what_is_near():
    pages = 100_000
    found = scan_py.scatter(np.arange(pages // 10, dtype=np.uint64), an_order(pages, shuffled=True))
    counts = np.histogram(found.astype(float), bins=50, range=(0, pages))[0]
    assert 100 < counts.min() <= counts.max() < 300


def test_random_numbers_are_those_of_splitmix64():
    # The first numbers of the published generator with seed 1234567; it adds before it mixes.
    assert [scan_py.random_at(1234567, i) for i in (1, 2, 3)] == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
    ]


BITS = np.zeros((4, 2), dtype=np.uint64)
GROUPS, RATIOS = np.array([(0, LAST, 0)], dtype=np.uint64), np.array([100 / 2**53])
GUIDE, ORDER = np.zeros(2, np.int32), an_order(100, shuffled=False)
SMALL = np.array([(0, 100, 1)], dtype=np.uint64)


@pytest.mark.parametrize(
    "call",
    [
        lambda k: k.scan(BITS, 0, 0, 0, 1, 1, COSTS, np.zeros(4, np.int64)),
        lambda k: k.scan(BITS, 129, 0, 0, 1, 1, COSTS, np.zeros(4, np.int64)),
        lambda k: k.merge(BITS[:3], 100),
        lambda k: k.census(BITS, 64, np.zeros(4, np.int64)),
        lambda k: k.mark(BITS[0], np.array([-1])),
        lambda k: k.mark(BITS[0], np.array([128])),
        lambda k: k.draw(BITS[0], NONE, 29, 1, 0, 1, 0, GROUPS, RATIOS, GUIDE, 63, ORDER, NONE, 6),
        lambda k: k.draw(BITS[0], NONE, 0, 1, 0, 1, 0, GROUPS, RATIOS, GUIDE, 63, ORDER, np.zeros(2, np.uint64), 6),
        lambda k: k.draw(BITS[0], BITS[1], 0, 1, 0, 1, 0, GROUPS, RATIOS, GUIDE, 63, ORDER, np.zeros(1, np.uint64), 6),
        lambda k: k.fill(BITS[0], NONE, 29, 1, 0, np.array([(0, 100, 1, 1 << 32)], np.uint64)),
        lambda k: k.fill(BITS[0], NONE, 0, 1, 0, np.array([(0, 100, 1, 1)], np.uint64)),
        lambda k: k.fill_scattered(BITS[0], NONE, 29, 1, 0, SMALL, np.zeros(1), ORDER, np.zeros(0), 6),
        lambda k: k.fill_scattered(BITS[0], NONE, 0, 1, 0, SMALL, np.zeros(1), ORDER, np.zeros(2), 6),
        lambda k: k.fill_scattered(BITS[0], BITS[1], 0, 1, 0, SMALL, np.zeros(1), ORDER, np.zeros(1), 6),
        lambda k: k.fill_scattered(BITS[0], BITS[1], 0, 1, 0, SMALL, np.zeros(1), ORDER, np.zeros(2), 5),
    ],
)
@pytest.mark.parametrize("module", [compiled, scan_py])
def test_what_does_not_fit_is_refused(call, module):
    with pytest.raises(ValueError, match="must"):
        call(module)
