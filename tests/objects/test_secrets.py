"""A secret is never shown: not by repr, str, format or a log line, and not in an error."""

from __future__ import annotations

import copy
import io
import logging
import pickle
import traceback
from pprint import pformat

import pytest
from rich.console import Console
from rich.pretty import pprint

from novastate.errors import InvalidField
from novastate.objects import (
    BlockDeviceMapping,
    CellMapping,
    ConsoleAuthToken,
    Instance,
    InstanceList,
    KeyPair,
    LibvirtLiveMigrateBDMInfo,
    LibvirtLiveMigrateData,
    LiveMigrateData,
    ShareMapping,
    dumps,
    evolve,
    loads,
)
from novastate.objects.base import MASK, declared, fields
from object_records import UUID, instance

SECRET = "tr0ub4dor&3"
CONNECTION = f"mysql://nova:{SECRET}@db/nova"


def holders():
    server = instance(
        user_data=SECRET,
        key_data=SECRET,
        metadata={"admin_pass": SECRET, "role": "web"},
        system_metadata={"password_0": SECRET, "image_min_disk": "1"},
        keypairs=[KeyPair(name="k", public_key=SECRET)],
    )
    volume = LibvirtLiveMigrateBDMInfo(serial="s", bus="virtio", dev="vda", type="disk", connection_info_json=SECRET)
    return [
        server,
        KeyPair(name="k", public_key=SECRET),
        CellMapping(uuid=UUID, transport_url=CONNECTION, database_connection=CONNECTION),
        volume,
        LibvirtLiveMigrateData(vtpm_secret_value=SECRET, bdms=[volume]),
        BlockDeviceMapping(connection_info=SECRET),
        console(token=SECRET, internal_access_path=SECRET),
        ShareMapping(
            instance_uuid=UUID,
            share_id=UUID,
            status="active",
            tag="t",
            export_location="nfs:/a",
            share_proto="NFS",
            access_key=SECRET,
        ),
        InstanceList(objects=[server]),
    ]


def console(**given):
    return ConsoleAuthToken(**{"instance_uuid": UUID, "console_type": "novnc", "host": "cmp-a", "port": 5900, **given})


@pytest.mark.parametrize("obj", holders(), ids=lambda obj: type(obj).__name__)
def test_no_way_of_showing_shows_it(obj, caplog):
    logging.getLogger().warning("%s %r", obj, obj)
    shown = [repr(obj), str(obj), f"{obj}", f"{obj!r}", "%s" % obj, repr([obj]), repr({"a": obj}), caplog.text]  # noqa: UP031
    rich = io.StringIO()
    Console(file=rich, width=200).print(obj)
    pprint(obj, console=Console(file=rich, width=20))
    for text in (*shown, rich.getvalue(), pformat(obj)):
        assert SECRET not in text
    assert MASK in repr(obj)


def test_what_is_no_secret_is_shown():
    server = holders()[0]
    assert "'role': 'web'" in repr(server)
    assert "'image_min_disk': '1'" in repr(server)


@pytest.mark.parametrize("obj", holders(), ids=lambda obj: type(obj).__name__)
def test_it_is_kept_all_the_same(obj):
    assert loads(type(obj), dumps(obj)) == obj
    assert copy.deepcopy(obj) == obj
    assert pickle.loads(pickle.dumps(obj)) == obj
    assert evolve(obj) == obj


REFUSED = [
    lambda: instance(user_data=SECRET.encode()),
    lambda: instance(user_data=[SECRET]),
    lambda: instance(key_data=f"{SECRET}\ud800"),
    lambda: instance(system_metadata={"password_0": [SECRET]}),
    lambda: instance(system_metadata={"password_0": f"{SECRET}\ud800"}),
    lambda: instance(metadata=[SECRET]),
    lambda: instance(flavor={"admin_pass": SECRET}),
    lambda: LibvirtLiveMigrateData(vtpm_secret_value=(SECRET,)),
    lambda: CellMapping(uuid=UUID, transport_url=[CONNECTION]),
    lambda: console(token=[SECRET]),
    lambda: loads(InstanceList, f'{{"objects": [{{"user_data": ["{SECRET}"], "uuid": "{UUID}"}}]}}'),
    lambda: loads(
        Instance, f'{{"user_data": ["{SECRET}"], "uuid": "{UUID}", "flavor": {{"vcpus": 1, "memory_mb": 1}}}}'
    ),
    lambda: loads(Instance, f'{{"admin_pass": "{SECRET}"}}'),
    lambda: loads(Instance, f'["{SECRET}"]'),
    lambda: loads(Instance, f'{{"keypairs": [{{"name": "k", "public_key": ["{SECRET}"]}}]}}'),
    lambda: loads(Instance, f'{{"keypairs": [["{SECRET}"]]}}'),
    lambda: loads(Instance, f'{{"user_data": "{SECRET}'),
]


@pytest.mark.parametrize("make", REFUSED)
def test_an_error_does_not_hold_it(make):
    with pytest.raises(InvalidField) as refused:
        make()
    error = refused.value
    assert SECRET not in str(error)
    assert SECRET not in repr(error.value)
    assert SECRET not in repr(error.__dict__)
    assert SECRET not in "".join(traceback.format_exception_only(error))


def test_an_assignment_does_not_tell_it():
    server = instance()
    with pytest.raises(InvalidField) as refused:
        server.user_data = [SECRET]
    assert SECRET not in repr(refused.value.__dict__)


def test_every_field_that_sounds_like_a_secret_is_one():
    suspicious = (
        "password",
        "admin_pass",
        "secret_value",
        "connection",
        "transport_url",
        "user_data",
        "key_data",
        "public_key",
        "access_key",
        "token",
    )
    for cls in declared().values():
        for name, field in fields(cls).items():
            if any(word in name for word in suspicious):
                assert field.secret, f"{cls.__name__}.{name}"


def test_the_base_of_migrate_data_is_a_record_of_its_own():
    assert repr(LiveMigrateData(is_volume_backed=True)) == "LiveMigrateData(is_volume_backed=True)"
