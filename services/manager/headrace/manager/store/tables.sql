-- Rows from which plans, route tables and rule tables are built. $1: keys.

-- name: machines
-- Machines, and removed ones.
select id from (select id from agents union all select id from removed_agents) m where id > $1 order by id limit $2

-- name: removed
select id, removed_at, removed_by, reason, least(applied_generation, 1::bigint << 62) as applied_generation
from removed_agents r where id = any($1::text[]) and not exists (select 1 from agents a where a.id = r.id) order by id

-- name: planned
-- Machines, and on each the kernels of its planned sessions. unmarked: a kernel waits for mark_left; evaluated once per
-- machine, by its index (`offset 0` keeps the planner from starting with all sessions).
with a as materialized (
    -- a machine that was forgotten may have come back with a plan; whatever it says, there is a generation above it
    select a.id, a.plan_key, least(a.applied_generation, 1::bigint << 62) as applied_generation, exists (
        select 1 from (select session_id from kernels where agent_id = a.id and left_generation is null offset 0) l
        cross join lateral (select status from sessions where id = l.session_id offset 0) y
        where y.status in ('stopping', 'ended')) as unmarked
    from agents a where a.id = any($1::text[])
)
select a.id as agent_id, k.id as kernel_id, k.session_id, k.role, k.rank, x.service_id, x.revision_id, x.project_id, x.kind,
       coalesce(s.name, x.kind) as name, case when x.revision_id is null then x.resolved end as resolved,
       a.unmarked, a.applied_generation, a.plan_key,
       coalesce(g.devices, '{}') as devices, coalesce(g.shares, '{}') as shares,
       w.metrics as watched
from a
left join (kernels k join planned_sessions x on x.id = k.session_id)
    on k.agent_id = a.id and k.ended_at is null
left join services s on s.id = x.service_id
left join lateral (
    select array_agg(al.device order by al.device) as devices, array_agg(al.amount::text order by al.device) as shares
    from allocations al where al.kernel_id = k.id and al.device <> ''
) g on true
left join lateral (
    -- No row without an enabled rule; an empty list where rules look at kernels or the app-proxy only.
    select coalesce(jsonb_agg(distinct r.spec ->> 'metric') filter (where r.spec ->> 'source' = 'inference-framework'
        and r.spec ->> 'metric' not like 'headrace\_%'), '[]') as metrics
    from rules r where r.service_id = x.service_id and coalesce((r.spec ->> 'enabled')::boolean, true) having count(*) > 0
) w on true
order by a.id, k.id

-- name: resolved
select id, resolved from revisions where id = any($1::uuid[])

-- name: mark_left
-- Kernels missing in these generations of the plans ($1 machines, $2 generations). $3: kernels that any of the plans
-- has; a session may have begun to stop since it was read.
with locked as (
    select x.id from sessions x where x.status in ('stopping', 'ended') and x.id in (
        select k.session_id from kernels k where k.agent_id = any($1::text[]) and k.left_generation is null)
    order by x.id for update
)
update kernels k set left_generation = n.generation, rev = k.rev + 1 from locked x, unnest($1::text[], $2::bigint[]) as n(agent_id, generation)
where x.id = k.session_id and k.agent_id = n.agent_id and k.left_generation is null and not (k.id = any($3::uuid[]))

-- name: services
select s.id::text from services s where s.id > $1::uuid and (s.deleted_at is null or exists (
    select 1 from publications p where p.subject = 'route.' || s.id::text and p.generation > 0)) order by s.id limit $2

-- name: routed
-- Services, and their replicas that have an address, also on a silent machine: one may serve all the same, and the
-- services loop retires it once others serve. Deleted services for as long as their removal is kept.
select s.id as service_id, s.name, s.project_id, (select p.name from projects p where p.id = s.project_id) as project,
       s.open_to_public, s.goal, s.wanted, s.endpoint_port, s.deleted_at is not null as removed,
       -- a revision that served before is looked after while the current one does not start
       s.goal = 'running' and s.failed_starts >= $2 and coalesce(s.served_revision_id, s.revision_id) = s.revision_id as gave_up, s.balance, s.limits, s.caller_limits, s.models, s.cors,
       exists (select 1 from sessions x where x.service_id = s.id and x.status = 'draining' and x.drain_generation is null) as unmarked,
       coalesce((select jsonb_agg(jsonb_build_object('session_id', x.id, 'revision_id', x.revision_id, 'host', k.host, 'port', k.port,
                    'health', x.health, 'weight', x.weight, 'state', case x.status when 'draining' then 'draining' else 'active' end,
                    'drain_until', case x.status when 'draining' then x.drain_deadline end) order by x.id)
           from sessions x join kernels k on k.session_id = x.id and k.role = 'main' and k.ended_at is null
           where x.service_id = s.id and x.status in ('running', 'draining') and k.state = 'running' and k.port is not null and k.host is not null), '[]') as routes,
       coalesce((select jsonb_agg(jsonb_build_object('token_id', t.id, 'expires_at', t.expires_at) order by t.id)
           from tokens t where (t.service_id = s.id or t.project_id = s.project_id) and t.revoked_at is not null and t.expires_at > now()), '[]') as revocations,
       coalesce((select jsonb_agg(jsonb_build_object('token_id', t.id, 'limits', t.limits, 'share', t.share) order by t.id)
           from tokens t where (t.service_id = s.id or t.project_id = s.project_id) and (t.limits <> '{}' or t.share <> 1 or t.limits_changed)
             and t.revoked_at is null and t.expires_at > now()), '[]') as token_limits,
       coalesce((select jsonb_agg(jsonb_build_object('client_id', c.id, 'name', c.name, 'secret_sha256', c.secret_sha256,
                    'limits', c.limits, 'share', c.share) order by c.id)
           from clients c where c.service_id = s.id and c.revoked_at is null), '[]') as clients
from services s
where s.id = any($1::uuid[]) and (s.deleted_at is null or exists (
    select 1 from publications p where p.subject = 'route.' || s.id::text and p.generation > 0))
order by s.id

-- name: signing_keys
select kid, public_key from signing_keys order by created_at

-- name: mark_drained_from
-- First generation ($1 services, $2 generations) that announces the drain of sessions to the app-proxies. $3: sessions
-- active in these tables; one of them may have begun to drain since the table was read.
with locked as (
    select x.id, x.service_id from sessions x
    where x.service_id = any($1::uuid[]) and x.status = 'draining' and x.drain_generation is null and not (x.id = any($3::uuid[]))
    order by x.id for update
)
update sessions x set drain_generation = n.generation, rev = x.rev + 1
from locked l, unnest($1::uuid[], $2::bigint[]) as n(service_id, generation) where x.id = l.id and l.service_id = n.service_id

-- name: ruled_services
select s.id::text from services s where s.id > $1::uuid and (
    exists (select 1 from publications p where p.subject = 'rules.' || s.id::text and p.generation > 0)
    or s.deleted_at is null and exists (select 1 from rules r where r.service_id = s.id)) order by s.id limit $2

-- name: ruled
-- Services with rules, and those that had some and need a tombstone.
select s.id as service_id, s.goal, s.wanted, s.deleted_at is not null as removed, false as unmarked,
       coalesce((select jsonb_agg(jsonb_build_object('rule_id', r.id, 'spec', r.spec) order by r.id) from rules r where r.service_id = s.id), '[]') as rules,
       coalesce((select jsonb_agg(jsonb_build_object('session_id', x.id,
                    'kernel_ids', h.kernel_ids, 'agent_ids', h.agent_ids) order by x.id)
           from serving_sessions x cross join lateral (
               select jsonb_agg(k.id order by k.rank) as kernel_ids, jsonb_agg(k.agent_id order by k.rank) as agent_ids
               from kernels k where k.session_id = x.id and k.ended_at is null) h
           where x.service_id = s.id), '[]') as replicas
from services s
where s.id = any($1::uuid[]) and (
    exists (select 1 from publications p where p.subject = 'rules.' || s.id::text and p.generation > 0)
    or s.deleted_at is null and exists (select 1 from rules r where r.service_id = s.id))
order by s.id

-- name: unknown
-- Those of these services that are unknown (any more) although a table of theirs ($2: 'route.') is published: it has to
-- be removed.
select k.id as service_id, false as unmarked from unnest($1::uuid[]) as k(id)
where not exists (select 1 from services s where s.id = k.id)
  and exists (select 1 from publications p where p.subject = $2 || k.id::text and p.generation > 0) order by k.id
