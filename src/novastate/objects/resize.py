"""The flavors of an instance on resize: the one it has, the one it had, the one it will have.

Rules of this file (Nova's compute manager, from ``_prep_resize`` to confirm or revert):

1. *new_flavor* is set when the resize begins. When the guest stands on its new host, *old_flavor* is what it had, and *flavor*
   what it will have. Confirming or reverting leaves neither.
2. Instances of Nova before 2015.1 keep flavors in *system_metadata*, a text for each property, and of the extra specs only those
   on NUMA: ``instance_type_memory_mb``, ``old_instance_type_…``, ``new_instance_type_extra_hw:numa_mem.0``.
3. Finishing or confirming twice is doing it once. What reverts needs the old flavor, and afterwards there is none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

from novastate.errors import InvalidField
from novastate.objects.flavor import Flavor
from novastate.objects.instance import Instance
from novastate.objects.values import FrozenDict

__all__ = [
    "begin_resize",
    "confirm_resize",
    "delete_flavor_info",
    "extract_flavor_info",
    "finish_resize",
    "revert_resize",
    "save_flavor_info",
    "take_flavor",
]

Prefix = Literal["", "old_", "new_"]


def take_flavor(instance: Instance, flavor: Flavor) -> None:
    """Gives *instance* this flavor, and its sizes."""
    instance.flavor = flavor
    instance.instance_type_id = flavor.id or None
    instance.vcpus, instance.memory_mb = flavor.vcpus, flavor.memory_mb
    instance.root_gb, instance.ephemeral_gb = flavor.root_gb, flavor.ephemeral_gb


def begin_resize(instance: Instance, flavor: Flavor) -> None:
    """The destination is about to take *instance* with *flavor*."""
    instance.new_flavor = flavor


def finish_resize(instance: Instance) -> None:
    """*instance* stands on its new host with its new flavor. Raises InvalidField where no resize was begun."""
    new = _known(instance, "new_flavor")
    if not (isinstance(instance.old_flavor, Flavor) and instance.flavor == new):  # else it is finished already
        instance.old_flavor = instance.flavor
    take_flavor(instance, new)


def revert_resize(instance: Instance) -> None:
    """*instance* is back with the flavor it had. Raises InvalidField where it is not known."""
    take_flavor(instance, _known(instance, "old_flavor"))
    confirm_resize(instance)


def confirm_resize(instance: Instance) -> None:
    """*instance* stays as it is; the flavors of the resize are forgotten."""
    instance.old_flavor = instance.new_flavor = None


def _known(instance: Instance, name: Literal["old_flavor", "new_flavor"]) -> Flavor:
    flavor = getattr(instance, name)
    if isinstance(flavor, Flavor):
        return flavor
    raise InvalidField(
        f"instance.{name}", flavor, "is needed: the instance is not being resized, or was not loaded whole"
    )


# --- in system_metadata


def _number(text: str) -> int:
    return int(text)


#: The properties that are kept, and how each is read (Nova's ``system_metadata_flavor_props``).
_KEPT: Final[Mapping[str, Callable[[str], object]]] = FrozenDict(
    {
        "id": _number,
        "name": str,
        "memory_mb": _number,
        "vcpus": _number,
        "root_gb": _number,
        "ephemeral_gb": _number,
        "flavorid": str,
        "swap": _number,
        "rxtx_factor": float,
        "vcpu_weight": _number,
    }
)
#: Beginnings of the extra specs that are kept (Nova's ``system_metadata_flavor_extra_props``).
_KEPT_SPECS = ("hw:numa_cpus.", "hw:numa_mem.")


def save_flavor_info(metadata: Mapping[str, str | None], flavor: Flavor, prefix: Prefix = "") -> dict[str, str | None]:
    """*metadata* with *flavor* in it, under *prefix*; whatever flavor was there is gone.

    >>> save_flavor_info({}, Flavor(name="m1.tiny", vcpus=1, memory_mb=512), "old_")["old_instance_type_memory_mb"]
    '512'
    """
    saved = delete_flavor_info(metadata, prefix)
    for name in _KEPT:
        held = getattr(flavor, name)
        saved[f"{prefix}instance_type_{name}"] = str(held) if held or held == 0 else None
    for name, held in flavor.extra_specs.items():
        if name.startswith(_KEPT_SPECS):
            saved[f"{prefix}instance_type_extra_{name}"] = held
    return saved


def extract_flavor_info(metadata: Mapping[str, str | None], prefix: Prefix = "") -> Flavor | None:
    """The flavor that *metadata* has under *prefix*, None if none. Raises InvalidField, with its key, for a number that is none.

    >>> extract_flavor_info({"instance_type_vcpus": "2", "instance_type_memory_mb": "512"})
    Flavor(vcpus=2, memory_mb=512)
    """
    start = f"{prefix}instance_type_"
    found: dict[str, Any] = {}
    for name, read in _KEPT.items():
        text = metadata.get(start + name)
        if text is None:
            continue
        try:
            found[name] = read(text)
        except ValueError:
            raise InvalidField(f"instance.system_metadata[{start + name!r}]", text, "must be a number") from None
    if not found:
        return None
    for name in ("vcpus", "memory_mb"):
        if name not in found:
            raise InvalidField(f"instance.system_metadata[{start + name!r}]", None, "is needed: a flavor has one")
    extra = start + "extra_"
    specs = {key.removeprefix(extra): text or "" for key, text in metadata.items() if key.startswith(extra)}
    return Flavor(**found, extra_specs=specs)


def delete_flavor_info(metadata: Mapping[str, str | None], *prefixes: Prefix) -> dict[str, str | None]:
    """*metadata* without the flavors under *prefixes*."""
    starts = tuple(f"{prefix}instance_type_" for prefix in prefixes)
    return {key: text for key, text in metadata.items() if not (starts and key.startswith(starts))}
