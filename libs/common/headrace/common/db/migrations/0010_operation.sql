-- What replicas do in operation: how they end, which revision serves, and how a new one is rolled out.

alter table services
    -- only what differs from the defaults, which are the code's: {"on_failure": "roll-back"}
    add column rollout jsonb not null default '{}',
    -- The revision that served last while no other one did: it is looked after while the newest one does not start.
    add column served_revision_id uuid references revisions on delete set null,
    -- Ends in operation in a row, and how many replacements wait until next_restart_at.
    add column ends integer not null default 0,
    add column ends_held integer not null default 0,
    add column next_restart_at timestamptz,
    add column last_end_at timestamptz;

create index services_served on services (served_revision_id);

-- when it was healthy for the first time
alter table sessions add column healthy_at timestamptz;
-- health checks that failed in a row, at most 100
alter table kernels add column failures integer not null default 0;

-- Replicas that ended in operation. Outlives the session; the newest 100 of each service are kept.
create table replica_ends (
    session_id uuid primary key,
    service_id uuid not null references services on delete cascade,
    revision integer not null,
    agent_id text,
    reason_code text not null,
    reason_text text not null,
    exit_code integer,
    started_at timestamptz not null,
    at timestamptz not null default now()
);
create index replica_ends_service on replica_ends (service_id, at desc, session_id);
