"""From us to Nova and back: what our strategies draw, the real Nova reads and writes, and we read as it was."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nova.compare import difference
from novastate.objects import nova
from novastate.objects.base import declared
from novastate.objects.nova.versions import CURRENT
from novastate.testing import strategies

#: The peer is one for all examples.
SHARED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.parametrize("cls", CURRENT)
@given(data=st.data())
@SHARED
def test_nova_takes_what_we_send(peer, schema, cls, data):
    drawn = data.draw(strategies.records(declared()[cls], partial=True))
    sent = json.loads(nova.dumps(drawn))
    expected = schema.settled(schema.canonical(sent))
    written = peer.ask("roundtrip", sent)
    assert not difference(expected, schema.canonical(written))
    # Nova fills in what some objects are never without; all else comes back as it went.
    whole = nova.load(peer.ask("roundtrip", nova.dump(nova.load(sent))))
    assert nova.load(written) == whole
