"""A backend below HTTP that writes down what reaches it, and a caller that sends bytes and reads to the end."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

_CLEAN_FIELD = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+: ?[\x20-\x7e\x80-\xff\t]*")
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})[ \r]")
END_WITHIN_S = 10.0


class UncleanError(Exception):
    """A request that a backend can read in more than one way."""


@dataclass(frozen=True)
class Got:
    """A whole request."""

    head: bytes
    body: bytes

    @property
    def target(self) -> bytes:
        return self.head.split(b" ", 2)[1]

    @property
    def is_canary(self) -> bool:
        return self.target.endswith(b"/canary")


@dataclass
class Recorder:
    """What came: whole requests, how many were begun and not ended, and what was wrong with the bytes themselves."""

    port: int = 0
    got: list[Got] = field(default_factory=list)
    begun: int = 0
    unclean: list[str] = field(default_factory=list)
    busy: int = 0

    def clear(self) -> None:
        self.got.clear()
        self.unclean.clear()
        self.begun = 0


def fields_of(head: bytes) -> list[tuple[bytes, bytes]]:
    """Return the fields of a head, names in lower case. Raises UncleanError where a line is anything but `name: value`."""
    lines = head.split(b"\r\n")
    if re.fullmatch(rb"[A-Z-]+ [\x21-\x7e]+ HTTP/1\.[01]", lines[0]) is None:
        raise UncleanError(f"request line {lines[0]!r}")
    bad = [line for line in lines[1:-2] if not _CLEAN_FIELD.fullmatch(line)]
    if bad:
        raise UncleanError(f"field lines {bad!r}")
    pairs = [line.partition(b":") for line in lines[1:-2]]
    return [(name.lower(), value.strip(b" \t")) for name, _, value in pairs]


async def read_request(reader: asyncio.StreamReader, head: bytes) -> bytes:
    """Return the body, read as strictly as can be."""
    fields = fields_of(head)
    lengths = [value for name, value in fields if name == b"content-length"]
    encodings = [value for name, value in fields if name == b"transfer-encoding"]
    hosts = [value for name, value in fields if name == b"host"]
    if len(lengths) + len(encodings) > 1 or len(hosts) != 1 or encodings not in ([], [b"chunked"]):
        raise UncleanError(f"framing or host is ambiguous: {fields!r}")
    if encodings:
        return await _chunks(reader)
    if not lengths:
        return b""
    if re.fullmatch(rb"0|[1-9][0-9]*", lengths[0]) is None:
        raise UncleanError(f"Content-Length {lengths[0]!r}")
    return await reader.readexactly(int(lengths[0]))


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while True:
        line = await reader.readuntil(b"\n")
        if re.fullmatch(rb"[0-9a-fA-F]{1,15}\r\n", line) is None:
            raise UncleanError(f"chunk line {line!r}")
        size = int(line, 16)
        data = await reader.readexactly(size + 2) if size else b"\r\n"
        if data[-2:] != b"\r\n":
            raise UncleanError("a chunk has no end")
        if not size:
            while (line := await reader.readuntil(b"\n")) != b"\r\n":
                if not _CLEAN_FIELD.fullmatch(line[:-2]) or line[-2:] != b"\r\n":
                    raise UncleanError(f"trailer {line!r}")
            return body
        body += data[:-2]


@asynccontextmanager
async def recorder() -> AsyncIterator[Recorder]:
    """Answer each whole request with 200 and `ok`."""
    state = Recorder()
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                state.begun += 1
                state.busy += 1
                try:
                    body = await read_request(reader, head)
                finally:
                    state.busy -= 1
                state.begun -= 1
                state.got.append(Got(head, body))
                content = b"" if head.startswith(b"HEAD ") else b"ok"
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n" + content)
        except UncleanError as error:
            state.unclean.append(str(error))
        except asyncio.IncompleteReadError as error:
            if error.partial and not state.begun:
                state.unclean.append(f"left over: {error.partial!r}")
        except (ConnectionError, asyncio.LimitOverrunError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=1 << 22)
    state.port = server.sockets[0].getsockname()[1]
    try:
        yield state
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@dataclass(frozen=True)
class Heard:
    """What a caller got: everything up to the end of the connection, and whether that came by itself."""

    data: bytes
    ended: bool

    @property
    def statuses(self) -> list[int]:
        """Status codes of the answers, interim ones left out."""
        return [code for code in map(int, _STATUS.findall(self.data)) if code >= 200]


async def send(port: int, segments: Sequence[bytes], *, within_s: float = END_WITHIN_S) -> Heard:
    """Write the segments, each in a read of its own at the other side as far as that can be arranged; read to the end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    data = b""
    try:
        async with asyncio.timeout(within_s):
            for segment in segments:
                writer.write(segment)
                await writer.drain()
                if len(segments) > 1:
                    await asyncio.sleep(0.01)  # a hint to the kernel, not a condition: any division must do
            while part := await reader.read(65536):
                data += part
    except TimeoutError:
        return Heard(data, ended=False)
    except ConnectionError:
        return Heard(data, ended=True)
    finally:
        writer.close()
    return Heard(data, ended=True)
