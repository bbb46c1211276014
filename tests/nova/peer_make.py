"""Real Nova objects, filled at random from the types of their fields: the operation ``make``.

The same class and seed make the same object. Every third one has all its fields, the others a part of them; half of them are
clean, the others have unsaved changes. A text that Nova does not restrict, but that only ever holds a few words, is one of those (WORDS).
"""

import random
import uuid
from datetime import UTC, datetime, timedelta

from nova.compute import power_state, task_states, vm_states
from nova.network import model
from nova.objects import fields as nova_fields
from oslo_versionedobjects import fields
from oslo_versionedobjects.base import VersionedObjectRegistry

#: Objects inside objects inside objects: deeper, only None and empty lists.
DEPTH = 3
TEXTS = ("", "a", "cmp-a.dc1", "ä ß 名", 'quote " and \\ and \n', "\u2028\x7f", "x" * 300)
NUMBERS = (0, 1, 7, 4096, 2**31, 2**63 - 1)


def words(module):
    return sorted(v for k, v in vars(module).items() if k.isupper() and isinstance(v, str))


STATUSES = (
    "accepted", "queued", "preparing", "running", "running (post-copy)", "completed", "cancelled", "error", "failed",
    "pre-migrating", "migrating", "post-migrating", "finished", "confirming", "confirmed", "reverting", "reverted", "done",
)  # fmt: skip
#: What Nova's own code puts into a text or number that its schema leaves open.
WORDS = {
    ("Instance", "vm_state"): words(vm_states),
    ("Instance", "task_state"): [*words(task_states), None],
    ("Instance", "power_state"): list(
        power_state.STATE_MAP
    ),  # neither is ever None: _populate_instance_for_create sets both
    ("Instance", "progress"): [0, 7, 100, None],
    ("Migration", "status"): STATUSES,
    # The API takes no flavor without a CPU, and no request for no server.
    ("Flavor", "vcpus"): [1, 7, 4096],
    ("RequestSpec", "num_instances"): [1, 7, 4096],
}


def make(name, seed):
    """The primitive of a Nova object of class *name*."""
    return build(name, random.Random(f"{name}-{seed}"), 0, every=seed % 3 == 0).obj_to_primitive()


def build(name, rng, depth, *, every=False):
    cls = VersionedObjectRegistry.obj_classes()[name][0]
    obj = cls()
    chosen = [field for field in cls.fields if every or rng.random() < 0.7]
    values = {field: some(cls, field, cls.fields[field], rng, depth) for field in chosen}
    for field, value in values.items():
        if value is not LEAVE:
            setattr(obj, field, value)
    if rng.random() < 0.5:
        obj.obj_reset_changes(recursive=True)
        if rng.random() < 0.5:
            for field in rng.sample(chosen, min(3, len(chosen))):
                if values[field] is not LEAVE:
                    setattr(obj, field, values[field])
    return obj


#: The field stays unset.
LEAVE = object()


def some(cls, name, field, rng, depth):
    if (known := WORDS.get((cls.obj_name(), name))) is not None:
        return rng.choice(known)
    if field.nullable and rng.random() < 0.2:
        return None
    made = of_type(field, rng, depth)
    return None if made is LEAVE and field.nullable else made


def of_type(field, rng, depth):
    kind = field._type
    match kind:
        case fields.Object():
            return LEAVE if depth >= DEPTH else build(concrete(kind, rng), rng, depth + 1)
        case fields.List() | fields.Set():
            element = kind._element_type
            few = rng.choice((0, 1, 1, 2, 3))
            made = [of_type(element, rng, depth) for _ in range(few)]
            made = [one for one in made if one is not LEAVE]
            return set(made) if isinstance(kind, fields.Set) else made
        case fields.Dict():
            element = kind._element_type
            made = {key: of_type(element, rng, depth) for key in rng.sample(["a", "b", "7", "ключ"], rng.randrange(4))}
            if element.nullable and made and rng.random() < 0.5:
                made[next(iter(made))] = None
            return made
        case nova_fields.NetworkModel():
            return model.NetworkInfo([vif(rng) for _ in range(rng.randrange(3))])
        case nova_fields.NetworkVIFModel():
            return vif(rng)
        case fields.Enum():
            return rng.choice(sorted(set(kind.valid_values) - {"_unused"}))
        case _:
            return rng.choice(SCALARS[type(kind).__name__](rng))


def concrete(kind, rng):
    """The class that stands there; where subclasses may, one of them, and LiveMigrateData is only ever one of its own."""
    known = VersionedObjectRegistry.obj_classes()
    if not kind._subclasses:
        return kind._obj_name
    return rng.choice([name for name in sorted(known) if kind._obj_name in kind._get_all_obj_names(known[name][0]())])


SCALARS = {
    "Boolean": lambda rng: (False, True),
    "FlexibleBoolean": lambda rng: (False, True),
    "Integer": lambda rng: (*NUMBERS, rng.randrange(10**6)),
    "Float": lambda rng: (0.0, 1.0, 16.5, 1e300, rng.random()),
    "String": lambda rng: (*TEXTS, f"text-{rng.randrange(10**6)}"),
    "SensitiveString": lambda rng: ("", '{"path_to_secret": "here"}'),
    "VersionPredicate": lambda rng: (">=2.6", "< 3", "==1.0.1, != 7"),
    "UUID": lambda rng: (str(uuid.UUID(int=rng.getrandbits(128))), "ABCDEF00111122223333444455556666"),
    "DateTime": lambda rng: (
        datetime(1970, 1, 1, tzinfo=UTC),
        datetime(2026, 8, 1, 12, tzinfo=UTC) + timedelta(seconds=rng.randrange(10**8)),
        datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC),
    ),
    "MACAddress": lambda rng: ("fa:16:3e:00:00:08", "FA-16-3E-AB-CD-EF"),
    "PCIAddress": lambda rng: ("0000:01:00.0", "ffff:ff:1f.7", "0000:AB:00.1"),
    "USBAddress": lambda rng: ("0:1", "ab:12"),
    "SCSIAddress": lambda rng: ("1:0:2:0", "0:0:0:a"),
    "IDEAddress": lambda rng: ("0:1", "1:0"),
    "XenAddress": lambda rng: ("000100", "51712"),
    "IPAddress": lambda rng: ("10.0.8.18", "fe80::1", "::ffff:10.0.0.1"),
    "IPV4Address": lambda rng: ("10.0.8.18", "0.0.0.0"),
    "IPV6Address": lambda rng: ("fe80::1", "::"),
    "ResourceClass": lambda rng: ("VCPU", "CUSTOM_PMEM_4GB"),
}


def vif(rng):
    """An interface as Neutron's answer becomes one, or the least that stands for one."""
    if rng.random() < 0.3:
        return model.VIF(id=str(uuid.UUID(int=rng.getrandbits(128))))
    meta = {"injected": False, "mtu": rng.choice((1450, 9000)), "tenant_id": "p7a2"}
    floating = [model.IP(address="203.0.113.7", type="floating")] if rng.random() < 0.5 else []
    ips = [model.FixedIP(address=f"10.0.8.{n}", floating_ips=floating) for n in range(rng.randrange(3))]
    route = model.Route(cidr="0.0.0.0/0", gateway=model.IP(address="10.0.8.254", type="gateway"))
    subnet = model.Subnet(
        cidr="10.0.8.0/24", ips=ips, routes=[route] * rng.randrange(2), dns=[model.IP(address="10.0.0.53", type="dns")],
        gateway=model.IP(address="10.0.8.1", type="gateway"), dhcp_server="10.0.8.2",
    )  # fmt: skip
    network = model.Network(
        id=str(uuid.UUID(int=rng.getrandbits(128))),
        bridge=rng.choice(("br-int", None)),
        label=rng.choice(("private", "ä")),
        subnets=[subnet] * rng.randrange(3),
        **(meta if rng.random() < 0.7 else {}),
    )
    details = {"port_filter": True, "connectivity": "l2", "bound_drivers": {"0": "openvswitch"}}
    return model.VIF(
        id=str(uuid.UUID(int=rng.getrandbits(128))), address="fa:16:3e:00:00:08", network=network, active=rng.random() < 0.5,
        type=rng.choice(("ovs", "bridge", "hw_veb", None)), details=rng.choice((details, {})), devname="tap0a1b2c3d-4e",
        vnic_type=rng.choice(("normal", "direct", "macvtap")), profile=rng.choice((None, {}, {"pci_slot": "0000:05:10.2"})),
    )  # fmt: skip


OPS = {"make": make}
