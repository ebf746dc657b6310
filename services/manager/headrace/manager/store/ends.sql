-- name: keep
-- A replica that ended in operation, as its machine reported.
insert into replica_ends (session_id, service_id, revision, agent_id, reason_code, reason_text, exit_code, started_at)
select x.id, x.service_id, r.number, k.agent_id, $2, $3, k.exit_code, coalesce(k.started_at, x.created_at)
from sessions x join revisions r on r.id = x.revision_id left join kernels k on k.session_id = x.id and k.role = 'main'
where x.id = $1 order by k.created_at desc limit 1
on conflict (session_id) do nothing
returning revision, agent_id, exit_code

-- name: count
update services set ends = $2, ends_held = $3, next_restart_at = $4, last_end_at = now(), rev = rev + 1 where id = $1

-- name: forget
-- Deletes all but the newest $2 ends of the service.
delete from replica_ends e where e.service_id = $1
  and (e.at, e.session_id) < (select o.at, o.session_id from replica_ends o where o.service_id = $1 order by o.at desc, o.session_id desc offset $2 limit 1)

-- name: newest
select session_id, revision, agent_id, reason_code, reason_text, exit_code, started_at, at from replica_ends
where service_id = $1 order by at desc, session_id desc limit $2
