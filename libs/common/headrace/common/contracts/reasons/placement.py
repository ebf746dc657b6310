"""Why a session waits for a machine."""

from __future__ import annotations

from headrace.common.contracts.reasons import CodeOfOne


class PlacementReason(CodeOfOne):
    """Placement: why a pending session has no machine. The code is that of the machine closest to fitting; if none of
    them would do even when empty, `exceeds-every-machine`.
    """

    WAITING_FOR_MACHINE = "waiting-for-machine", "placement has not considered it yet"
    NO_MACHINES = "no-machines", "no machine reports"
    INSUFFICIENT_GPUS = (
        "insufficient-gpus",
        "the machine closest to fitting has too few GPUs free, or too little of one",
    )
    INSUFFICIENT_SLOTS = "insufficient-slots", "the machine closest to fitting has too little of another resource free"
    EXCEEDS_EVERY_MACHINE = (
        "exceeds-every-machine",
        "no machine of its resource group and architecture that reports is large enough, even when empty: waiting does not help",
    )
    KEPT_FOR_OLDER = "kept-for-older", "the machine that fits is reserved for a session that has waited longer"
    OTHER_GROUP = "other-group", "the machines are in other resource groups"
    GROUP_NOT_ALLOWED = "group-not-allowed", "its project may not use its resource group (any more)"
    OTHER_ARCHITECTURE = "other-architecture", "the machines are of another architecture than the image"
    NO_IMAGE = "no-image", "the machines run containers only, and the service names no image"
    NO_PLAN_KEY = "no-plan-key", "the service has secrets, and the machines' agents report no key to encrypt them to"
    CORDONED = "cordoned", "operators let nothing new be placed on the machines (`headrace agent cordon`)"
    DISK_LOW = "disk-low", "the machines have less disk free than their agents keep in reserve"
    ADDRESS_NOT_ALLOWED = "address-not-allowed", "the machines are at an address that is not allowed for them"
    MODEL_IMPORTING = "model-importing", "the files of its model URI are being fetched; the text says how far that is"
    MODEL_IMPORT_FAILED = (
        "model-import-failed",
        "the files of its model URI could not be fetched; it is tried again, at once by `headrace service retry`",
    )
    NOT_PLACEABLE = "not-placeable", "the stored data of the session or its machine cannot be read"
