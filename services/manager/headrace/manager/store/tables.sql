-- What the three published kinds of tables are made of. $1: only these (null: all).

-- name: planned
-- Machines, and on each the kernels whose session is to run there. unmarked: a kernel waits for mark_left.
with unmarked as (
    select distinct k.agent_id from kernels k join sessions x on x.id = k.session_id
    where k.left_generation is null and k.agent_id is not null and x.status in ('stopping', 'ended')
)
select a.id as agent_id, exists (select 1 from unmarked u where u.agent_id = a.id) as unmarked, k.id as kernel_id, k.session_id, k.role, k.rank, x.service_id, x.revision_id, x.project_id, x.kind,
       coalesce(s.name, x.kind) as name, coalesce(r.resolved, x.resolved) as resolved,
       coalesce((select jsonb_agg(jsonb_build_array(al.device, al.amount::text) order by al.device)
                 from allocations al where al.kernel_id = k.id and al.device <> ''), '[]') as gpus
from agents a
left join (kernels k join sessions x on x.id = k.session_id and x.status in ('placed', 'running', 'draining'))
    on k.agent_id = a.id and k.ended_at is null
left join services s on s.id = x.service_id
left join revisions r on r.id = x.revision_id
where $1::text[] is null or a.id = any($1)
order by a.id, k.id

-- name: mark_left
-- Kernels that this generation of the plan no longer has. $3: those that it has; a session may have begun to stop since it was read.
update kernels k set left_generation = $2, rev = k.rev + 1 from sessions x
where x.id = k.session_id and k.agent_id = $1 and k.left_generation is null and x.status in ('stopping', 'ended')
  and not (k.id = any($3::uuid[]))

-- name: routed
-- Services, and those of their replicas that have an address, also on a silent machine: it may serve all the same, and the
-- services loop takes it away once others serve. Deleted ones until their tombstone is surely published:
-- for an hour after the table last changed, and however long ago that was if the tombstone is not made yet.
select s.id as service_id, s.name, s.project_id, s.open_to_public, s.goal, s.wanted, s.endpoint_port, s.deleted_at is not null as removed,
       s.balance, s.limits, s.caller_limits, s.models,
       exists (select 1 from sessions x where x.service_id = s.id and x.status = 'draining' and x.drain_generation is null) as unmarked,
       coalesce((select jsonb_agg(jsonb_build_object('session_id', x.id, 'revision_id', x.revision_id, 'host', k.host, 'port', k.port,
                    'health', x.health, 'weight', x.weight, 'state', case x.status when 'draining' then 'draining' else 'active' end,
                    'drain_until', case x.status when 'draining' then x.drain_deadline end) order by x.id)
           from sessions x join kernels k on k.session_id = x.id and k.role = 'main' and k.ended_at is null
           where x.service_id = s.id and x.status in ('running', 'draining') and k.state = 'running' and k.port is not null), '[]') as routes,
       coalesce((select jsonb_agg(jsonb_build_object('token_id', t.id, 'expires_at', t.expires_at) order by t.id)
           from tokens t where (t.service_id = s.id or t.project_id = s.project_id) and t.revoked_at is not null and t.expires_at > now()), '[]') as revocations,
       coalesce((select jsonb_agg(jsonb_build_object('token_id', t.id, 'limits', t.limits, 'share', t.share) order by t.id)
           from tokens t where (t.service_id = s.id or t.project_id = s.project_id) and (t.limits <> '{}' or t.share <> 1)
             and t.revoked_at is null and t.expires_at > now()), '[]') as token_limits,
       coalesce((select jsonb_agg(jsonb_build_object('client_id', c.id, 'name', c.name, 'secret_sha256', c.secret_sha256,
                    'limits', c.limits, 'share', c.share) order by c.id)
           from clients c where c.service_id = s.id and c.revoked_at is null), '[]') as clients
from services s
where ($1::uuid[] is null or s.id = any($1)) and (s.deleted_at is null or exists (
    select 1 from publications p where p.subject = 'route.' || s.id::text and p.generation > 0
      and (p.published_at < s.deleted_at or p.published_at > now() - interval '1 hour')))
order by s.id

-- name: signing_keys
select kid, public_key from signing_keys order by created_at

-- name: mark_drained_from
-- The table of this generation tells the app-proxies that these sessions drain. $3: those that are active in it; one of them
-- may have begun to drain since the table was read.
update sessions set drain_generation = $2, rev = rev + 1
where service_id = $1 and status = 'draining' and drain_generation is null and not (id = any($3::uuid[]))

-- name: ruled
-- Services with rules, and those that had some and need a tombstone.
select s.id as service_id, s.goal, s.wanted, s.deleted_at is not null as removed, false as unmarked,
       coalesce((select jsonb_agg(jsonb_build_object('rule_id', r.id, 'spec', r.spec) order by r.id) from rules r where r.service_id = s.id), '[]') as rules,
       coalesce((select jsonb_agg(jsonb_build_object('session_id', x.id,
                    'kernel_ids', (select jsonb_agg(k.id order by k.rank) from kernels k where k.session_id = x.id and k.ended_at is null)) order by x.id)
           from sessions x where x.service_id = s.id and x.status = 'running' and x.health = 'healthy'
             and exists (select 1 from kernels k join agents a on a.id = k.agent_id
                         where k.session_id = x.id and k.ended_at is null and k.state = 'running' and a.lost_at is null)), '[]') as replicas
from services s
where ($1::uuid[] is null or s.id = any($1)) and (s.deleted_at is null or exists (
    select 1 from publications p where p.subject = 'rules.' || s.id::text and p.generation > 0
      and (p.published_at < s.deleted_at or p.published_at > now() - interval '1 hour')))
  and (exists (select 1 from rules r where r.service_id = s.id)
       or exists (select 1 from publications p where p.subject = 'rules.' || s.id::text and p.generation > 0))
order by s.id
