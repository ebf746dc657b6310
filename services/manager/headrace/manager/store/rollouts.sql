-- name: begin
insert into rollouts (revision_id, service_id) values ($2, $1)
on conflict (revision_id) do update set began_at = now(), step = 0, step_at = now(), paused_replicas = null, paused_by = null,
    failed_at = null, failed_code = null, failed_text = null

-- name: retry
update rollouts r set step_at = now(), failed_at = null, failed_code = null, failed_text = null
from services s where s.id = $1 and r.revision_id = s.revision_id

-- name: fail
with touched as (update services set rev = rev + 1 where id = $1)
insert into rollouts (revision_id, service_id, failed_at, failed_code, failed_text) values ($2, $1, now(), $3, $4)
on conflict (revision_id) do update set failed_at = now(), failed_code = $3, failed_text = $4, paused_replicas = null, paused_by = null

-- name: recover
update rollouts set failed_at = null, failed_code = null, failed_text = null where revision_id = $1

-- name: advance
with touched as (update services set rev = rev + 1 where id = $1)
insert into rollouts (revision_id, service_id, step) values ($2, $1, $3)
on conflict (revision_id) do update set step = $3, step_at = now()

-- name: pause
with touched as (update services set rev = rev + 1 where id = $1), there as (
    select count(*) as replicas from active_sessions where service_id = $1 and revision_id = $2
)
insert into rollouts (revision_id, service_id, paused_replicas, paused_by) select $2, $1, replicas, $3 from there
on conflict (revision_id) do update set paused_replicas = excluded.paused_replicas, paused_by = $3

-- name: resume
with touched as (update services set rev = rev + 1 where id = $1)
update rollouts set paused_replicas = null, paused_by = null, step_at = now() where revision_id = $2

-- name: reveal
update sessions set idle = false, weight = 100, rev = rev + 1 where id = any($1::uuid[]) and idle

-- name: replace
update active_sessions set replace_asked_at = now(), rev = rev + 1 where id = $2 and service_id = $1

-- name: last_failed
select v.number, r.failed_at, r.failed_code, r.failed_text from rollouts r join revisions v on v.id = r.revision_id
where r.service_id = $1 order by r.began_at desc, v.number desc limit 1
