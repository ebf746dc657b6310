"""Pre-start actions on Docker: files through the engine's archive calls, which need no shell in the image; commands by exec."""

from __future__ import annotations

import io
import posixpath
import tarfile
import time
from collections.abc import Iterable, Sequence

from headrace.agent.runtime.docker.container import GO, Image, working_dir
from headrace.agent.runtime.docker.engine import Engine, EngineError
from headrace.agent.runtime.docker.streams import frames
from headrace.agent.runtime.environment import HOME
from headrace.agent.runtime.interface import ActionFailed, CommandResult

MAX_FILE = 16 * 1024 * 1024
_MAX_OUTPUT = 64 * 1024


class ContainerShell:
    """File and command access to a created container; for commands it must be running (behind its gate).

    Files belong to the image's user. The engine writes them, so they may also go where that user could not write.
    """

    def __init__(self, engine: Engine, name: str, image: Image) -> None:
        self._engine = engine
        self._path = f"/containers/{name}"
        self._image = image
        self._owner: tuple[int, int] | None = None

    async def write(self, path: str, body: bytes, mode: int, *, append: bool) -> None:
        """Write a file into the container."""
        place = self._place(path)
        try:
            before = await self._read(place) if append else b""
            uid, gid = await self._user()
            await self._folders(posixpath.dirname(place), uid, gid)
            await self._put(_tar_file(place, before + body, mode, uid, gid))
        except EngineError as error:
            raise ActionFailed(f"{path}: {error}") from error

    async def mkdir(self, path: str) -> None:
        """Create a directory, with missing parents."""
        try:
            await self._folders(self._place(path), *await self._user())
        except EngineError as error:
            raise ActionFailed(f"{path}: {error}") from error

    async def run(self, command: Sequence[str]) -> CommandResult:
        """Run a command in the running container, with its environment, user and working directory."""
        request = {"AttachStdout": True, "AttachStderr": True, "Tty": False, "Cmd": list(command)}
        try:
            made = await self._engine.call("POST", f"{self._path}/exec", body=request)
            output = {1: b"", 2: b""}
            start = {"Detach": False, "Tty": False}
            async with self._engine.stream("POST", f"/exec/{made['Id']}/start", body=start) as chunks:
                async for kind, content in frames(chunks):
                    output[kind] = (output.get(kind, b"") + content)[-_MAX_OUTPUT:]
            done = await self._engine.call("GET", f"/exec/{made['Id']}/json")
        except EngineError as error:
            raise ActionFailed(str(error)) from error
        return CommandResult(
            int(done.get("ExitCode") or 0), *(output[kind].decode("utf-8", "replace") for kind in (1, 2))
        )

    async def make_home(self) -> None:
        """Create the home folder, owned by the image's user (the engine creates working directories as root)."""
        try:
            uid, gid = await self._user()
            await self._folders(HOME, uid, gid)
            if uid != 0:
                await self._put(_tar_folders([HOME], uid, gid))
        except EngineError as error:
            raise ActionFailed(f"{HOME}: {error}") from error

    async def open_gate(self) -> None:
        """Open the gate, so that the program starts."""
        await self._put(_tar_file(GO, b"", 0o444, 0, 0))

    async def gate_open(self) -> bool:
        """Return whether the gate was opened."""
        return not await self._missing(GO)

    def _place(self, path: str) -> str:
        return posixpath.normpath(path if path.startswith("/") else f"{working_dir(self._image)}/{path}")

    async def _missing(self, path: str) -> bool:
        return await self._engine.missing(f"{self._path}/archive", {"path": path})

    async def _read(self, path: str) -> bytes:
        try:
            content = await self._engine.read(f"{self._path}/archive", query={"path": path}, limit=MAX_FILE)
        except EngineError as error:
            if error.status == 404:
                return b""
            raise
        with tarfile.open(fileobj=io.BytesIO(content)) as tar:
            member = tar.next()
            file = tar.extractfile(member) if member is not None and member.isfile() else None
            if file is None:
                raise ActionFailed(f"{path}: it is not a file")
            return file.read()

    async def _put(self, archive: bytes) -> None:
        await self._engine.call("PUT", f"{self._path}/archive", query={"path": "/"}, data=archive)

    async def _folders(self, path: str, uid: int, gid: int) -> None:
        """Create the missing directories of `path`; existing ones keep their owner and mode."""
        wanted = []
        while path not in {"/", ""} and await self._missing(path):
            wanted.append(path)
            path = posixpath.dirname(path)
        if wanted:
            await self._put(_tar_folders(reversed(wanted), uid, gid))

    async def _user(self) -> tuple[int, int]:
        """Return uid and gid of the image's user, given as a number or as a name in its /etc/passwd."""
        if self._owner is None:
            user, _, group = self._image.user.partition(":")
            uid, gid = (int(user), 0) if user.isdigit() else await self._named(user)
            self._owner = (uid, int(group) if group.isdigit() else gid)
        return self._owner

    async def _named(self, user: str) -> tuple[int, int]:
        if user in {"", "root"}:
            return 0, 0
        for line in (await self._read("/etc/passwd")).decode("utf-8", "replace").splitlines():
            fields = line.split(":")
            if fields[0] == user and len(fields) > 3:
                return int(fields[2]), int(fields[3])
        raise ActionFailed(f"the image's user {user} is not in its /etc/passwd")


def _tar_file(path: str, body: bytes, mode: int, uid: int, gid: int) -> bytes:
    info = tarfile.TarInfo(path.lstrip("/"))
    info.size = len(body)
    return _tar([(info, body)], mode, uid, gid)


def _tar_folders(paths: Iterable[str], uid: int, gid: int) -> bytes:
    members = []
    for path in paths:
        info = tarfile.TarInfo(path.lstrip("/"))
        info.type = tarfile.DIRTYPE
        members.append((info, b""))
    return _tar(members, 0o755, uid, gid)


def _tar(members: Sequence[tuple[tarfile.TarInfo, bytes]], mode: int, uid: int, gid: int) -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for info, body in members:
            info.mode, info.uid, info.gid, info.mtime = mode, uid, gid, int(time.time())
            tar.addfile(info, io.BytesIO(body))
    return archive.getvalue()
