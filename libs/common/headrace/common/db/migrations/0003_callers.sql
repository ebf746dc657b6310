-- Who may call: limits and shares of tokens, tokens for all services of a project, named clients.

-- What else a limits object holds is the code's: {"in_flight": 3}, absent is no limit.
alter table tokens
    add column project_id uuid references projects,
    add column limits jsonb not null default '{}',
    add column share integer not null default 1 check (share between 1 and 1000),
    alter column service_id drop not null;
-- exactly one: a service's token, or one of all services of a project, later ones too
alter table tokens add constraint tokens_open_one check ((service_id is null) <> (project_id is null));
create index tokens_project on tokens (project_id) where project_id is not null;

create table clients (
    id uuid primary key,
    service_id uuid not null references services,
    name slug not null,
    -- of 256 random bits, so that it needs no slow hash
    secret_sha256 text not null check (secret_sha256 ~ '^[0-9a-f]{64}$'),
    limits jsonb not null default '{}',
    share integer not null default 1 check (share between 1 and 1000),
    created_by uuid not null references users,
    created_at timestamptz not null default now(),
    rotated_at timestamptz,
    revoked_at timestamptz
);
create unique index clients_name on clients (service_id, name) where revoked_at is null;
