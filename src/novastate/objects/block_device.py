"""A block device mapping: one disk of an instance, and where its content comes from."""

from novastate.objects.base import record
from novastate.objects.instance import Instance
from novastate.objects.marks import SecretStr, Uuid
from novastate.objects.persistent import PersistentRecord
from novastate.objects.values import UNSET, Unset
from novastate.objects.vocabulary import (
    BlockDeviceDestinationType,
    BlockDeviceEncryptionFormatType,
    BlockDeviceSourceType,
    BlockDeviceType,
)

__all__ = ["BlockDeviceMapping"]


@record
class BlockDeviceMapping(PersistentRecord):
    """One disk of an instance. Nova's BlockDeviceMapping 1.21.

    *volume_size*: GiB. *boot_index*: 0 is what the guest boots from, -1 or None is never booted from. *connection_info* is a
    JSON text that holds the credentials of the volume's store.

    >>> BlockDeviceMapping(source_type="volume", destination_type="volume", boot_index=0).is_root
    True
    """

    id: int | Unset = UNSET
    uuid: Uuid | Unset = UNSET
    instance_uuid: Uuid | Unset = UNSET
    instance: Instance | Unset | None = UNSET

    # --- what it is made from
    source_type: BlockDeviceSourceType | None = None
    image_id: str | None = None
    snapshot_id: str | None = None
    no_device: bool = False

    # --- where it is kept
    destination_type: BlockDeviceDestinationType | None = None
    volume_id: str | None = None
    volume_size: int | None = None
    volume_type: str | None = None
    attachment_id: Uuid | None = None
    connection_info: SecretStr | None = None
    delete_on_termination: bool = False

    # --- how the guest sees it
    device_name: str | None = None
    device_type: BlockDeviceType | None = None
    disk_bus: str | None = None
    guest_format: str | None = None
    boot_index: int | None = None
    tag: str | None = None

    # --- how it is encrypted
    encrypted: bool = False
    encryption_secret_uuid: Uuid | None = None
    encryption_format: BlockDeviceEncryptionFormatType | None = None
    encryption_options: str | None = None

    @property
    def is_root(self) -> bool:
        """The guest boots from it."""
        return self.boot_index == 0

    @property
    def is_volume(self) -> bool:
        """It is a volume of the block storage, not a disk on the host."""
        return self.destination_type == "volume"
