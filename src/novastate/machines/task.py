"""task_state: the operation that is in progress on an instance, if any.

Rules of this file:

1. A task begins from idle. Only these may begin over another's task: deletion (any), evacuation (any), a hard
   reboot (eight, those that hang in a guest that does not answer), and an administrator's reset.
2. Every task may be cut: ``revert`` leads to idle from each of them; nobody does the task any more.
3. A task that ends well ends by ``finish``, from the last link of its chain only.
4. A step that keeps the state is no row; assigning the state that is there is always legal.

Theory. The chains are those of Nova (nova/compute/task_states.py names the states; the links are the saves of
nova/compute/manager.py and nova/compute/api.py). Nova's compare-and-swap sets are optional and its field
is a free string; here both are rows. ``resize_confirming`` is declared in Nova and never assigned: nothing
leads to it here. Where the rows differ from the links of Nova, :data:`novastate.machines.DEVIATIONS` says so.
"""

from __future__ import annotations

from novastate.machines.table import Machine, State, Trigger

__all__ = ["TaskMachine", "TaskState"]


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
    UPDATING_PASSWORD = "updating_password"  # noqa: S105  (a state, no secret)
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


_BUSY = frozenset(set(TaskState) - {TaskState.IDLE})
_SOFT_REBOOT = frozenset({TaskState.REBOOTING, TaskState.REBOOT_PENDING, TaskState.REBOOT_STARTED})
_HARD_REBOOT = frozenset({TaskState.REBOOTING_HARD, TaskState.REBOOT_PENDING_HARD, TaskState.REBOOT_STARTED_HARD})


class TaskMachine(Machine[TaskState], field="task_state", initial={TaskState.IDLE, TaskState.SCHEDULING}):
    """The machine of ``task_state``; created idle or in ``scheduling``; no state is final.

    >>> from types import SimpleNamespace
    >>> instance = SimpleNamespace(task_state=TaskState.IDLE)
    >>> TaskMachine.live_migrate(instance)
    TaskState.MIGRATING
    >>> TaskMachine.finish(instance)
    TaskState.IDLE
    """

    # create
    schedule = Trigger({TaskState.IDLE: TaskState.SCHEDULING}, "Look for a host for a new instance.")
    reschedule = Trigger(
        {
            frozenset(
                {TaskState.IDLE, TaskState.NETWORKING, TaskState.BLOCK_DEVICE_MAPPING, TaskState.SPAWNING}
            ): TaskState.SCHEDULING,
        },
        "The host could not build it: look for another.",
    )
    network = Trigger({frozenset({TaskState.IDLE, TaskState.SCHEDULING}): TaskState.NETWORKING}, "Get its networks.")
    map_block_devices = Trigger({TaskState.NETWORKING: TaskState.BLOCK_DEVICE_MAPPING}, "Get its volumes.")
    spawn = Trigger(
        {frozenset({TaskState.BLOCK_DEVICE_MAPPING, TaskState.UNSHELVING}): TaskState.SPAWNING},
        "Start the guest.",
    )
    # snapshot, backup
    snapshot = Trigger({TaskState.IDLE: TaskState.IMAGE_SNAPSHOT_PENDING}, "Make an image of it.")
    take_snapshot = Trigger({TaskState.IMAGE_SNAPSHOT_PENDING: TaskState.IMAGE_SNAPSHOT}, "The host copies its disk.")
    backup = Trigger({TaskState.IDLE: TaskState.IMAGE_BACKUP}, "Make an image and forget the oldest one.")
    pend_upload = Trigger(
        {
            frozenset(
                {TaskState.IMAGE_SNAPSHOT, TaskState.IMAGE_BACKUP, TaskState.IMAGE_UPLOADING}
            ): TaskState.IMAGE_PENDING_UPLOAD,
            frozenset(
                {TaskState.SHELVING, TaskState.SHELVING_IMAGE_UPLOADING}
            ): TaskState.SHELVING_IMAGE_PENDING_UPLOAD,
        },
        "The copy is there and waits for its upload; from uploading: a direct snapshot failed, fall back.",
    )
    upload = Trigger(
        {
            TaskState.IMAGE_PENDING_UPLOAD: TaskState.IMAGE_UPLOADING,
            TaskState.SHELVING_IMAGE_PENDING_UPLOAD: TaskState.SHELVING_IMAGE_UPLOADING,
        },
        "Upload the copy.",
    )
    set_admin_password = Trigger({TaskState.IDLE: TaskState.UPDATING_PASSWORD}, "Set the password inside the guest.")
    # resize, cold migration
    resize = Trigger({TaskState.IDLE: TaskState.RESIZE_PREP}, "Resize or cold-migrate: find a host and claim there.")
    resize_migrate = Trigger({TaskState.RESIZE_PREP: TaskState.RESIZE_MIGRATING}, "Power off and move the disks.")
    resize_migrated = Trigger({TaskState.RESIZE_MIGRATING: TaskState.RESIZE_MIGRATED}, "The disks are moved.")
    resize_finish = Trigger({TaskState.RESIZE_MIGRATED: TaskState.RESIZE_FINISH}, "Start it on the new side.")
    revert_resize = Trigger({TaskState.IDLE: TaskState.RESIZE_REVERTING}, "Go back to the old side.")
    # reboot
    reboot = Trigger({TaskState.IDLE: TaskState.REBOOTING}, "Let the guest reboot by its own means.")
    hard_reboot = Trigger(
        {
            frozenset(
                {
                    TaskState.IDLE,
                    *_SOFT_REBOOT,
                    TaskState.REBOOTING_HARD,
                    TaskState.RESUMING,
                    TaskState.PAUSING,
                    TaskState.UNPAUSING,
                    TaskState.SUSPENDING,
                }
            ): TaskState.REBOOTING_HARD,
        },
        "Destroy and start the guest; pre-empts the tasks that may hang in a guest that does not answer.",
    )
    pend_reboot = Trigger(
        {_SOFT_REBOOT: TaskState.REBOOT_PENDING, _HARD_REBOOT: TaskState.REBOOT_PENDING_HARD},
        "The host has taken the reboot, perhaps for a second time.",
    )
    start_reboot = Trigger(
        {
            TaskState.REBOOT_PENDING: TaskState.REBOOT_STARTED,
            TaskState.REBOOT_PENDING_HARD: TaskState.REBOOT_STARTED_HARD,
        },
        "The hypervisor reboots the guest.",
    )
    # power and the like
    pause = Trigger({TaskState.IDLE: TaskState.PAUSING}, "Pause it.")
    unpause = Trigger({TaskState.IDLE: TaskState.UNPAUSING}, "Unpause it.")
    suspend = Trigger({TaskState.IDLE: TaskState.SUSPENDING}, "Save its memory to disk.")
    resume = Trigger({TaskState.IDLE: TaskState.RESUMING}, "Run it from its saved memory.")
    power_off = Trigger(
        {
            frozenset({TaskState.IDLE, TaskState.REBUILD_SPAWNING, TaskState.RESIZE_REVERTING}): TaskState.POWERING_OFF,
        },
        "Switch it off; at the end of a rebuild or a revert: because it was off before.",
    )
    power_on = Trigger({frozenset({TaskState.IDLE, TaskState.UNSHELVING}): TaskState.POWERING_ON}, "Switch it on.")
    rescue = Trigger({TaskState.IDLE: TaskState.RESCUING}, "Boot it from a rescue image.")
    unrescue = Trigger({TaskState.IDLE: TaskState.UNRESCUING}, "Boot it from its own disk again.")
    # rebuild, evacuate
    rebuild = Trigger({TaskState.IDLE: TaskState.REBUILDING}, "Make it anew from an image.")
    evacuate = Trigger(
        {frozenset(TaskState): TaskState.REBUILDING},
        "Make it anew elsewhere, its host being down: whatever task was there has nobody left to do it.",
    )
    rebuild_map_block_devices = Trigger(
        {TaskState.REBUILDING: TaskState.REBUILD_BLOCK_DEVICE_MAPPING}, "Get its volumes anew."
    )
    rebuild_spawn = Trigger(
        {TaskState.REBUILD_BLOCK_DEVICE_MAPPING: TaskState.REBUILD_SPAWNING}, "Start the new guest."
    )
    live_migrate = Trigger({TaskState.IDLE: TaskState.MIGRATING}, "Move it while it runs.")
    # shelve
    shelve = Trigger({TaskState.IDLE: TaskState.SHELVING}, "Power off, and snapshot.")
    shelve_offload = Trigger(
        {
            frozenset(
                {TaskState.IDLE, TaskState.SHELVING, TaskState.SHELVING_IMAGE_UPLOADING}
            ): TaskState.SHELVING_OFFLOADING,
        },
        "Take it off its host.",
    )
    unshelve = Trigger({TaskState.IDLE: TaskState.UNSHELVING}, "Give it a host and start it again.")
    # delete
    delete = Trigger({frozenset(TaskState): TaskState.DELETING}, "Delete it, whatever else was going on.")
    soft_delete = Trigger[TaskState](
        {
            frozenset(set(TaskState) - {TaskState.DELETING}): TaskState.SOFT_DELETING,
            TaskState.DELETING: TaskState.DELETING,
        },
        "Switch off and hide it; a deletion that is going on goes on.",
    )
    restore = Trigger({TaskState.IDLE: TaskState.RESTORING}, "Take it back from its soft deletion.")
    # the ends
    finish = Trigger(
        {
            frozenset(
                {
                    TaskState.SCHEDULING,
                    TaskState.SPAWNING,
                    TaskState.IMAGE_UPLOADING,
                    TaskState.UPDATING_PASSWORD,
                    TaskState.RESIZE_FINISH,
                    TaskState.RESIZE_REVERTING,
                    TaskState.REBOOT_STARTED,
                    TaskState.REBOOT_STARTED_HARD,
                    TaskState.PAUSING,
                    TaskState.UNPAUSING,
                    TaskState.SUSPENDING,
                    TaskState.RESUMING,
                    TaskState.POWERING_OFF,
                    TaskState.POWERING_ON,
                    TaskState.RESCUING,
                    TaskState.UNRESCUING,
                    TaskState.REBUILD_SPAWNING,
                    TaskState.MIGRATING,
                    TaskState.DELETING,
                    TaskState.SOFT_DELETING,
                    TaskState.RESTORING,
                    TaskState.SHELVING,
                    TaskState.SHELVING_IMAGE_UPLOADING,
                    TaskState.SHELVING_OFFLOADING,
                }
            ): TaskState.IDLE,
        },
        "The task is done; from scheduling: a host has taken it.",
    )
    revert = Trigger({_BUSY: TaskState.IDLE}, "The task failed, and nobody does it any more.")
    reset = Trigger({frozenset(TaskState): TaskState.IDLE}, "An administrator declares that there is no task.")
