-- name: seen
-- Stores what was heard ($1: a list), in one order, so that managers do not wait for each other in a circle. What is older than
-- what is known changes nothing.
insert into service_instances as i (kind, name, version, host, address, started_at, last_seen_at, stopped, ready, checks, checks_since, facts)
select r.kind, r.name, r.version, r.host, r.address, r.started_at, r.at, r.stopped, r.ready, r.checks, r.at, r.facts
from (
    select t.*, now() - make_interval(secs => t.age_s) as at
    from jsonb_to_recordset($1::jsonb) as t (
        kind text, name text, version text, host text, address text, started_at timestamptz, age_s double precision,
        stopped boolean, ready boolean, checks jsonb, facts jsonb)
) r order by r.kind, r.name
on conflict (kind, name) do update set
    version = excluded.version, host = excluded.host, address = excluded.address, started_at = excluded.started_at,
    last_seen_at = excluded.last_seen_at, stopped = excluded.stopped, ready = excluded.ready, checks = excluded.checks,
    facts = excluded.facts,
    checks_since = case
        when i.started_at is not distinct from excluded.started_at and i.ready = excluded.ready
             and array(select jsonb_object_keys(i.checks) order by 1) = array(select jsonb_object_keys(excluded.checks) order by 1)
        then i.checks_since else excluded.last_seen_at end
where i.last_seen_at <= excluded.last_seen_at

-- name: forget
-- Rows older than $1, and those beyond the newest $2.
delete from service_instances i where i.last_seen_at < now() - $1::interval
   or (i.kind, i.name) in (select n.kind, n.name from service_instances n order by n.last_seen_at desc, n.kind, n.name offset $2)

-- name: all
select kind, name, version, host, address, started_at, last_seen_at, stopped, ready, checks, checks_since, facts
from service_instances order by kind, name limit $1

-- name: machines
-- Machines, those in trouble first, at most $1, each with how many there are and how many of them are lost.
select a.id::text as id, a.machine ->> 'version' as version, a.machine ->> 'hostname' as host, a.machine ->> 'address' as address,
       a.last_seen_at, a.lost_at, a.address_problem, p.problem as plan_problem, a.cordoned_at is not null as cordoned,
       a.machine -> 'disk' as disk, a.machine -> 'engine_disk' as engine_disk, a.machine -> 'instance' as instance,
       count(*) over () as total, count(a.lost_at) over () as lost
from agents a left join publications p on p.subject = 'plan.agent.' || a.id
order by (a.lost_at is not null or a.address_problem is not null or p.problem is not null
          or coalesce(a.machine -> 'instance' -> 'checks', '{}') <> '{}'
          or coalesce((a.machine -> 'disk' ->> 'free_bytes')::numeric < (a.machine -> 'disk' ->> 'reserve_bytes')::numeric, false)
          or coalesce((a.machine -> 'engine_disk' ->> 'free_bytes')::numeric < (a.machine -> 'engine_disk' ->> 'reserve_bytes')::numeric, false)
         ) desc, a.id limit $1

-- name: database
select now() as now, current_setting('server_version') as version, pg_is_in_recovery() as recovering,
       coalesce(host(inet_server_addr()) || ':' || inet_server_port(), 'its socket') as address,
       pg_postmaster_start_time() as started_at, pg_database_size(current_database()) as size_bytes,
       (select count(*) from pg_stat_replication) as standbys, (select count(*) from pg_stat_activity where datname = current_database()) as connections,
       current_setting('max_connections')::integer as max_connections

-- name: ping
select 1
