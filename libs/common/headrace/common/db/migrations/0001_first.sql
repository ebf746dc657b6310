-- Headrace's first schema. Invariants are constraints; usage is always derived from allocations.

create domain slug as text check (value ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$');

create table users (
    id uuid primary key,
    name slug not null unique,
    operator boolean not null default false,
    created_at timestamptz not null default now()
);

create table api_keys (
    id uuid primary key,
    user_id uuid not null references users on delete cascade,
    name slug not null,
    secret_hash bytea not null check (length(secret_hash) = 32),
    created_at timestamptz not null default now(),
    expires_at timestamptz
);
create index api_keys_user on api_keys (user_id);

create table projects (
    id uuid primary key,
    name slug not null,
    description text not null default '',
    quota jsonb,
    created_at timestamptz not null default now(),
    deleted_at timestamptz
);
create unique index projects_name on projects (name) where deleted_at is null;

create table memberships (
    project_id uuid not null references projects on delete cascade,
    user_id uuid not null references users on delete cascade,
    role text not null check (role in ('owner', 'member', 'viewer')),
    primary key (project_id, user_id)
);
create index memberships_user on memberships (user_id);

create table resource_groups (
    name slug primary key,
    created_at timestamptz not null default now()
);
insert into resource_groups (name) values ('default');

-- One row per machine; what it reported last. Rewritten by whichever manager heard it.
create table agents (
    id slug primary key,
    resource_group slug not null default 'default' references resource_groups,
    incarnation text not null,
    sequence bigint not null,
    machine jsonb not null,
    architecture text not null,
    slots jsonb not null,
    kernels jsonb not null default '[]',
    applied_generation bigint not null default 0,
    last_seen_at timestamptz not null default now(),
    lost_at timestamptz,
    created_at timestamptz not null default now()
);

create table folders (
    id uuid primary key,
    project_id uuid not null references projects,
    name slug not null,
    usage_mode text not null check (usage_mode in ('model', 'data', 'general')),
    created_at timestamptz not null default now(),
    deleted_at timestamptz
);
create unique index folders_name on folders (project_id, name) where deleted_at is null;

create table uploads (
    id uuid primary key,
    folder_id uuid not null references folders,
    path text not null check (length(path) between 1 and 4096),
    size_bytes bigint not null check (size_bytes >= 0),
    sha256 text,
    created_by uuid not null references users on delete cascade,
    created_at timestamptz not null default now()
);
create index uploads_folder on uploads (folder_id);

create table services (
    id uuid primary key,
    project_id uuid not null references projects,
    name slug not null,
    description text not null default '',
    wanted integer not null check (wanted >= 0),
    -- running: replicas are kept. stopped: none. deleting: none, then deleted_at.
    goal text not null default 'running' check (goal in ('running', 'stopped', 'deleting')),
    open_to_public boolean not null default false,
    resource_group slug not null references resource_groups,
    revision_id uuid not null,
    metadata jsonb not null default '{}',
    tags jsonb not null default '[]',
    drain_grace_s double precision not null check (drain_grace_s >= 0),
    -- a port of its own at each app-proxy
    endpoint_port integer check (endpoint_port between 10000 and 19999),
    -- Failed starts in a row; at 5 the service stops retrying until cleared.
    failed_starts integer not null default 0,
    next_start_at timestamptz,
    rev bigint not null default 1,
    created_by uuid not null references users,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    deleted_at timestamptz
);
create unique index services_name on services (name) where deleted_at is null;
create unique index services_endpoint_port on services (endpoint_port) where deleted_at is null;
create index services_project on services (project_id) where deleted_at is null;

create table revisions (
    id uuid primary key,
    service_id uuid not null references services deferrable initially deferred,
    number integer not null check (number > 0),
    -- what the user asked for, and what it was resolved to (definition read, defaults filled)
    spec jsonb not null,
    resolved jsonb not null,
    message text not null default '',
    created_by uuid not null references users,
    created_at timestamptz not null default now(),
    unique (service_id, number)
);
alter table services add constraint services_revision foreign key (revision_id) references revisions deferrable initially deferred;

create table sessions (
    id uuid primary key,
    kind text not null check (kind in ('inference', 'validation', 'job')),
    project_id uuid not null references projects,
    service_id uuid references services,
    revision_id uuid references revisions,
    -- resolved spec of a session without a service (validation)
    resolved jsonb,
    resource_group slug not null references resource_groups,
    status text not null default 'pending' check (status in ('pending', 'placed', 'running', 'draining', 'stopping', 'ended')),
    health text not null default 'degraded' check (health in ('degraded', 'healthy', 'unhealthy')),
    was_healthy boolean not null default false,
    reason_code text not null default 'waiting-for-machine',
    reason_text text not null default 'waits for a machine',
    -- draining: no new requests after this; cut at the deadline. route_generation: the table that took it out of traffic.
    drain_deadline timestamptz,
    drain_generation bigint,
    rev bigint not null default 1,
    created_by uuid references users,
    created_at timestamptz not null default now(),
    placed_at timestamptz,
    ended_at timestamptz,
    check ((kind = 'inference') = (service_id is not null)),
    check (status <> 'ended' or ended_at is not null)
);
create index sessions_service on sessions (service_id) where status <> 'ended';
create index sessions_live on sessions (status) where status <> 'ended';

create table kernels (
    id uuid primary key,
    session_id uuid not null references sessions on delete cascade,
    rank integer not null default 0 check (rank >= 0),
    role text not null default 'main' check (role in ('main', 'sub')),
    agent_id slug references agents,
    state text check (state in ('preparing', 'running', 'exited', 'failed')),
    health text not null default 'degraded' check (health in ('degraded', 'healthy', 'unhealthy')),
    reason_code text not null default 'waiting-for-machine',
    reason_text text not null default '',
    host text,
    port integer check (port between 1 and 65535),
    exit_code integer,
    -- first generation of the machine's plan that no longer has this kernel
    left_generation bigint,
    started_at timestamptz,
    ended_at timestamptz,
    rev bigint not null default 1,
    created_at timestamptz not null default now()
);
create unique index kernels_live_rank on kernels (session_id, rank) where ended_at is null;
create index kernels_agent on kernels (agent_id) where ended_at is null;

-- What a kernel holds of a machine. Deleted when the kernel is surely gone: usage is the sum of these rows.
create table allocations (
    kernel_id uuid not null references kernels on delete cascade,
    agent_id slug not null references agents,
    slot text not null,
    -- '' for counted slots, the GPU's id for cuda.device and cuda.shares
    device text not null default '',
    amount numeric not null check (amount > 0),
    primary key (kernel_id, slot, device)
);
create index allocations_agent on allocations (agent_id);
create unique index allocations_whole_gpu on allocations (agent_id, device) where slot = 'cuda.device';

-- Whole and fractions never mixed on one GPU, shares on one GPU at most 1, counted slots within the machine's capacity.
-- Checked once per statement, over the machines that it touched.
create function check_allocations() returns trigger language plpgsql as $$
declare
    bad record;
begin
    -- one writer per machine at a time, so that the sums below are the truth
    -- (no key update: the foreign keys of other writers hold key share locks on the row)
    perform 1 from agents where id in (select agent_id from fresh) order by id for no key update;

    select a.agent_id, a.device, count(distinct a.slot) > 1 as mixed, sum(a.amount) as held into bad
    from allocations a
    where a.device <> '' and (a.agent_id, a.device) in (select f.agent_id, f.device from fresh f where f.device <> '')
    group by a.agent_id, a.device having count(distinct a.slot) > 1 or sum(a.amount) > 1 limit 1;
    if found and bad.mixed then
        raise exception 'GPU % of % is held whole and in fractions', bad.device, bad.agent_id using errcode = 'check_violation', constraint = 'allocations_never_mixed';
    elsif found then
        raise exception 'GPU % of % would be held % times', bad.device, bad.agent_id, bad.held using errcode = 'check_violation', constraint = 'allocations_within_gpu';
    end if;

    select sums.*, (m.slots ->> sums.slot)::numeric as capacity into bad
    from (
        select a.agent_id, a.slot, sum(a.amount) as held
        from allocations a
        where a.device = '' and (a.agent_id, a.slot) in (select f.agent_id, f.slot from fresh f where f.device = '')
        group by a.agent_id, a.slot
    ) sums join agents m on m.id = sums.agent_id
    where sums.held > coalesce((m.slots ->> sums.slot)::numeric, 0) limit 1;
    if found then
        raise exception 'machine % would hold % of %; it has %', bad.agent_id, bad.held, bad.slot, coalesce(bad.capacity, 0) using errcode = 'check_violation', constraint = 'allocations_within_machine';
    end if;
    return null;
end $$;
create trigger allocations_fit after insert on allocations
    referencing new table as fresh for each statement execute function check_allocations();
create trigger allocations_still_fit after update on allocations
    referencing new table as fresh for each statement execute function check_allocations();

create table signing_keys (
    kid text primary key,
    -- Ed25519; the private part is encrypted with the installation's secret key
    private_key bytea not null,
    public_key bytea not null check (length(public_key) = 32),
    created_at timestamptz not null default now(),
    retired_at timestamptz
);

create table tokens (
    id uuid primary key,
    service_id uuid not null references services,
    name text not null default '',
    created_by uuid not null references users,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    revoked_at timestamptz
);
create index tokens_service on tokens (service_id);

create table rules (
    id uuid primary key,
    service_id uuid not null references services,
    spec jsonb not null,
    created_by uuid not null references users,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);
create index rules_service on rules (service_id);

create table scale_decisions (
    id uuid primary key,
    service_id uuid not null references services,
    source text not null check (source in ('rule', 'user')),
    rule_id uuid,
    from_replicas integer not null,
    to_replicas integer not null,
    observed double precision,
    reason_code text not null,
    reason_text text not null,
    at timestamptz not null default now()
);
create index scale_decisions_service on scale_decisions (service_id, at desc);

-- Failed starts of replicas, kept until cleared.
create table start_errors (
    session_id uuid primary key references sessions on delete cascade,
    service_id uuid not null references services,
    reason_code text not null,
    reason_text text not null,
    at timestamptz not null default now()
);
create index start_errors_service on start_errors (service_id);

-- History and audit: who did what, when, from where.
create table events (
    id uuid primary key,
    at timestamptz not null default now(),
    actor text not null,
    source_address text not null default '',
    project_id uuid,
    service_id uuid,
    action text not null,
    message text not null default '',
    details jsonb not null default '{}'
);
create index events_service on events (service_id, id desc);
create index events_project on events (project_id, id desc);

-- What was last published per subject: the row is locked while the state is read, so generations follow the order of reads.
create table publications (
    subject text primary key,
    generation bigint not null,
    digest bytea not null,
    published_at timestamptz
);

-- Sessions with their newest main kernel, as people see them: once the kernel is seen it knows best why it is as it is, and
-- nobody vouches for what runs on a silent machine.
create view replicas as
select x.id, x.kind, x.service_id, x.revision_id, coalesce(r.number, 0) as revision, x.status,
       case when k.lost then 'unhealthy' else x.health end as health, x.was_healthy,
       case when k.lost then 'agent-lost' when k.shows then k.reason_code else x.reason_code end as reason_code,
       case when k.lost then k.agent_id || ' is silent; requests go there as long as it answers them'
            when k.shows then k.reason_text else x.reason_text end as reason_text,
       x.created_at, x.ended_at, k.id as kernel_id, k.agent_id, k.state as kernel_state, k.host, k.port
from sessions x
left join revisions r on r.id = x.revision_id
left join lateral (
    select m.id, m.agent_id, m.state, m.host, m.port, m.reason_code, m.reason_text,
           m.state is not null and x.status in ('placed', 'running') as shows, a.lost_at is not null and x.status <> 'ended' as lost
    from kernels m left join agents a on a.id = m.agent_id
    where m.session_id = x.id and m.role = 'main' order by m.created_at desc limit 1
) k on true;
