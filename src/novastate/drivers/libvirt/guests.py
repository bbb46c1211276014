"""One guest's life: what is there, spawn, power, suspend, destroy.

Rules of this file:

1. A call that leads where the guest is already changes nothing. Between looking and acting the guest may have changed: where libvirt
   refuses, the guest is looked at once more, and all is well if it is where it should be.
2. A guest that is only arriving is not there yet: GuestNotFound. One whose vCPUs post-copy has handed to another host is never made
   to run here: DriverError.
3. A transient guest would vanish when it stops: before it is stopped, suspended or asked to shut down it is made persistent.
4. A guest is undefined last: whoever destroys it again finds what is left.
5. Memory is saved and restored on a connection of its own: that may take minutes. A call that ends before it does raises
   DriverTimeout, and the next one joins it.
"""
# ruff: noqa: D102  (the abstract driver says what each method does)

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from novastate.drivers.base import GuestInfo
from novastate.drivers.libvirt import storage, xml
from novastate.drivers.libvirt.background import Background, check_wanted
from novastate.drivers.libvirt.binding import libvirt
from novastate.drivers.libvirt.errors import is_lost
from novastate.drivers.libvirt.hypervisor import Hypervisor, gone_is_fine, one_deadline
from novastate.drivers.libvirt.states import info, is_migrating
from novastate.errors import DriverError, DriverTimeout, GuestNotFound
from novastate.machines import PowerState

if TYPE_CHECKING:
    from novastate.objects import Instance

__all__ = ["Guests"]

_GIB = 1 << 30
#: The states from which memory is read, and from which it is written.
_SAVED = frozenset({PowerState.SUSPENDED})
_THERE = frozenset({PowerState.RUNNING, PowerState.PAUSED})
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)


class Guests(Hypervisor):
    """The calls for one guest's life."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        #: What goes on though its caller may have left, by what it is and the guest.
        self._lengthy: dict[tuple[str, str], Background[None]] = {}
        self._lengthy_lock = threading.Lock()

    # --- what is there

    def list_guests(self) -> list[GuestInfo]:
        def run(connect: Any) -> list[GuestInfo]:
            found = list[GuestInfo]()
            for domain in connect.listAllDomains():
                try:
                    found.append(info(domain))
                except libvirt.libvirtError as error:
                    if error.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:  # it has just gone
                        raise
            return sorted(found, key=lambda guest: guest.uuid)

        return self.connection.call("listing guests", run)

    def get_info(self, uuid: str) -> GuestInfo:
        return self.on_guest("looking", uuid, info)

    # --- coming and going

    @one_deadline
    def spawn(self, instance: Instance) -> GuestInfo:
        text = self.domain_xml(instance)

        def run(connect: Any) -> GuestInfo:
            try:
                domain = self.lookup(connect, instance.uuid)
            except GuestNotFound:
                domain = self._define_guest(connect, instance, text)
            seen = info(domain)
            if seen.incoming:
                raise DriverError(f"guest {instance.uuid} is only arriving", host=self._host)
            self._start(domain, seen)
            return info(domain)

        return self.connection.call("spawning", run, uuid=instance.uuid)

    def domain_xml(self, instance: Instance) -> str:
        """The domain that `spawn` would define for *instance*. Raises DriverError if *define* gives that of another guest."""
        if self._define is None:
            arch, kvm = self.connection.call("asking for capabilities", _abilities)
            return xml.domain_xml(
                instance,
                instances_path=self.instances_path,
                virt_type=self.virt_type or ("kvm" if kvm else "qemu"),
                arch=arch,
            )
        text = self._define(instance)
        try:
            uuid = xml.uuid_of(text)
        except ValueError as error:
            raise DriverError(f"guest {instance.uuid}: the domain given for it: {error}", host=self._host) from error
        if uuid.lower() != instance.uuid:
            raise DriverError(f"guest {instance.uuid}: the domain given for it has the uuid {uuid!r}", host=self._host)
        return text

    def _define_guest(self, connect: Any, instance: Instance, text: str) -> Any:
        """Defines a new guest. The root disk is made if the domain has it where novastate puts it."""
        check_wanted()
        path = xml.root_disk_path(instance.uuid, self.instances_path)
        made = False
        if xml.has_root_disk(instance) and path in _files(text):
            made = self._make_root_disk(connect, instance, path)
        elif xml.console_path(instance.uuid, self.instances_path) in text:
            storage.pool(connect, self.instances_path, build=True)
        try:
            return connect.defineXML(text)
        except libvirt.libvirtError:
            if made:
                storage.delete(connect, path)
            raise

    def _make_root_disk(self, connect: Any, instance: Instance, path: str) -> bool:
        """Makes it of the flavor's size, over its image if it has one and then not smaller than that; False if it is there."""
        size, image = instance.flavor.root_gb * _GIB, (instance.metadata or {}).get(xml.IMAGE_KEY, "")
        if not image:
            return storage.create(connect, path, size)
        if not xml.is_image(image, self.images_path):
            raise DriverError(f"guest {instance.uuid}: {image} is no image under {self.images_path}", host=self._host)
        found = storage.look(connect, image)
        if found is None:
            raise DriverError(f"guest {instance.uuid}: there is no image {image}", host=self._host)
        kind, least = found
        return storage.create(connect, path, max(size, least), backing=image, backing_kind=kind)

    @one_deadline
    def destroy(self, uuid: str, *, destroy_disks: bool = True) -> None:
        files = self._disks(uuid) if destroy_disks else set[str]()

        def run(connect: Any) -> None:
            if _UUID.fullmatch(uuid):  # a path is made of it
                files.update(
                    {xml.root_disk_path(uuid, self.instances_path), xml.console_path(uuid, self.instances_path)}
                )
            with gone_is_fine():
                domain = self.lookup(connect, uuid)
                _turn_off(domain)
                if domain.isPersistent():
                    files.update(_files(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)))
            if destroy_disks:
                for path in sorted(files):
                    check_wanted()
                    storage.delete(connect, path)
            with gone_is_fine():
                domain = self.lookup(connect, uuid)
                if domain.isPersistent():
                    check_wanted()
                    _undefine(domain)

        self.connection.call("destroying", run, uuid=uuid)

    def _disks(self, uuid: str) -> set[str]:
        """The files of a guest's disks, which is kept persistent so that they can be found again (rule 3); none if it is not there.

        None either if it does not say: while a guest waits for the rest of a post-copy that was cut off, libvirt describes it to
        nobody (a migration holds its job), but ends it.
        """

        def run(domain: Any) -> set[str]:
            files = _files(domain.XMLDesc())
            if not info(domain).incoming:
                _keep(domain)
            return files

        try:
            return self.on_guest("looking at its disks", uuid, run, timeout=self.timeout / 3)
        except (GuestNotFound, DriverTimeout):
            return set()

    # --- power

    def power_on(self, uuid: str) -> None:
        def run(domain: Any) -> None:
            self._start(domain, self._resident(domain))

        self._at_length("starting", uuid, run, _SAVED)

    def shutdown(self, uuid: str) -> None:
        def run(domain: Any) -> None:
            if self._resident(domain).power_state is PowerState.RUNNING:
                _keep(domain)
                self._act(domain, domain.shutdown, PowerState.SHUTDOWN)

        self.on_guest("shutting down", uuid, run)

    def power_off(self, uuid: str) -> None:
        def run(domain: Any) -> None:
            seen = self._resident(domain)
            _keep(domain)
            _turn_off(domain)
            _drop_saved(domain, seen)

        self.on_guest("powering off", uuid, run)

    def reboot(self, uuid: str, *, hard: bool = False) -> None:
        def run(domain: Any) -> None:
            seen = self._resident(domain)
            self._check_here(seen)
            if hard:
                _keep(domain)
                _turn_off(domain)
                _drop_saved(domain, seen)
                self._act(domain, domain.create, PowerState.RUNNING)
            elif seen.power_state is PowerState.RUNNING:
                domain.reboot(0)
            else:
                raise self._refusal(seen, "only a hard reboot restarts it")

        self.on_guest("rebooting", uuid, run)

    def pause(self, uuid: str) -> None:
        def run(domain: Any) -> None:
            seen = self._resident(domain)
            if seen.power_state is PowerState.RUNNING:
                self._act(domain, domain.suspend, PowerState.PAUSED)
            elif seen.power_state is not PowerState.PAUSED:
                raise self._refusal(seen, "cannot be paused")

        self.on_guest("pausing", uuid, run)

    def unpause(self, uuid: str) -> None:
        def run(domain: Any) -> None:
            seen = self._resident(domain)
            self._check_here(seen)
            if seen.power_state is PowerState.PAUSED:
                self._run_on(domain)
            elif seen.power_state is not PowerState.RUNNING:
                raise self._refusal(seen, "cannot be unpaused")

        self.on_guest("unpausing", uuid, run)

    def suspend(self, uuid: str) -> None:
        def run(domain: Any) -> None:
            seen = self._resident(domain)
            if seen.power_state is PowerState.SUSPENDED:
                return
            if seen.power_state not in {PowerState.RUNNING, PowerState.PAUSED}:
                raise self._refusal(seen, "cannot be suspended")
            self._check_here(seen)
            if is_migrating(domain):
                raise self._refusal(seen, "being migrated and cannot be suspended")
            _keep(domain)
            self._act(domain, domain.managedSave, PowerState.SUSPENDED)

        self._at_length("suspending", uuid, run, _THERE)

    def resume(self, uuid: str) -> None:
        def run(domain: Any) -> None:
            seen = self._resident(domain)
            if seen.power_state is PowerState.SUSPENDED:
                self._start(domain, seen)
            elif seen.power_state is not PowerState.RUNNING:
                raise self._refusal(seen, "has no saved memory")

        self._at_length("resuming", uuid, run, _SAVED)

    # --- how

    @one_deadline
    def _at_length(self, what: str, uuid: str, function: Callable[[Any], None], lengthy: frozenset[PowerState]) -> None:
        """A call about the guest which from one of those states takes as long as its memory needs to be written or read (rule 5)."""
        with self._lengthy_lock:
            task = self._lengthy.get((what, uuid))
            if task is not None and task.done.is_set():
                task = None
            if task is not None:
                task.abandoned = False
        if task is None:
            if self.on_guest(what, uuid, self._resident).power_state not in lengthy:
                self.on_guest(what, uuid, function)
                return
            task = self._begin_lengthy(what, uuid, function)
        if not task.done.wait(self.connection.left()):
            task.abandoned = True
            raise DriverTimeout(f"guest {uuid}: {what} goes on", host=self._host)
        task.result()

    def _begin_lengthy(self, what: str, uuid: str, function: Callable[[Any], None]) -> Background[None]:
        """Begins it, unless another caller just has."""
        with self._lengthy_lock:
            self._lengthy = {key: task for key, task in self._lengthy.items() if not task.done.is_set()}
            task = self._lengthy.get((what, uuid))
            if task is None:
                task = self.connection.background(what, lambda connect: function(self.lookup(connect, uuid)), uuid=uuid)
                self._lengthy[what, uuid] = task
            return task

    def _resident(self, domain: Any) -> GuestInfo:
        """The guest, if it is at home here. Raises GuestNotFound (rule 2)."""
        seen = info(domain)
        if seen.incoming:
            raise GuestNotFound(f"guest {seen.uuid} is only arriving", host=self._host)
        return seen

    def _check_here(self, seen: GuestInfo) -> None:
        if seen.outgoing:
            raise DriverError(f"guest {seen.uuid}: post-copy has handed it to another host", host=self._host)

    def _refusal(self, seen: GuestInfo, why: str) -> DriverError:
        return DriverError(f"guest {seen.uuid} is {seen.power_state}: {why}", host=self._host)

    def _start(self, domain: Any, seen: GuestInfo) -> None:
        """Has the vCPUs run, whatever they did before."""
        self._check_here(seen)
        if seen.power_state is PowerState.PAUSED:
            self._run_on(domain)
        elif seen.power_state is not PowerState.RUNNING:
            state = domain.state()[0]
            if state == libvirt.VIR_DOMAIN_PMSUSPENDED:
                self._act(domain, lambda: domain.pMWakeup(0), PowerState.RUNNING)
                return
            if state in {
                libvirt.VIR_DOMAIN_CRASHED,
                libvirt.VIR_DOMAIN_SHUTDOWN,
            }:  # what is left of it stands in the way
                _keep(domain)
                _turn_off(domain)

            def run() -> None:
                domain.create()
                if domain.state()[0] == libvirt.VIR_DOMAIN_PAUSED:  # as it was when its memory was saved
                    domain.resume()

            self._act(domain, run, PowerState.RUNNING)

    def _run_on(self, domain: Any) -> None:
        """Lets the vCPUs of a paused guest run on, unless a live migration keeps them still."""
        state, reason = domain.state()
        if (
            state == libvirt.VIR_DOMAIN_PAUSED
            and reason == libvirt.VIR_DOMAIN_PAUSED_MIGRATION
            and is_migrating(domain)
        ):
            raise DriverError(f"guest {domain.UUIDString()} is being switched over", host=self._host)
        self._act(domain, domain.resume, PowerState.RUNNING)

    def _act(self, domain: Any, action: Callable[[], Any], wanted: PowerState) -> None:
        """Does it; a refusal is right if the guest is where it should be (rule 1)."""
        check_wanted()
        try:
            action()
        except libvirt.libvirtError as error:
            if is_lost(error) or info(domain).power_state is not wanted:
                raise


def _files(text: str) -> set[str]:
    """The paths of a guest's own disks."""
    return {disk.path for disk in xml.file_disks(text)}


def _keep(domain: Any) -> None:
    """Makes a transient guest persistent (rule 3)."""
    if not domain.isPersistent():
        check_wanted()
        flags = libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE
        domain.connect().defineXML(domain.XMLDesc(flags))


def _turn_off(domain: Any) -> None:
    """Stops it at once; a guest that does not run is left as it is."""
    if not domain.isActive():
        return
    check_wanted()
    try:
        domain.destroy()
    except libvirt.libvirtError as error:
        if is_lost(error) or domain.isActive():
            raise


def _undefine(domain: Any) -> None:
    """Forgets the guest, with its saved memory, NVRAM and TPM state, and what is known of its snapshots and checkpoints."""
    common = libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
    most = common | libvirt.VIR_DOMAIN_UNDEFINE_NVRAM | libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
    for flags in (most | libvirt.VIR_DOMAIN_UNDEFINE_TPM, most, common):
        try:
            domain.undefineFlags(flags)
        except libvirt.libvirtError as error:
            # An older daemon, or another hypervisor, does not know all of them.
            if error.get_error_code() not in {libvirt.VIR_ERR_INVALID_ARG, libvirt.VIR_ERR_NO_SUPPORT}:
                raise
        else:
            return
    domain.undefine()


def _drop_saved(domain: Any, seen: GuestInfo) -> None:
    """Forgets the saved memory of a guest that has some."""
    if seen.power_state is PowerState.SUSPENDED and not domain.isActive():
        check_wanted()
        domain.managedSaveRemove()


def _abilities(connect: Any) -> tuple[str, bool]:
    """The architecture of the host, and whether it runs guests of it on KVM."""
    arch = str(connect.getInfo()[0])
    return arch, xml.has_kvm(connect.getCapabilities(), arch)
