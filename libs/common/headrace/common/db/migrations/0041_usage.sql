-- Usage of callers and of machines. Nothing refers to another row: usage outlives what used.

-- What app-proxies counted, by hour (UTC); older hours are summed up to days, as that of their midnight. The nil UUID stands where
-- there is none: a refused request has no revision, a caller without a credential no id.
create table request_usage (
    at timestamptz not null,
    service_id uuid not null,
    revision_id uuid not null,
    caller text not null check (caller in ('token', 'client', 'public', 'other')),
    caller_id uuid not null,
    project_id uuid,
    -- who made the token or client
    user_id uuid,
    requests bigint not null,
    errors bigint not null,
    refused bigint not null,
    prompt_tokens bigint not null,
    completion_tokens bigint not null,
    estimated_tokens bigint not null,
    audio_ms bigint not null,
    last_at timestamptz not null,
    primary key (at, service_id, revision_id, caller, caller_id)
) with (fillfactor = 70);
create index request_usage_project on request_usage (project_id, at);
create index request_usage_service on request_usage (service_id, at);
-- when a token or client called a service last
create index request_usage_caller on request_usage (caller_id, service_id, at desc) where caller in ('token', 'client');
create index request_usage_hours on request_usage (at) where extract(hour from at at time zone 'UTC') <> 0;

-- The last batch of each process of an app-proxy: one that is sent again is known by its number.
create table usage_writers (
    proxy_id slug not null,
    writer uuid not null,
    sequence bigint not null,
    at timestamptz not null default now(),
    primary key (proxy_id, writer)
);
create index usage_writers_at on usage_writers (at);

-- When a kernel got its slots: usage is counted from then on. Older rows have none, and count from the placement.
alter table allocations add column held_since timestamptz;
alter table allocations alter column held_since set default now();

-- What a kernel held of a machine, and how long, kept when its allocations are freed. GPUs: whole ones and fractions.
create table replica_usage (
    kernel_id uuid primary key,
    project_id uuid not null,
    service_id uuid,
    revision_id uuid,
    -- who made the service
    user_id uuid,
    gpus numeric not null,
    cpus numeric not null,
    memory_bytes numeric not null,
    from_at timestamptz not null,
    until_at timestamptz not null
);
create index replica_usage_project on replica_usage (project_id, until_at);
create index replica_usage_until on replica_usage (until_at);

-- Here, not in the managers: whatever frees slots is counted, once, in its transaction, also what a manager of the version before frees.
create function keep_replica_usage() returns trigger language plpgsql as $$
begin
    if not exists (select 1 from gone) then
        return null;
    end if;
    insert into replica_usage (kernel_id, project_id, service_id, revision_id, user_id, gpus, cpus, memory_bytes, from_at, until_at)
    select k.id, x.project_id, x.service_id, x.revision_id, x.created_by,
           coalesce(sum(g.amount) filter (where g.slot in ('cuda.device', 'cuda.shares')), 0),
           coalesce(sum(g.amount) filter (where g.slot = 'cpu'), 0),
           coalesce(sum(g.amount) filter (where g.slot = 'mem'), 0),
           min(coalesce(g.held_since, x.placed_at, k.created_at)), least(now(), coalesce(k.ended_at, now()))
    from gone g join kernels k on k.id = g.kernel_id join sessions x on x.id = k.session_id
    group by k.id, x.id order by k.id
    on conflict (kernel_id) do update set gpus = replica_usage.gpus + excluded.gpus, cpus = replica_usage.cpus + excluded.cpus,
        memory_bytes = replica_usage.memory_bytes + excluded.memory_bytes;
    return null;
end $$;
create trigger allocations_counted after delete on allocations
    referencing old table as gone for each statement execute function keep_replica_usage();

-- Ended and present holdings of slots. A kernel on a machine that was lost holds its slots on, but nobody pays for it any more.
create view slot_usage as
select kernel_id, project_id, service_id, revision_id, user_id, gpus, cpus, memory_bytes, from_at, until_at from replica_usage
union all
select k.id, x.project_id, x.service_id, x.revision_id, x.created_by,
       coalesce(sum(a.amount) filter (where a.slot in ('cuda.device', 'cuda.shares')), 0),
       coalesce(sum(a.amount) filter (where a.slot = 'cpu'), 0),
       coalesce(sum(a.amount) filter (where a.slot = 'mem'), 0),
       min(coalesce(a.held_since, x.placed_at, k.created_at)), least(now(), coalesce(k.ended_at, now()))
from allocations a join kernels k on k.id = a.kernel_id join sessions x on x.id = k.session_id
group by k.id, x.id;

-- Last names of what is gone, for as long as usage of it is kept.
create table gone_names (
    id uuid primary key,
    name text not null,
    at timestamptz not null default now()
);
create index gone_names_at on gone_names (at);
create function keep_name() returns trigger language plpgsql as $$
begin
    insert into gone_names (id, name) values (old.id, to_jsonb(old) ->> tg_argv[0]) on conflict do nothing;
    return null;
end $$;
create trigger services_named after delete on services for each row execute function keep_name('name');
create trigger revisions_named after delete on revisions for each row execute function keep_name('number');
create trigger tokens_named after delete on tokens for each row execute function keep_name('name');
create trigger clients_named after delete on clients for each row execute function keep_name('name');
create trigger users_named after delete on users for each row execute function keep_name('name');
