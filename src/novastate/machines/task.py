"""task_state: the operation that is in progress on an instance, if any."""

from __future__ import annotations

from novastate.machines.table import State

__all__ = ["TaskState"]


class TaskState(State):
    """No task, and the forty-two values of Nova's ``task_state``, in Nova's groups. ``IDLE`` is falsy."""

    IDLE = None
    # create
    SCHEDULING = "scheduling"
    BLOCK_DEVICE_MAPPING = "block_device_mapping"
    NETWORKING = "networking"
    SPAWNING = "spawning"
    # snapshot
    IMAGE_SNAPSHOT = "image_snapshot"
    IMAGE_SNAPSHOT_PENDING = "image_snapshot_pending"
    IMAGE_PENDING_UPLOAD = "image_pending_upload"
    IMAGE_UPLOADING = "image_uploading"
    # backup
    IMAGE_BACKUP = "image_backup"
    # set_admin_password
    UPDATING_PASSWORD = "updating_password"
    # resize/cold-migrate
    RESIZE_PREP = "resize_prep"
    RESIZE_MIGRATING = "resize_migrating"
    RESIZE_MIGRATED = "resize_migrated"
    RESIZE_FINISH = "resize_finish"
    # revert_resize
    RESIZE_REVERTING = "resize_reverting"
    # confirm_resize
    RESIZE_CONFIRMING = "resize_confirming"
    # soft_reboot
    REBOOTING = "rebooting"
    REBOOT_PENDING = "reboot_pending"
    REBOOT_STARTED = "reboot_started"
    # hard_reboot
    REBOOTING_HARD = "rebooting_hard"
    REBOOT_PENDING_HARD = "reboot_pending_hard"
    REBOOT_STARTED_HARD = "reboot_started_hard"
    # pause
    PAUSING = "pausing"
    # unpause
    UNPAUSING = "unpausing"
    # suspend
    SUSPENDING = "suspending"
    # resume
    RESUMING = "resuming"
    # power_off
    POWERING_OFF = "powering-off"
    # power_on
    POWERING_ON = "powering-on"
    # rescue
    RESCUING = "rescuing"
    # unrescue
    UNRESCUING = "unrescuing"
    # rebuild/evacuate
    REBUILDING = "rebuilding"
    REBUILD_BLOCK_DEVICE_MAPPING = "rebuild_block_device_mapping"
    REBUILD_SPAWNING = "rebuild_spawning"
    # live_migrate
    MIGRATING = "migrating"
    # delete
    DELETING = "deleting"
    # soft_delete
    SOFT_DELETING = "soft-deleting"
    # restore
    RESTORING = "restoring"
    # shelve
    SHELVING = "shelving"
    SHELVING_IMAGE_PENDING_UPLOAD = "shelving_image_pending_upload"
    SHELVING_IMAGE_UPLOADING = "shelving_image_uploading"
    # shelve_offload
    SHELVING_OFFLOADING = "shelving_offloading"
    # unshelve
    UNSHELVING = "unshelving"

    def __bool__(self) -> bool:
        return self is not TaskState.IDLE

    def __str__(self) -> str:
        return self.value or "idle"
