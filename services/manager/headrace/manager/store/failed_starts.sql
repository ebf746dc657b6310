-- name: keep
-- Returns what the event says of the replica; nothing if its failure is kept already.
with kept as (
    insert into start_errors (session_id, service_id, reason_code, reason_text) values ($1, $2, $3, $4)
    on conflict (session_id) do nothing returning session_id
)
select r.number as revision, k.agent_id, k.exit_code
from kept join sessions x on x.id = kept.session_id left join revisions r on r.id = x.revision_id
left join kernels k on k.session_id = x.id and k.role = 'main'
order by k.created_at desc limit 1

-- name: forget
-- Deletes all but the newest $2 errors of the service.
delete from start_errors e where e.service_id = $1 and (e.at, e.session_id) < (
    select o.at, o.session_id from start_errors o where o.service_id = $1 order by o.at desc, o.session_id desc offset $2 limit 1)

-- name: count
-- $4: whether the failure is the first of its round, after which those of the next are placed.
update services set failed_starts = $2, next_start_at = $3, last_failed_at = case when $4 then now() else last_failed_at end, rev = rev + 1
where id = $1
