-- name: insert
insert into sessions (id, kind, project_id, resolved, resource_group, created_by) values ($1, 'validation', $2, $3, $4, $5)

-- name: insert_kernel
insert into kernels (id, session_id) values ($1, $2)

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

-- name: stop
-- what waits for a machine runs nowhere and has ended; the rest is stopped by its agent
update sessions set status = case when status = 'pending' then 'ended' else 'stopping' end,
    ended_at = case when status = 'pending' then now() end,
    reason_code = $2, reason_text = $3, rev = rev + 1
where id = $1 and status in ('pending', 'placed', 'running', 'draining')
returning status

-- name: end_kernels
update kernels set ended_at = now(), rev = rev + 1 where session_id = $1 and ended_at is null
