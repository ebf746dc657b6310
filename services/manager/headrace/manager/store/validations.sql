-- name: find
select x.id, x.project_id, p.name as project, x.status, x.was_healthy, x.created_at, m.role,
       case when k.shows then k.reason_code else x.reason_code end as reason_code,
       case when k.shows then k.reason_text else x.reason_text end as reason_text
from sessions x join projects p on p.id = x.project_id
left join memberships m on m.project_id = x.project_id and m.user_id = $2
left join lateral (
    select reason_code, reason_text, state is not null and x.status in ('placed', 'running') as shows
    from kernels where session_id = x.id and role = 'main' order by created_at desc limit 1
) k on true
where x.id = $1 and x.kind = 'validation' and ($3 or m.role is not null)
  and ($4::uuid[] is null or x.project_id = any($4))

-- name: living
select count(*) from live_sessions where project_id = $1 and service_id is null
