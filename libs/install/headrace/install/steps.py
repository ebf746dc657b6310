"""What an operator does after files of an installation that runs were replaced, so that they come into force. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from headrace.install.folder import Entry, Found
from headrace.install.plan import Plan


def steps_after(entries: Sequence[Entry], before: Plan | None, plan: Plan) -> tuple[str, ...]:
    """Return the steps after a run with other options or of another version; none for a new installation, or where files were only mended."""
    replaced = {entry.path for entry in entries if entry.found is Found.UPDATED}
    if before is None:
        return ()
    steps = [*_of_nats(entries, before, plan), *(text for paths, text in _STEPS if replaced & set(paths))]
    agents = [agent.name for agent in plan.agents if f"settings/{agent.name}.toml" in replaced]
    if agents:
        steps.append(f"Copy settings/NAME.toml to the machines of {_listed(agents)}, and restart their agents.")
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
        yield (
            "What the one server stored is not taken over: managers publish all of it anew, and what runs goes on. "
            "Remove nats/nats.conf, tls/nats.crt and tls/nats.key: no server reads them any more."
        )
    gone = [one for one in former if one not in plan.nats_addresses]
    if plan.nats_cluster and gone:
        yield f"Stop NATS at {', '.join(map(str, gone))} when the others run and the services know them."


_STEPS = (
    (("tls/api.crt",), "Managers use tls/api.crt and its key within ten seconds, without a restart."),
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
    (("settings/manager.toml",), "Restart the managers one after another: they read settings/manager.toml."),
    (("settings/proxy-1.toml",), "Restart app-proxy proxy-1: it reads settings/proxy-1.toml."),
    (("settings/autoscaler.toml",), "Restart the autoscalers: they read settings/autoscaler.toml."),
    (("bus/signing.json",), "Copy bus/signing.json to where the managers read it: they use it within seconds."),
    ((".env",), "Run docker compose up -d: it reads .env."),
)
_LISTED = 10


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_LISTED]) + (f" and {len(names) - _LISTED} more" if len(names) > _LISTED else "")
