-- name: matching
-- Services that the caller sees and that pass the filters, with the values that a list can be sorted by. Wrapped by the
-- statements of the store; the planner flattens it.
select s.id, s.name::text as name, s.updated_at as updated, s.wanted as replicas
from services s join users u on u.id = s.created_by join revisions r on r.id = s.revision_id
left join rollouts ro on ro.revision_id = s.revision_id
where s.deleted_at is null
  and ($2 or exists (select 1 from memberships m where m.project_id = s.project_id and m.user_id = $1))
  and ($3::uuid[] is null or s.project_id = any($3))
  and ($4::uuid is null or s.project_id = $4)
  and ($5::text is null or u.name = $5 or u.id::text = lower($5))
  and ($6::text is null or strpos(lower(concat_ws(' ', s.name, s.description, s.tags::text,
           (select string_agg(e.value, ' ') from jsonb_each_text(s.metadata) e),
           (select string_agg(v #>> '{}', ' ') from jsonb_path_query(r.model_metadata, 'strict $.** ? (@.type() == "string")') v))),
       lower($6)) > 0)
  and ($7::text is null or s.tags ? $7)
  and ($8::text is null or r.resolved ->> 'runtime' = $8)
  and ($9::uuid is null or r.resolved -> 'mounts' @> jsonb_build_array(jsonb_build_object('folder_id', $9::uuid::text)))
  and ($10::text is null or s.id in (
           select x.service_id from kernels k join sessions x on x.id = k.session_id
           where k.agent_id = $10 and k.ended_at is null and x.status <> 'ended'))
  -- what a phase needs; whether it is in it is told by its replicas too. $12: failed starts after which no more are tried
  and case $11::text when 'failed' then s.goal = 'running' and (s.failed_starts >= $12 or ro.failed_at is not null)
                     when 'stopped' then s.goal = 'stopped'
                     when 'stopping' then s.goal <> 'running'
                     when 'deploying' then s.goal = 'running' and s.wanted > 0
                     when 'deployed' then s.goal = 'running' else true end

-- name: facts
select s.*, p.name as project, u.name as creator, r.number as revision, r.resolved, v.number as served,
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
where s.id = any($1::uuid[]) and s.deleted_at is null
