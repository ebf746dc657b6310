"""What an agent says of a kernel: where its start is, how its health is, why it ended or never ran."""

from __future__ import annotations

from headrace.common.contracts.reasons import CodeOfOne


class KernelReason(CodeOfOne):
    """Kernels: start, health and end of a kernel, as its agent reports it; the reason of the replica or trial run."""

    # on the way to running, and out of the plan
    AWAITING_PLAN = "awaiting-plan", "it was found on the machine, and no plan with it was received yet"
    PLAN_UNREADABLE = (
        "plan-unreadable",
        "its machine cannot decrypt the plan; managers publish it anew once they know the machine's key",
    )
    QUEUED = "queued", "its start is queued behind others on its machine"
    PREPARING = "preparing", "its start is under way: folders, image, pre-start actions"
    FETCHING_FOLDER = "fetching-folder", "a folder that it mounts is fetched from a manager to its machine"
    DISK_LOW = "disk-low", "its start waits for free disk space on its machine"
    STOPPING = "stopping", "it is not in the plan any more and is being stopped"
    REMOVING = "removing", "it is being cleaned up"

    # health of what runs
    NOT_PROBED = "not-probed", "it is a sub-kernel: only main kernels are probed"
    WAITING_FOR_PORT = "waiting-for-port", "it does not accept connections on its port yet"
    INITIAL_DELAY = "initial-delay", "its definition's `initial_delay` is not over, so it is not probed yet"
    NOT_YET_HEALTHY = "not-yet-healthy", "its health check has not succeeded yet"
    HEALTH_CHECK_PASSED = "health-check-passed", "its last health check succeeded"
    PORT_OPEN = "port-open", "it accepts connections on its port, and has no health check"
    HEALTH_CHECK_FAILING = "health-check-failing", "its last health checks failed, but too few to make it unhealthy"
    HEALTH_CHECK_FAILED = "health-check-failed", "too many health checks failed in a row: it is unhealthy"
    PORT_CLOSED = "port-closed", "it accepts no connections any more: it is unhealthy"
    PORT_NEVER_OPENED = "port-never-opened", "its port did not open within the agent's `port_open_timeout`"
    PORT_TAKEN = "port-taken", "another program listens on its port, so its address is not used"
    MEMORY_OVER_LIMIT = (
        "memory-over-limit",
        "it uses more memory than its slot, and its machine cannot enforce the limit",
    )
    ADDRESS_NOT_ALLOWED = "address-not-allowed", "it runs at an address or port where no replica of its machine may be"

    # how it ended
    EXITED = "exited", "its program ended with an exit code"
    KILLED_BY_SIGNAL = "killed-by-signal", "its program ended by a signal"
    OUT_OF_MEMORY = "out-of-memory", "it was killed for using more memory than its slot"
    AGENT_STOPPED = "agent-stopped", "its machine's agent was stopped in order, and its containers with it"
    VANISHED = "vanished", "the runtime does not know it any more: it was removed from outside"
    KERNEL_VANISHED = "kernel-vanished", "its machine does not report it any more, and Headrace did not stop it"

    # why it could not be started
    START_FAILED = "start-failed", "the runtime could not start it"
    NO_IMAGE = "no-image", "its runtime needs an image, and none is given"
    NO_COMMAND = "no-command", "there is no start command, and no image that has one"
    NO_FREE_PORT = "no-free-port", "all ports for replicas are in use on its machine"
    IMAGE_REFUSED = "image-refused", "the image's name is invalid"
    IMAGE_REGISTRY_REFUSED = "image-registry-refused", "its machine does not pull images from this registry"
    IMAGE_PULL_FAILED = "image-pull-failed", "the image could not be pulled"
    IMAGE_ARCHITECTURE = "image-architecture", "the image is made for another architecture than its machine's"
    FOLDER_MISSING = "folder-missing", "a folder that it mounts is not on its machine"
    FOLDER_REFUSED = "folder-refused", "what managers serve of a folder that it mounts is not what its revision names"
    FOLDER_CACHE_FULL = (
        "folder-cache-full",
        "a folder that it mounts has no room in its machine's folder cache or on its disk",
    )
    MOUNT_REFUSED = "mount-refused", "a mount's target, or the path of its model on the machine, is not an allowed one"
    PRE_START_ACTION_FAILED = "pre-start-action-failed", "a pre-start action failed"
    NETWORK_UNAVAILABLE = "network-unavailable", "no network could be created for its session"
    ISOLATION_UNAVAILABLE = (
        "isolation-unavailable",
        "it cannot be isolated from the machine and other tenants, as the agent's `docker_firewall` requires",
    )
