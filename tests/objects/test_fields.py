"""What every field must be, Nova's or ours: its default is a value that it takes, and UNSET is told by its type."""

from __future__ import annotations

import pytest

from novastate.objects import UNSET
from novastate.objects.base import declared, fields


@pytest.mark.parametrize("cls", declared())
def test_a_default_is_a_value_that_the_field_takes(cls):
    for field in fields(declared()[cls]).values():
        if field.default is not UNSET and field.default is not None:
            assert field.kind.check(field.default) == field.default
            assert type(field.kind.check(field.default)) is type(field.default)
        if field.default is None:
            assert field.nullable


@pytest.mark.parametrize("cls", declared())
def test_a_field_that_may_be_unset_says_so_by_its_type(cls):
    for field in fields(declared()[cls]).values():
        assert field.optional == (field.default is UNSET and not field.required), field


@pytest.mark.parametrize("cls", declared())
def test_what_is_stored_counts_its_revisions_and_nova_does_not(cls):
    stored = cls in {"Instance", "Migration", "RequestSpec", "ComputeNode", "Allocation"}
    ours = {name: field.default for name, field in fields(declared()[cls]).items() if not field.wire}
    assert ours == ({"revision": 0} if stored else {})
