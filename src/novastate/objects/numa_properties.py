"""What a flavor's extra specs and an image's properties say of CPUs, cells and pages; one property at a time.

Rules of this file (Nova's ``get_*_constraint``, nova/virt/hardware.py):

1. ``hw:name`` in a flavor and ``hw_name`` in an image mean the same. Where both speak, the table beside the property says who wins.
2. A text that is not understood, and a contradiction, raise InvalidField with the path of the property.
3. An empty text is no request.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence, Set
from typing import Any, TypeVar, cast, get_args

from novastate.errors import InvalidField
from novastate.objects.cpu_spec import parse_cpu_spec
from novastate.objects.flavor import Flavor
from novastate.objects.image import ImageMeta, ImageMetaProps
from novastate.objects.values import UNSET
from novastate.objects.vocabulary import CPUAllocationPolicy, CPUEmulatorThreadsPolicy, CPUThreadAllocationPolicy

__all__ = ["Properties"]

T = TypeVar("T")

#: Cells that a guest may have at most.
_MOST_CELLS = 128
_TRUE = frozenset({"1", "t", "true", "on", "y", "yes"})
_KINDS = {"small": -1, "large": -2, "any": -3}
_SIZE = re.compile(r"(\d*\.?\d+)(?:([KMGTPEZYRQ])i?)?(b|bit|B)")
#: CPU policies of flavor and image that contradict each other: an image does not get dedicated CPUs that the flavor does not give.
_CONFLICTS = frozenset({("mixed", "dedicated"), ("shared", "mixed"), ("shared", "dedicated")})


class Properties:
    """The properties of a flavor and an image."""

    def __init__(self, flavor: Flavor, image: ImageMeta | None) -> None:
        self.flavor = flavor
        self._image = (image.properties or None) if image else None

    # --- reading

    def spec(self, name: str) -> str:
        """An extra spec; empty where there is none."""
        return self.flavor.extra_specs.get(name, "")

    def image(self, name: str) -> Any:
        """A property of the image; None where there is none."""
        held = getattr(self._image or _NONE, name)
        return None if held is UNSET else held

    def wrong(self, name: str, problem: str, *, value: object = None, allowed: Iterable[object] = ()) -> InvalidField:
        """The error for an extra spec, or, where the flavor does not have it, for the image's property."""
        twin = name.replace(":", "_", 1)
        held = self.spec(name) or (self.image(twin) if twin in _NAMES else None)
        if not self.spec(name) and twin in _NAMES and held is not None:
            return InvalidField(f"image_meta.properties.{twin}", value or held, problem, allowed)
        return InvalidField(f"flavor.extra_specs[{name!r}]", held if value is None else value, problem, allowed)

    def _both(self, name: str) -> InvalidField:
        twin = name.replace(":", "_", 1)
        return InvalidField(f"image_meta.properties.{twin}", self.image(twin), f"is the flavor's to say: it has {name}")

    def _word(self, name: str, words: type[T]) -> T | None:
        """An extra spec that is one of a few words."""
        held = self.spec(name)
        if held and held not in get_args(words):
            raise self.wrong(name, "is not one of the allowed values", allowed=get_args(words))
        return cast("T", held) if held else None

    def _mask(self, name: str, mask: str) -> frozenset[int]:
        """The CPUs of a mask; one that begins by taking CPUs out takes them out of all."""
        every = f"0-{self.flavor.vcpus - 1}," if mask.strip().startswith("^") else ""
        return parse_cpu_spec(every + mask, f"flavor.extra_specs[{name!r}]")

    # --- policies

    def cpu_policy(self) -> CPUAllocationPolicy | None:
        """Whether CPUs float, are pinned, or both."""
        mine: CPUAllocationPolicy | None = self._word("hw:cpu_policy", cast("Any", CPUAllocationPolicy))
        theirs: CPUAllocationPolicy | None = self.image("hw_cpu_policy")
        if (mine, theirs) in _CONFLICTS:
            raise self._both("hw:cpu_policy")
        return mine or theirs

    def cpu_thread_policy(self) -> CPUThreadAllocationPolicy | None:
        """How the siblings of pinned CPUs are used. A flavor's ``prefer`` stands, whatever the image says."""
        mine: CPUThreadAllocationPolicy | None = self._word(
            "hw:cpu_thread_policy", cast("Any", CPUThreadAllocationPolicy)
        )
        theirs: CPUThreadAllocationPolicy | None = self.image("hw_cpu_thread_policy")
        if mine in {"isolate", "require"} and theirs and theirs != mine:
            raise self._both("hw:cpu_thread_policy")
        return mine or theirs

    def emulator_threads_policy(self) -> CPUEmulatorThreadsPolicy | None:
        """Where QEMU's own threads run."""
        return self._word("hw:emulator_threads_policy", cast("Any", CPUEmulatorThreadsPolicy))

    def hyperthreading(self) -> str | None:
        """The trait that asks for threads, or against them: ``required``, ``forbidden``."""
        for name, held in self.flavor.extra_specs.items():
            if re.match(r"trait([1-9][0-9]*)?:HW_CPU_HYPERTHREADING", name):
                return held
        return "required" if "HW_CPU_HYPERTHREADING" in (self.image("traits_required") or ()) else None

    def resources(self, of: str) -> int:
        """How many of a resource class the extra specs ask for; a text that is no number is not ours to judge."""
        named = (
            held for name, held in self.flavor.extra_specs.items() if re.match(rf"resources([1-9][0-9]*)?:{of}", name)
        )
        return sum(int(held) for held in named if re.fullmatch(r"\s*[+-]?\d{1,18}\s*", held))

    # --- CPUs

    def dedicated_mask(self) -> frozenset[int] | None:
        """The CPUs that a mixed guest has pinned."""
        name, mask = "hw:cpu_dedicated_mask", self.spec("hw:cpu_dedicated_mask")
        if not mask:
            return None
        pinned, every = self._mask(name, mask), frozenset(range(self.flavor.vcpus))
        if not pinned or not pinned < every:
            raise self.wrong(name, f"must be some of the CPUs 0-{self.flavor.vcpus - 1}, and not all")
        return pinned

    def realtime_cpus(self) -> frozenset[int] | None:
        """The CPUs that run in real time; an image's mask goes before the flavor's."""
        if self.spec("hw:cpu_realtime").strip().lower() not in _TRUE:
            return None
        name, every = "hw:cpu_realtime_mask", frozenset(range(self.flavor.vcpus))
        mask = self.image("hw_cpu_realtime_mask") or self.spec(name)
        chosen = self._mask(name, mask) if mask else every
        if not chosen or not chosen <= every:
            raise self.wrong(name, f"must be some of the CPUs 0-{self.flavor.vcpus - 1}")
        if chosen == every and not self.emulator_threads_policy():
            raise self.wrong(name, "must leave a CPU out, or hw:emulator_threads_policy say where QEMU's threads run")
        return chosen

    # --- cells and pages

    def nodes(self) -> int | None:
        """How many cells; None where nobody says."""
        name, mine, theirs = "hw:numa_nodes", self.spec("hw:numa_nodes"), self.image("hw_numa_nodes")
        if mine and theirs:
            raise self._both(name)
        if not mine and theirs is None:
            return None
        if not re.fullmatch(r"[1-9]\d{0,8}", str(mine or theirs)):
            raise self.wrong(name, "must be a whole number, 1 or more")
        return int(mine or theirs)

    def cpus(self) -> Sequence[Set[int]] | None:
        """The CPUs of each cell; None where nobody says."""
        return self._of_cells("hw:numa_cpus", parse_cpu_spec)

    def memory(self) -> Sequence[int] | None:
        """The memory of each cell in MiB; None where nobody says."""

        def read(text: str, field: str) -> int:
            if re.fullmatch(r"\s*\d{1,18}\s*", text):
                return int(text)
            raise InvalidField(field, text, "must be a whole number of MiB")

        return self._of_cells("hw:numa_mem", read)

    def _of_cells(self, name: str, read: Callable[[str, str], T]) -> Sequence[T] | None:
        specs = self.flavor.extra_specs
        mine: list[T] = []
        for node in range(_MOST_CELLS):
            key = f"{name}.{node}"
            if key not in specs:
                break
            mine.append(read(specs[key], f"flavor.extra_specs[{key!r}]"))
        theirs: Sequence[T] | None = self.image(name.replace(":", "_"))
        if mine and theirs is not None:
            raise self._both(name)
        return mine or theirs

    def page_size(self) -> int | None:
        """The size of memory pages in KiB, or -1, -2, -3; None where nobody says. An image chooses where a flavor lets it."""
        name, mine, theirs = "hw:mem_page_size", self.spec("hw:mem_page_size"), self.image("hw_mem_page_size")
        if not mine and theirs:
            raise self.wrong(name, "may be asked for by an image only where the flavor says any or large")
        if not mine:
            return None
        size = self._size(mine, f"flavor.extra_specs[{name!r}]")
        if not theirs:
            return size
        if size not in {_KINDS["any"], _KINDS["large"]}:
            raise self._both(name)
        return self._size(theirs, "image_meta.properties.hw_mem_page_size")

    @staticmethod
    def _size(text: str, field: str) -> int:
        if text in _KINDS:
            return _KINDS[text]
        if re.fullmatch(r"\d{1,18}", text):
            return int(text)
        size = _SIZE.fullmatch(text) if len(text) <= 32 else None
        count = (
            0.0
            if not size
            else float(size[1]) * 1024 ** " KMGTPEZYRQ".index(size[2] or " ") / (1 if size[3] == "B" else 8)
        )
        if count < 1024:
            raise InvalidField(field, text, "must be KiB, a size of 1 KiB or more (2MB, 1GB), or a kind of it", _KINDS)
        return math.ceil(count) // 1024

    def check_locked_memory(self) -> None:
        """Raises InvalidField where memory is to be locked and no page size was asked for, or flavor and image disagree."""
        name, theirs = "hw:locked_memory", self.image("hw_locked_memory")
        mine = self.spec(name).strip().lower() in _TRUE if name in self.flavor.extra_specs else None
        if mine is not None and theirs is not None and mine != theirs:
            raise self._both(name)
        if (mine or theirs) and not (self.spec("hw:mem_page_size") or self.image("hw_mem_page_size")):
            raise self.wrong(name, "needs hw:mem_page_size")


_NONE = ImageMetaProps()
_NAMES = frozenset(attribute.name for attribute in cast("Any", ImageMetaProps).__attrs_attrs__)
