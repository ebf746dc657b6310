"""Parser of /proc/net/tcp and tcp6: listening TCP sockets (proc_net_tcp.5, Linux)."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

_LISTEN = "0A"
_MAX_LISTED_LISTENERS = 5


@dataclass(frozen=True, slots=True)
class Listener:
    """A listening socket; `inode` identifies it on the machine."""

    inode: str
    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def listeners(table: str) -> Iterator[Listener]:
    """Yield the listening sockets of a table; malformed lines are skipped."""
    for line in table.splitlines()[1:]:
        if f" {_LISTEN} " not in line:  # most are connections; taking a line apart costs more than a look
            continue
        fields = line.split(maxsplit=10)
        if len(fields) > 9 and fields[3] == _LISTEN:
            host, _, port = fields[1].partition(":")
            yield Listener(fields[9], _address(host), int(port, 16))


def in_words(found: Collection[Listener]) -> str:
    """Return the addresses as text, each once, at most the first few."""
    places = [str(one) for one in sorted(found, key=lambda one: (one.port, one.host))]
    places = list(dict.fromkeys(places))
    more = len(places) - _MAX_LISTED_LISTENERS
    return ", ".join(places[:_MAX_LISTED_LISTENERS]) + (f" and {more} more" if more > 0 else "")


def _address(written: str) -> str:
    # Words of four bytes, each in the machine's order; all machines that are supported are little-endian.
    words = [bytes.fromhex(written[at : at + 8])[::-1] for at in range(0, len(written), 8)]
    packed = b"".join(words)
    return str(IPv4Address(packed) if len(packed) == 4 else IPv6Address(packed))
