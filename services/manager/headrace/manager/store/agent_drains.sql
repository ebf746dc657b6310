-- name: start
-- Begins a drain; none when one is under way.
insert into agent_drains (id, agent_id, started_by, message) values ($1, $2, $3, $4)
on conflict (agent_id) where ended_at is null do nothing returning id

-- name: current
-- Drains that are under way, $1 at most.
select id, agent_id, started_at, started_by, message, moving, ended_at, outcome from agent_drains where ended_at is null order by id limit $1

-- name: newest
select id, agent_id, started_at, started_by, message, moving, ended_at, outcome from agent_drains
where agent_id = $1 order by started_at desc, id desc limit 1

-- name: turn
-- Compare-and-set of the services whose turn it is.
update agent_drains set moving = $3 where id = $1 and ended_at is null and moving = $2 returning id

-- name: finish
update agent_drains set ended_at = now(), outcome = $2, moving = '{}' where id = $1 and ended_at is null returning id

-- name: stop
-- Ends the drain of a machine that is under way, and returns the services whose turn it was.
update agent_drains d set ended_at = now(), outcome = $2, moving = '{}'
from (select id, moving from agent_drains where agent_id = $1 and ended_at is null for update) b where d.id = b.id returning b.moving

-- name: look_again
-- Makes the services loop look at these services: their rows count as changed.
with locked as (
    select id from services where id = any($1::uuid[]) and deleted_at is null order by id for no key update
)
update services s set rev = s.rev from locked where s.id = locked.id

-- name: machine
-- How many kernels hold slots of a machine, and for how long it has been silent if it is lost.
select (select count(distinct al.kernel_id) from allocations al where al.agent_id = a.id) as holding,
       case when a.lost_at is not null then extract(epoch from now() - a.last_seen_at)::double precision end as silent_s
from agents a where a.id = $1

-- name: here
-- What each service has on a machine ($1), and what stands in for it elsewhere.
with here as (
    select x.service_id, case when x.service_id is null then x.kind end as kind,
           count(*) filter (where x.status in ('placed', 'running')) as active,
           count(*) filter (where x.status in ('draining', 'stopping')) as leaving
    from kernels k join live_sessions x on x.id = k.session_id
    where k.agent_id = $1 and k.ended_at is null and k.role = 'main' group by 1, 2
)
select h.service_id, coalesce(p.name || '/' || s.name, h.kind, '') as name, h.active, h.leaving,
       coalesce(case when s.goal = 'running' then s.wanted end, 0) as wanted, coalesce(s.failed_starts, 0) as failed_starts,
       (select count(*) from serving_sessions v where v.service_id = h.service_id) as serving,
       o.starting, o.waiting_since, coalesce(o.waiting_reason, '') as waiting_reason
from here h left join services s on s.id = h.service_id left join projects p on p.id = s.project_id
left join lateral (
    select count(*) as starting, min(x.created_at) filter (where x.status = 'pending') as waiting_since,
           (array_agg(x.reason_text order by x.created_at) filter (where x.status = 'pending'))[1] as waiting_reason
    from active_sessions x where x.service_id = h.service_id and x.health <> 'healthy'
      and not exists (select 1 from kernels k where k.session_id = x.id and k.agent_id = $1 and k.ended_at is null)
) o on true
