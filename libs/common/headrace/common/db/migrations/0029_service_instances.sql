-- Processes of the installation, as they report: each manager writes its own row, and those of the app-proxies and autoscalers that
-- it hears of. Not part of a backup.
create table service_instances (
    kind text not null check (kind in ('manager', 'app-proxy', 'autoscaler')),
    name text not null,
    version text not null,
    host text not null,
    address text not null,
    started_at timestamptz,
    last_seen_at timestamptz not null,
    stopped boolean not null,
    ready boolean not null,
    -- readiness checks and warnings that are not passed, and since when these very ones are not
    checks jsonb not null,
    checks_since timestamptz not null,
    facts jsonb not null,
    primary key (kind, name)
);
