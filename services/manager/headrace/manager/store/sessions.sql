-- name: insert
insert into sessions (id, kind, project_id, service_id, revision_id, resolved, resource_group, created_by)
values ($1, $2, $3, $4, $5, $6, $7, $8)

-- name: insert_kernel
insert into kernels (id, session_id) values ($1, $2)

-- name: insert_many
-- Sessions of services, each with its main kernel: $1 sessions, $2 kernels, then a service, revision, project, resource
-- group (of revisions that name none) and user for each, and whether it gets no requests for now.
with made as (
    insert into sessions (id, kind, project_id, service_id, revision_id, resource_group, created_by, idle, weight)
    select n.id, 'inference', n.project_id, n.service_id, n.revision_id, coalesce(r.resolved ->> 'resource_group', n.resource_group),
           n.created_by, n.idle, case when n.idle then 0 else 100 end
    from unnest($1::uuid[], $3::uuid[], $4::uuid[], $5::uuid[], $6::text[], $7::uuid[], $8::boolean[])
        as n(id, service_id, revision_id, project_id, resource_group, created_by, idle)
    join revisions r on r.id = n.revision_id
)
insert into kernels (id, session_id) select n.id, n.session_id from unnest($2::uuid[], $1::uuid[]) as n(id, session_id)

-- name: lowest
-- Lowest change mark (transaction id) that the reader's snapshot may lack.
select pg_snapshot_xmin(pg_current_snapshot())::text::bigint

-- name: changed
-- Services changed since mark $1, with the newest mark of each. (Marks in the future: a restored copy.)
select service_id, max(mark::text::bigint) as mark from (
    select s.id as service_id, s.changed as mark from services s
    where s.changed >= $1::bigint::text::xid8 and s.changed < pg_snapshot_xmax(pg_current_snapshot())
    union all
    select x.service_id, x.changed from sessions x
    where x.changed >= $1::bigint::text::xid8 and x.changed < pg_snapshot_xmax(pg_current_snapshot()) and x.service_id is not null
    union all
    select x.service_id, a.changed from agents a
    join kernels k on k.agent_id = a.id and k.ended_at is null join sessions x on x.id = k.session_id
    where a.changed >= $1::bigint::text::xid8 and a.changed < pg_snapshot_xmax(pg_current_snapshot()) and x.service_id is not null
) news group by service_id

-- name: next_ids
-- The next services by id.
select id from services where deleted_at is null and id > $1 order by id limit $2

-- name: count_by_status
-- By the index of live sessions, whatever the planner estimates of how many have ended.
select s.status, (select count(*) from live_sessions x where x.status = s.status) as sessions from unnest($1::text[]) as s(status)

-- name: services
-- Those of these services that exist.
select s.id, s.goal, s.wanted, s.revision_id, s.drain_grace_s, s.failed_starts, s.next_start_at, s.problem, s.rev, s.project_id, s.resource_group,
       s.created_by, s.last_failed_at,
       s.served_revision_id, s.rollout, s.ends, s.ends_held, s.next_restart_at, s.last_end_at,
       ro.began_at as rollout_began_at, ro.step as rollout_step, ro.step_at as rollout_step_at, ro.paused_replicas as rollout_paused_replicas,
       ro.paused_by as rollout_paused_by, ro.failed_code as rollout_failed_code, ro.failed_text as rollout_failed_text, ro.failed_at as rollout_failed_at
from unnest($1::uuid[]) as w(id) cross join lateral (select * from services where id = w.id offset 0) s
left join lateral (select * from rollouts where revision_id = s.revision_id offset 0) ro on true
where s.deleted_at is null

-- name: live
-- Live sessions of these services with their main kernel; a kernel on a lost machine makes its session lost. One
-- service, session and machine after the other, by index (`offset 0` keeps the planner from joining otherwise): the
-- cost is proportional to the result, also without statistics.
select x.id, x.kind, x.service_id, x.revision_id, x.status, x.health, x.was_healthy, x.reason_code, x.reason_text, x.created_at, x.placed_at,
       x.drain_deadline, x.drain_generation, x.rev, x.resolved, k.state as kernel_state, k.reason_code as kernel_code, k.reason_text as kernel_text,
       x.healthy_at, coalesce(k.failures, 0) as failures,
       coalesce(a.lost_at is not null, false) as lost, d.moving is not null as moving, x.replace_asked_at, x.idle
from unnest($1::uuid[]) as w(id)
cross join lateral (select * from live_sessions where service_id = w.id offset 0) x
left join lateral (select * from kernels where session_id = x.id and role = 'main' and ended_at is null offset 0) k on true
left join lateral (select lost_at from agents where id = k.agent_id offset 0) a on true
left join lateral (
    select moving from agent_drains where agent_id = k.agent_id and ended_at is null and x.service_id = any(moving) offset 0) d on true
order by x.id

-- name: live_without_service
-- The same for sessions without a service.
select x.id, x.kind, x.service_id, x.revision_id, x.status, x.health, x.was_healthy, x.reason_code, x.reason_text, x.created_at, x.placed_at,
       x.drain_deadline, x.drain_generation, x.rev, x.resolved, k.state as kernel_state, k.reason_code as kernel_code, k.reason_text as kernel_text,
       x.healthy_at, coalesce(k.failures, 0) as failures,
       coalesce(a.lost_at is not null, false) as lost, false as moving, x.replace_asked_at, x.idle
from (select * from live_sessions where service_id is null order by id limit $1) x
left join lateral (select * from kernels where session_id = x.id and role = 'main' and ended_at is null offset 0) k on true
left join lateral (select lost_at from agents where id = k.agent_id offset 0) a on true
order by x.id

-- name: leave
-- Compare-and-set by rev. The end of a session ends its kernels.
with moved as (
    update live_sessions set status = $3, reason_code = $4, reason_text = $5, rev = rev + 1,
        drain_deadline = case when $3 = 'draining' then $6 else drain_deadline end,
        ended_at = case when $3 = 'ended' then now() end
    where id = $1 and rev = $2 returning id
), ended as (
    update kernels set ended_at = now() from moved where session_id = moved.id and $3 = 'ended' and ended_at is null
)
select id from moved

-- name: set_problem
update services set problem = $2 where id = $1 and problem is distinct from $2

-- name: served
update services set served_revision_id = $2, rev = rev + 1 where id = $1

-- name: roll_back
-- The revision that served becomes the current one again; errors of the failed rollout stay until they are cleared.
update services s set revision_id = $2, resource_group = coalesce(new.resolved ->> 'resource_group', s.resource_group),
    failed_starts = 0, next_start_at = null, rev = s.rev + 1, updated_at = now()
from revisions old, revisions new where s.id = $1 and old.id = s.revision_id and new.id = $2
returning old.number as from_revision, new.number as revision

-- name: held_by
-- Allocations of these sessions, with their machine in the form of `machines`.
select k.session_id, a.id, a.resource_group, a.architecture, a.machine, a.slots, a.cordoned_at, a.cordoned_by, a.cordon_reason,
       coalesce((select jsonb_agg(jsonb_build_array(slot, device, amount::text)) from allocations al
                 where al.agent_id = a.id and al.kernel_id <> k.id), '[]') as held
from kernels k join agents a on a.id = k.agent_id
where k.session_id = any($1::uuid[]) and k.ended_at is null and k.role = 'main' and a.lost_at is null

-- name: request
select x.id, x.resource_group, r.resolved, x.created_at from sessions x join revisions r on r.id = x.revision_id where x.id = $1

-- name: lock_services
select id, rev from services where id = any($1::uuid[]) and deleted_at is null order by id for no key update

-- name: lock_live
-- Sessions are always locked in this order, and before their kernels.
select service_id, id, rev from live_sessions where service_id = any($1::uuid[]) order by id for update

-- name: lock_session
select rev, status from sessions where id = $1 for update

-- name: finish_stopped
-- A stopping session ends when all its kernels are gone for certain: never placed, or its machine applied the plan
-- without them and does not report them.
with gone as (
    select x.id from sessions x
    where x.status = 'stopping' and not exists (
        select 1 from kernels k join agents a on a.id = k.agent_id
        where k.session_id = x.id and k.ended_at is null
          and (k.left_generation is null or a.applied_generation < k.left_generation
               or a.kernels @> jsonb_build_array(jsonb_build_object('kernel_id', k.id::text)))
        offset 0)
), ended as (
    update sessions x set status = 'ended', ended_at = now(), rev = x.rev + 1 from gone where x.id = gone.id returning x.id
), kernels_ended as (
    update kernels k set ended_at = now() from ended where k.session_id = ended.id and k.ended_at is null
)
select id from ended

-- name: free_allocations
-- Slots of an ended kernel are free once its machine does not report it any more. A lost machine keeps them: the kernel
-- may still run there.
delete from allocations al using kernels k, agents a
where k.id = al.kernel_id and a.id = al.agent_id and k.ended_at is not null
  and k.left_generation is not null and a.applied_generation >= k.left_generation and a.lost_at is null
  and not (a.kernels @> jsonb_build_array(jsonb_build_object('kernel_id', k.id::text)))
returning al.kernel_id

-- name: finish_deletions
update services s set deleted_at = now(), rev = s.rev + 1
where s.goal = 'deleting' and s.deleted_at is null and not exists (select 1 from live_sessions x where x.service_id = s.id)
returning s.id

-- name: pending
select x.id, x.resource_group, coalesce(r.resolved, x.resolved) as resolved, x.created_at, x.rev, x.reason_text,
       octet_length(coalesce(r.resolved, x.resolved)::text) + coalesce((coalesce(r.resolved, x.resolved) ->> 'secret_bytes')::integer, 0) as bytes,
       (select g.project_ids is null or x.project_id = any(g.project_ids) from resource_groups g where g.name = x.resource_group) as group_allowed
from (
  -- In turns, of projects and in them of services: what one asks for beyond all machines must not fill the limit for good.
  select t.*, row_number() over (partition by t.project_id order by t.turn, t.id) as project_turn
  from (select p.*, row_number() over (partition by coalesce(p.service_id, p.id) order by p.id) as turn from sessions p where p.status = 'pending') t
  order by project_turn, t.id limit $1
) x left join revisions r on r.id = x.revision_id order by x.id

-- name: machines
-- held: [slot, device, amount, whether its session ends by itself]. plan_bytes: the size of the published plan, and of
-- what was placed since, each with a spec of its own; $1: size of a kernel beside its spec.
with placed as (
    select k.agent_id, sum(octet_length(coalesce(r.resolved, x.resolved)::text) + coalesce((coalesce(r.resolved, x.resolved) ->> 'secret_bytes')::integer, 0) + $1) as bytes
    from sessions x join kernels k on k.session_id = x.id and k.ended_at is null left join revisions r on r.id = x.revision_id
    where x.status = 'placed' group by k.agent_id
)
select a.id, a.resource_group, a.architecture, a.machine, a.slots, a.plan_key, a.address_problem is not null as address_refused,
       a.cordoned_at, a.cordoned_by, a.cordon_reason,
       coalesce((select p.bytes from publications p where p.subject = 'plan.agent.' || a.id::text), 0)
           + coalesce((select bytes from placed where placed.agent_id = a.id), 0) as plan_bytes,
       coalesce((select jsonb_agg(jsonb_build_array(al.slot, al.device, al.amount::text, x.status in ('draining', 'stopping', 'ended') or x.kind = 'validation'))
                 from allocations al join kernels k on k.id = al.kernel_id join sessions x on x.id = k.session_id
                 where al.agent_id = a.id), '[]') as held
from agents a where a.lost_at is null order by a.id

-- name: place
-- Binds sessions to machines, with their allocations. $1: a list of {session_id, rev, agent_id, held: [[slot, device,
-- amount], …]}. Sessions that changed since they were read, or whose machine was lost, cordoned or removed since, are
-- skipped: machines are locked first, as a report locks them, so that none of that happens meanwhile. Rows are ordered by
-- machine: one order of locks.
with wanted as (
    select * from jsonb_to_recordset($1::jsonb) as w (session_id uuid, rev bigint, agent_id text, held jsonb)
), machines as materialized (
    select a.id from agents a
    where a.id in (select agent_id from wanted) and a.lost_at is null and a.cordoned_at is null
    order by a.id for no key update
), locked as (
    select x.id, w.agent_id, w.held
    from sessions x join wanted w on w.session_id = x.id
    where x.rev = w.rev and x.status = 'pending' and w.agent_id in (select id from machines)
    order by x.id for update of x
), placed as (
    update sessions x set status = 'placed', placed_at = now(), rev = x.rev + 1, reason_code = 'placed',
        reason_text = 'placed on ' || l.agent_id
    from locked l where x.id = l.id returning x.id
), assigned as (
    update kernels k set agent_id = l.agent_id, rev = k.rev + 1
    from locked l where k.session_id = l.id and k.ended_at is null and k.role = 'main'
    returning k.id, l.agent_id, l.held
), held as (
    insert into allocations (kernel_id, agent_id, slot, device, amount)
    select a.id, a.agent_id, h ->> 0, h ->> 1, (h ->> 2)::numeric
    from assigned a, jsonb_array_elements(a.held) h order by a.agent_id, a.id
)
select id from placed

-- name: set_wait_reasons
-- Why sessions wait; $1: a list of {session_id, rev, code, text}.
update sessions x set reason_code = w.code, reason_text = w.text
from jsonb_to_recordset($1::jsonb) as w (session_id uuid, rev bigint, code text, text text)
where x.id = w.session_id and x.rev = w.rev and x.status = 'pending'
