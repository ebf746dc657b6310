"""What an operator does after files of an installation were made or replaced, so that they come into force. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from headrace.install.folder import Entry, Found
from headrace.install.plan import Agent, Layout, Plan, is_loopback


def steps_after(folder: Path, entries: Sequence[Entry], before: Plan | None, plan: Plan) -> tuple[str, ...]:
    """Return the steps after a first run, or one with other options or of another version; none where files were only mended."""
    replaced = {entry.path for entry in entries if entry.found is Found.UPDATED}
    if before is None:
        return (*_first_steps(folder, plan), *_new_machines(plan.agents))
    steps = [*(files_steps(plan.layout, replaced) if replaced else ()), *_of_nats(entries, before, plan)]
    steps += [text for paths, text in _steps_of_files(plan.layout) if replaced & set(paths)]
    if "tls/api.crt" in replaced:
        steps.append(certificate_step(plan.layout))
    if "bus/signing.json" in replaced:
        steps.append(f"{signing_step(plan.layout)}.")
    if identities := sorted(path for path in replaced if path.startswith("bus/") and path.endswith(".creds")):
        steps.append(_identities_step(identities, plan.layout))
    known = {agent.name for agent in before.agents}
    steps += _new_machines([agent for agent in plan.agents if agent.name not in known])
    agents = [agent.name for agent in plan.agents if f"settings/{agent.name}.toml" in replaced]
    if agents:
        steps.append(f"Copy settings/NAME.toml to the machines of {_listed(agents)}, and restart their agents.")
    steps += _of_former_nats(before, plan)
    if before.url != plan.url:
        steps.append(
            f"Callers log in at the new URL: headrace login --url {plan.url}; the former host stays in the certificates."
        )
    return tuple(steps)


def _of_nats(entries: Sequence[Entry], before: Plan, plan: Plan) -> Iterator[str]:
    """Return what is to be done at the servers of a NATS cluster: new ones first, so that there is a majority at any time."""
    written = {entry.path for entry in entries if entry.found in {Found.MADE, Found.UPDATED}}
    former = before.nats_addresses
    for server in sorted(plan.nats_cluster, key=lambda one: one.address in former):
        name, there = server.name, server.address in former
        if not written & {f"nats/{name}.conf", f"tls/{name}.crt"}:
            continue
        do = "restart NATS there with that file" if there else "start NATS there with that file"
        yield f"Copy nats/{name}.conf, tls/{name}.crt, tls/{name}.key and tls/ca.crt to {server.address.host}, and {do}."
    if plan.nats_cluster and not before.nats_cluster:
        yield ("What the one server stored is not taken over: managers publish all of it anew, and what runs goes on.")


def _of_former_nats(before: Plan, plan: Plan) -> Iterator[str]:
    """Return what is to be done about servers that are none of the cluster any more: last, when no service knows them."""
    gone = [one for one in before.nats_addresses if one not in plan.nats_addresses]
    if plan.nats_cluster and gone:
        yield f"When all of them have read it, stop NATS at {', '.join(map(str, gone))}."
    if plan.nats_cluster and not before.nats_cluster:
        yield "Remove nats/nats.conf, tls/nats.crt and tls/nats.key: no server reads them any more."


def cluster_copies(plan: Plan, *files: str) -> tuple[str, ...]:
    """Return the step by which the servers of a NATS cluster get these files, `{}` for their names; none for one server."""
    each = [
        f"{' and '.join(file.format(server.name) for file in files)} to {server.address.host}"
        for server in plan.nats_cluster
    ]
    return (f"Copy to the servers of the NATS cluster what they read: {'; '.join(each)}.",) if each else ()


def files_steps(layout: Layout, replaced: Collection[str] = ()) -> tuple[str, ...]:
    """Return what brings new files to those who read them, before any other step; on hosts each step says it of its own."""
    if layout is not Layout.COMPOSE:
        return ()
    if not {".env", "compose.yaml"} & set(replaced):
        return ("Run docker compose up -d: it brings the new files to each part, and restarts none.",)
    return (
        (
            "Run docker compose up -d: it brings the new files to each part, and starts anew what .env and compose.yaml change. If that "
            "is the version, do so part by part (docs/operations.md, Upgrade)."
        ),
    )


def managers_step(layout: Layout) -> str:
    """Return how managers come to new settings, without a full stop."""
    how = " (docker compose restart manager-1; when it is healthy, manager-2)" if layout is Layout.COMPOSE else ""
    return f"Restart the managers one after another{how}: they read settings/manager.toml."


def certificate_step(layout: Layout) -> str:
    """Return how managers come to a new certificate of the API."""
    if layout is Layout.COMPOSE:
        return "Managers use tls/api.crt and its key within ten seconds, without a restart."
    return f"Managers use tls/api.crt and its key within ten seconds, without a restart; {_AS_UNITS}."


def signing_step(layout: Layout) -> str:
    """Return how managers come to new signing keys of the bus, without a full stop."""
    if layout is Layout.COMPOSE:
        return "Managers use bus/signing.json within seconds, without a restart"
    return f"Copy bus/signing.json to where the managers read it: they use it within seconds; {_AS_UNITS}"


def identity_step(name: str, service: str, layout: Layout) -> str:
    """Return how a service comes to its new key on the bus."""
    at_connect = "it logs in with it from its next connect on"
    if layout is Layout.COMPOSE:
        return f"The service reads bus/{name}.creds, and {at_connect.removeprefix('it ')}."
    as_unit = f"one that systemd starts reads it as it starts: systemctl restart headrace-{service}"
    return f"Copy bus/{name}.creds to where the service reads it: {at_connect}; {as_unit}."


def _identities_step(files: Sequence[str], layout: Layout) -> str:
    """Return how services come to other permissions of the same key, which this version gives: nothing ends their connections."""
    do = "Restart" if layout is Layout.COMPOSE else "Copy them to where the services read them, and restart"
    return f"{_listed(files)}: what these services may do on the bus has changed. {do} the services."


def _steps_of_files(layout: Layout) -> tuple[tuple[tuple[str, ...], str], ...]:
    """Return files, and what is to be done where one of them was replaced; in the order of the steps."""
    return (
        (("tls/nats.crt",), "Let NATS (SIGHUP) read tls/nats.crt and its key."),
        (("nats/nats.conf",), "Restart NATS: it reads nats/nats.conf. Services reconnect by themselves."),
        (
            ("tls/database.crt", "postgres/headrace.conf", "postgres/pg_hba.conf"),
            "Let PostgreSQL (SELECT pg_reload_conf()) read postgres/headrace.conf, postgres/pg_hba.conf and its certificate.",
        ),
        (("tls/redis.crt", "redis/redis.conf"), "Restart Redis: it reads redis/redis.conf and its certificate."),
        (
            ("redis/sentinel.conf",),
            "Restart each Sentinel with a new copy of redis/sentinel.conf, and each Redis with one of redis/redis.conf.",
        ),
        (("settings/manager.toml",), managers_step(layout)),
        (("settings/proxy-1.toml",), "Restart app-proxy proxy-1: it reads settings/proxy-1.toml."),
        (("settings/autoscaler.toml",), "Restart the autoscalers: they read settings/autoscaler.toml."),
        (("haproxy/haproxy.cfg",), "Then run docker compose restart api: HAProxy reads haproxy/haproxy.cfg."),
    )


_AS_UNITS = "those that systemd starts read it as they start: systemctl restart headrace-manager"


def _first_steps(folder: Path, plan: Plan) -> list[str]:
    login = f"headrace login --url {plan.url} --ca {folder}/tls/ca.crt --key - <{folder}/admin.key"
    if plan.layout is Layout.COMPOSE:
        return [f"Start all parts: cd {folder} && docker compose up -d --wait", f"Log in: {login}"]
    steps = [
        "Start PostgreSQL, NATS and Redis with the files in postgres/, nats/ and redis/ (docs/operations.md, Install).",
        f"Start the services: headrace systemd install {folder} --now",
        f"Log in: {login}",
    ]
    if all(is_loopback(one.host) for one in plan.nats_addresses):
        steps.append(
            f"Before machines elsewhere can join: headrace init {folder} --nats ADDRESS of this one; NATS listens on loopback only."
        )
    return steps


def _new_machines(agents: Sequence[Agent]) -> list[str]:
    """Return the step by which machines elsewhere get their files; the agent at loopback reads them here."""
    names = [agent.name for agent in agents if agent.address and not is_loopback(agent.address)]
    if not names:
        return []
    copied = "settings/NAME.toml, bus/NAME.creds and tls/ca.crt"
    return [
        f"Copy {copied} to the same paths on the machines of {_listed(names)}, and run there: headrace systemd install DIR --now"
    ]


_LISTED = 10


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_LISTED]) + (f" and {len(names) - _LISTED} more" if len(names) > _LISTED else "")
