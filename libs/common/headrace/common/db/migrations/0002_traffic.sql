-- How a service's requests are spread, queued, bounded and named; weights of replicas; receipts of drains.

-- Only what differs from the defaults, which are the code's: {"policy": "prefix"}.
alter table services
    add column balance jsonb not null default '{}',
    add column limits jsonb not null default '{}',
    add column caller_limits jsonb not null default '{}',
    -- names beside its own under which the fleet's base URL finds it
    add column models text[] not null default '{}';

alter table sessions add column weight integer not null default 100 check (weight between 0 and 10000);

create or replace view replicas as
select x.id, x.kind, x.service_id, x.revision_id, coalesce(r.number, 0) as revision, x.status,
       case when k.lost then 'unhealthy' else x.health end as health, x.was_healthy,
       case when k.lost then 'agent-lost' when k.shows then k.reason_code else x.reason_code end as reason_code,
       case when k.lost then k.agent_id || ' is silent; requests go there as long as it answers them'
            when k.shows then k.reason_text else x.reason_text end as reason_text,
       x.created_at, x.ended_at, k.id as kernel_id, k.agent_id, k.state as kernel_state, k.host, k.port, x.weight
from sessions x
left join revisions r on r.id = x.revision_id
left join lateral (
    select m.id, m.agent_id, m.state, m.host, m.port, m.reason_code, m.reason_text,
           m.state is not null and x.status in ('placed', 'running') as shows, a.lost_at is not null and x.status <> 'ended' as lost
    from kernels m left join agents a on a.id = m.agent_id
    where m.session_id = x.id and m.role = 'main' order by m.created_at desc limit 1
) k on true;

-- What the fleet's base URL finds living services by: their own names and their models. The key is the invariant: a name
-- leads to one service. Kept by the trigger, for whoever writes services.
create table fleet_names (
    name text primary key,
    service_id uuid not null references services
);
create index fleet_names_service on fleet_names (service_id);

create function keep_fleet_names() returns trigger language plpgsql as $$
declare
    wanted text[] := case when new.deleted_at is null then new.models || new.name::text else '{}' end;
begin
    delete from fleet_names where service_id = new.id and not (name = any(wanted));
    insert into fleet_names (name, service_id)
    select distinct w, new.id from unnest(wanted) w
    where not exists (select 1 from fleet_names f where f.name = w and f.service_id = new.id) order by 1;
    return null;
end $$;
create trigger services_fleet_names after insert or update of name, models, deleted_at on services
    for each row execute function keep_fleet_names();
insert into fleet_names (name, service_id) select name, id from services where deleted_at is null;

-- What became of the requests of replicas that left. Outlives the session.
create table drain_receipts (
    session_id uuid primary key,
    service_id uuid not null references services,
    revision integer not null,
    -- the revision whose rollout it made way for
    replaced_by integer,
    reason_code text not null,
    reason_text text not null,
    began_at timestamptz not null default now(),
    ended_at timestamptz,
    -- the drain has ended, and all app-proxies that a manager heard of since are in `shares`
    counted boolean not null default false,
    -- app-proxy → {"in_flight": 0, "started": 3, …}; in_flight null: heard of, but it has not told its part
    shares jsonb not null default '{}',
    check (not counted or ended_at is not null)
);
create index drain_receipts_service on drain_receipts (service_id, began_at desc, session_id desc);
create index drain_receipts_ended on drain_receipts (ended_at);
