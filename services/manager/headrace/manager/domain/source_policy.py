"""Which model URIs the installation allows, and which addresses are contacted for them (against SSRF). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_address
from urllib.parse import SplitResult, urlsplit

from headrace.common.contracts.addresses import is_host_name, is_public_address


@dataclass(frozen=True)
class SourcePolicy:
    """Policy of model URIs. It is applied to each URL that is opened, redirects among them, and to each resolved address."""

    schemes: frozenset[str] = frozenset({"hf", "https", "s3"})
    hosts: tuple[str, ...] = ()
    """Allowed host names; `.example.com` allows all below it. Empty: all."""
    networks: tuple[IPv4Network | IPv6Network, ...] = ()
    """Allowed networks of addresses that are not public."""
    own: frozenset[str] = frozenset()
    """Origins of the operator's own settings (`hub_endpoint`, `s3_endpoint`), which are allowed whatever `schemes` and `hosts` say."""

    paths: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Directories on the machines, and the projects that may name models below them; `*`: all."""
    networks_setting: str = "model_uri_networks"
    """Name of the setting that has the networks."""

    def why_not_path(self, path: str, project: str) -> str | None:
        """Return what is allowed instead, if a project may not name this path on the machines."""
        own = sorted(root for root, projects in self.paths.items() if {project, "*"}.intersection(projects))
        if any(f"{path}/".startswith(f"{root.rstrip('/')}/") for root in own):
            return None
        where = f"a path below {', '.join(own[:10])}" if own else f"none for project {project}"
        return f"{where} (setting model_paths)"

    def why_not_scheme(self, scheme: str) -> str | None:
        """Return what is allowed instead, if model URIs of this scheme are not."""
        if scheme in self.schemes:
            return None
        return ", ".join(f"{one}://…" for one in sorted(self.schemes)) or "none"

    def why_not_url(self, url: str) -> str | None:
        """Return why this URL is not opened; None if it is."""
        parts = urlsplit(url)
        host = (parts.hostname or "").rstrip(".")
        own = origin(url) in self.own
        if parts.scheme != "https" and not (parts.scheme == "http" and ("http" in self.schemes or own)):
            return f"{parts.scheme or 'no scheme'} is not allowed; allowed: https"
        if not host:
            return "it names no host"
        if not _has_port(parts):
            return f"{parts.netloc.rpartition(':')[2]} is no port; allowed: 1 to 65535"
        if self.hosts and not own and not any(_matches(host, one) for one in self.hosts):
            return f"host {host} is not allowed; allowed: {', '.join(self.hosts[:10])} (setting model_uri_hosts)"
        try:
            return self.why_not_addresses(host, [str(ip_address(host))])
        except ValueError:
            # a name: its addresses are checked when it is resolved; what libraries take for an address is none of ours
            return None if is_host_name(host) else f"{host} is no name of a host"

    def why_not_addresses(self, host: str, addresses: Iterable[str]) -> str | None:
        """Return why a host with these addresses is not contacted; None if it is."""
        for address in addresses:
            ip = ip_address(address.partition("%")[0])
            if not any(ip in network for network in self.networks) and not is_public_address(ip):
                text = f"host {host} is at {ip}, which is no public address"
                return f"{text}; allowed: public ones, and those of the setting {self.networks_setting}"
        return None


def origin(url: str) -> str | None:
    """Return scheme, host and port of a URL, the default port too; None where it has no such port."""
    parts = urlsplit(url)
    try:
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        return None
    return f"{parts.scheme}://{(parts.hostname or '').rstrip('.')}:{port}"


def _has_port(parts: SplitResult) -> bool:
    """Return False for a port that no server has. Without one it is the scheme's."""
    try:
        return parts.port != 0
    except ValueError:
        return False


def _matches(host: str, allowed: str) -> bool:
    return host.endswith(allowed) if allowed.startswith(".") else host == allowed
