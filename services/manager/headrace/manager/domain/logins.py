"""Logins: how long they last, how often passwords are tried, and who may set one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final

from headrace.common.contracts.ids import UserId
from headrace.manager.domain.access import Actor

WINDOW: Final = timedelta(minutes=5)
MAX_TRIES_OF_NAME: Final = 10
"""Passwords that are tried for one name in five minutes, at all managers, those that were right not counted."""
MAX_TRIES_OF_ADDRESS: Final = 100
"""The same from one address: many people may come from one, as from behind a proxy."""
_IPV6_SITE: Final = 64


@dataclass(frozen=True)
class Lifetimes:
    """How long a login lasts."""

    idle: timedelta = timedelta(hours=12)
    """Without a request."""
    whole: timedelta = timedelta(days=7)


@dataclass(frozen=True)
class Tries:
    """A subject of which tries are counted, and how many it may have."""

    text: str
    shown: str
    most: int


def tries(name: str, address: str) -> tuple[Tries, ...]:
    """Return what is counted of a try: the address first, so that one that is at its limit counts nothing of names.

    An IPv6 site has more addresses than anybody counts; its network counts.
    """
    network = address
    try:
        ip = ip_address(address)
    except ValueError:
        pass
    else:
        if isinstance(ip, IPv6Address) and ip.ipv4_mapped is None:
            network = str(ip_network((ip, _IPV6_SITE), strict=False))
    return (
        Tries(f"address {network}", f"from {network}", MAX_TRIES_OF_ADDRESS),
        Tries(f"name {name}", f"for {name}", MAX_TRIES_OF_NAME),
    )


def needs_current(actor: Actor, user: UserId, *, has_password: bool) -> bool:
    """Return whether the present password is needed to set another: of who changes the own one.

    Not by an API key without an end: who has it could make another one anyway.
    """
    by_endless_key = actor.login_id is None and actor.key_ends_at is None
    return has_password and actor.user_id == user and not by_endless_key


def outlives(actor: Actor, user: UserId, *, has_password: bool) -> bool:
    """Return whether a first password would outlast the API key by which its user sets it."""
    return not has_password and actor.user_id == user and actor.key_ends_at is not None
