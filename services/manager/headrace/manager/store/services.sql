-- name: create
-- Inserts a service with its first revision and its history event, in one round trip.
with made as (
    insert into services (id, project_id, name, description, wanted, open_to_public, resource_group, revision_id, metadata, tags,
                          drain_grace_s, created_by, endpoint_port, balance, limits, caller_limits, rollout, cors, models)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13,
            jsonb_strip_nulls(coalesce($14::jsonb, '{}')), jsonb_strip_nulls(coalesce($15::jsonb, '{}')),
            jsonb_strip_nulls(coalesce($16::jsonb, '{}')), jsonb_strip_nulls(coalesce($17::jsonb, '{}')),
            jsonb_strip_nulls(coalesce($18::jsonb, '{}')), coalesce($19::text[], '{}'))
    returning *
), revision as (
    insert into revisions (id, service_id, number, spec, message, created_by, resolved, origins, model_metadata)
    values ($8, $1, 1, $20, '', $12, $27, $28, $29)
), noted as (
    insert into events (id, actor, source_address, project_id, service_id, action, details, key_id, login_id, message, after)
    values ($21, $22, $23, $2, $1, 'service.created', $24, $25, $26, $30, $31)
)
select * from made

-- name: find
-- By id or name, if the user sees it.
select s.*, p.name as project, u.name as creator, r.number as revision, r.resolved, r.model_metadata, m.role, v.number as served,
       nullif(t.generation, 0) as published, t.published_at, t.problem as routes_problem, rt.problem as rules_problem, e.reason_text as last_error,
       ro.began_at as rollout_began_at, ro.step as rollout_step, ro.step_at as rollout_step_at, ro.paused_replicas as rollout_paused_replicas,
       ro.paused_by as rollout_paused_by, ro.failed_code as rollout_failed_code, ro.failed_text as rollout_failed_text, ro.failed_at as rollout_failed_at
from services s join projects p on p.id = s.project_id join users u on u.id = s.created_by join revisions r on r.id = s.revision_id
left join revisions v on v.id = s.served_revision_id
left join rollouts ro on ro.revision_id = s.revision_id
left join publications t on t.subject = 'route.' || s.id::text
left join publications rt on rt.subject = 'rules.' || s.id::text
-- the newest failed start of those that have one which counts
left join lateral (select reason_text from start_errors where s.failed_starts > 0 and service_id = s.id order by at desc limit 1) e on true
left join memberships m on m.project_id = s.project_id and m.user_id = $3
where s.deleted_at is null and (s.id = $1 or s.name = $2) and ($4 or m.role is not null)
  and ($5::uuid[] is null or s.project_id = any($5))
order by s.id = $1 desc nulls last limit 1

-- name: hold
-- By id or name, if the user sees it.
select s.id from services s
where s.deleted_at is null and (s.id = $1 or s.name = $2)
  and ($4 or exists (select 1 from memberships m where m.project_id = s.project_id and m.user_id = $3))
  and ($5::uuid[] is null or s.project_id = any($5))
order by s.id = $1 desc nulls last limit 1 for no key update of s

-- name: lock
select id from services where id = $1 and deleted_at is null for no key update

-- name: lock_for_rule
select s.name, s.wanted, s.goal, s.project_id, r.resolved -> 'slots' as slots,
       exists (select 1 from rules where id = $2 and service_id = s.id) as rule_exists
from services s join revisions r on r.id = s.revision_id
where s.id = $1 and s.deleted_at is null for no key update of s

-- name: set_wanted
update services set wanted = $2, rev = rev + 1, updated_at = now() where id = $1

-- name: group_exists
select exists (select 1 from resource_groups where name = $1)

-- name: update
-- With a new revision ($8) the one before it is stored as the serving one, if it is the only one that serves now: no
-- pass may have seen that yet.
update services set
    served_revision_id = case when $8::uuid is not null and array[revision_id] = (
        select array_agg(distinct x.revision_id) from sessions x
        join kernels k on k.session_id = x.id and k.role = 'main' and k.ended_at is null and k.state = 'running'
        join agents a on a.id = k.agent_id and a.lost_at is null
        where x.service_id = services.id and x.status = 'running' and x.health = 'healthy'
    ) then revision_id else served_revision_id end,
    description = coalesce($2, description), wanted = coalesce($3, wanted), open_to_public = coalesce($4, open_to_public),
    metadata = coalesce($5::jsonb, metadata), tags = coalesce($6::jsonb, tags), drain_grace_s = coalesce($7, drain_grace_s),
    revision_id = coalesce($8, revision_id), goal = coalesce($9, goal),
    resource_group = coalesce((select r.resolved ->> 'resource_group' from revisions r where r.id = $8), resource_group),
    failed_starts = case when $10 then 0 else failed_starts end,
    next_start_at = case when $10 then null else next_start_at end,
    last_failed_at = case when $10 then null else last_failed_at end,
    ends = case when $10 then 0 else ends end, ends_held = case when $10 then 0 else ends_held end,
    next_restart_at = case when $10 then null else next_restart_at end,
    endpoint_port = case when $11::integer is null then endpoint_port else nullif($11, 0) end,
    rev = rev + 1, updated_at = now()
where id = $1

-- name: clear_errors
delete from start_errors where service_id = $1

-- name: live_sessions
select count(*) from live_sessions where service_id = $1

-- name: mark_deleted
update services set goal = 'deleting', deleted_at = now(), rev = rev + 1, updated_at = now() where id = $1

-- name: replicas
select r.*, k.transfer, x.replace_asked_at, x.idle, x.healthy_at, x.placed_at, k.started_at, k.exit_code,
       coalesce(k.failures, 0) as failures
from replicas r join sessions x on x.id = r.id left join kernels k on k.id = r.kernel_id
where r.service_id = any($1::uuid[]) and r.status <> 'ended' order by r.id

-- name: replica
select r.*, k.transfer, x.replace_asked_at, x.idle, x.healthy_at, x.placed_at, k.started_at, k.exit_code,
       coalesce(k.failures, 0) as failures
from replicas r join sessions x on x.id = r.id left join kernels k on k.id = r.kernel_id
where r.id = $1 and r.service_id is not distinct from $2

-- name: last_ended
select x.id from sessions x join kernels k on k.session_id = x.id
where x.service_id = $1 and x.status = 'ended' and k.agent_id is not null
order by x.id desc limit 1

-- name: ended_since
select x.id from sessions x
where x.service_id = $1 and x.status = 'ended' and x.ended_at >= $2
  and exists (select 1 from kernels k where k.session_id = x.id and k.agent_id is not null)
order by x.id desc limit $3

-- name: errors
select at, session_id, reason_code, reason_text from start_errors where service_id = $1 order by at desc limit 100

-- name: exists
select exists (select 1 from services where id = $1 and deleted_at is null)

-- name: has_port
select exists (select 1 from services where endpoint_port = $1 and deleted_at is null and id is distinct from $2::uuid)
