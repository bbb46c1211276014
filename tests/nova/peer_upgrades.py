"""What the real Nova makes of a stored NUMA topology whose cells are of an older version: the operation ``stored``."""

from nova.objects.base import NovaObject


def stored(primitive):
    """A topology after what ``obj_from_db_obj`` does to one that it has read, short of saving it."""
    topology = NovaObject.obj_from_primitive(primitive)
    type(topology)._migrate_legacy_dedicated_instance_cpuset(topology)
    return topology.obj_to_primitive()


OPS = {"stored": stored}
