"""Why the management API could not do something now."""

from __future__ import annotations

from headrace.common.contracts.reasons import ReasonCode


class ApiReason(ReasonCode):
    """Management API: the `reason` of 503 `unavailable`, and of 507 for the database's disk. All but the last are
    temporary.
    """

    TIMEOUT = "timeout", "it took too long; it may have been done all the same"
    DATABASE_UNREACHABLE = "database-unreachable", "the database cannot be reached; it may have been done all the same"
    DATABASE_BUSY = "database-busy", "concurrent changes of the same rows; nothing has changed"
    DATABASE_DISK_FULL = "database-disk-full", "the database's disk has no room; nothing has changed"
    TOO_MANY_FILES = "too-many-files", "too many files and connections are open in the process"
    TOO_MANY_CONNECTIONS = "too-many-connections", "all connections are in use"
    FOLDERS_BUSY = "folders-busy", "too many folder requests of the project are running"
    DEFINITIONS_BUSY = (
        "definitions-busy",
        "too many of the project's definition files are being read, or this one takes too long",
    )
    STORAGE_FAILED = "storage-failed", "the storage of folders cannot be used"
    STORAGE_SLOW = "storage-slow", "the storage of folders did not answer in time"
    FILE_CHANGED = "file-changed", "a file was truncated while it was read"
    SIGNING_KEYS_UNREADABLE = (
        "signing-keys-unreadable",
        "the manager cannot read the file of the bus' signing keys, or of the certificate authorities",
    )
    FOLDER_HASHING = "folder-hashing", "the SHA-256 of files that were not uploaded here is being made"
    FOLDER_CHANGING = "folder-changing", "the folder was changed again and again while it was read"
    MODEL_SOURCE_UNAVAILABLE = (
        "model-source-unavailable",
        "the source of a model URI does not answer, or not as it should",
    )
    PASSWORDS_BUSY = "passwords-busy", "too many passwords are being checked"
    FOLLOWERS_FULL = "followers-full", "the manager has as many streams of live events as it may have, or it stops"
    SECRET_KEY_CHANGED = (
        "secret-key-changed",
        "stored secrets were encrypted with another secret key than this manager's",
    )
