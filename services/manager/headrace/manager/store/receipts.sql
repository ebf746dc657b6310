-- name: began
-- A receipt for each of these replicas that is leaving. One that leaves without a drain gets one when an app-proxy
-- reports it. One that leaves a machine while that is being drained is part of that drain.
insert into drain_receipts (session_id, service_id, revision, replaced_by, reason_code, reason_text, ended_at, agent_drain_id)
select x.id, x.service_id, r.number, case when s.goal = 'running' and c.number > r.number then c.number end, x.reason_code, x.reason_text,
       case when x.status <> 'draining' then coalesce(x.ended_at, now()) end,
       (select d.id from kernels k join agent_drains d on d.agent_id = k.agent_id and d.ended_at is null
        where k.session_id = x.id and k.role = 'main' and k.ended_at is null limit 1)
from sessions x join revisions r on r.id = x.revision_id join services s on s.id = x.service_id join revisions c on c.id = s.revision_id
where x.id = any($1::uuid[]) and x.status in ('draining', 'stopping', 'ended')
on conflict (session_id) do nothing

-- name: ended
update drain_receipts set ended_at = now() where session_id = $1 and ended_at is null

-- name: open
-- Drains that app-proxies may still report on: until ten minutes after the end. Rows that another manager has locked
-- are skipped.
select d.session_id, d.service_id, x.drain_generation as generation, d.ended_at is not null as over, d.counted, d.shares
from drain_receipts d left join sessions x on x.id = d.session_id
where d.ended_at is null or d.ended_at > now() - interval '15 minutes'
order by d.session_id for update of d skip locked

-- name: keep
-- Stores the merged shares of the app-proxies.
update drain_receipts set shares = $2, counted = $3 where session_id = $1

-- name: page
-- Newest drain first.
select session_id, revision, replaced_by, reason_code, reason_text, began_at, ended_at, counted, shares from drain_receipts d
where d.service_id = $1 and ($2::integer is null or d.replaced_by = $2)
  and ($3::uuid is null or (d.began_at, d.session_id) < (select c.began_at, c.session_id from drain_receipts c where c.session_id = $3))
order by d.began_at desc, d.session_id desc limit $4

-- name: of_agent_drain
select session_id, revision, replaced_by, reason_code, reason_text, began_at, ended_at, counted, shares from drain_receipts
where agent_drain_id = $1 order by began_at desc, session_id desc

-- name: left_behind
-- Number of replicas of earlier revisions that take requests, or will.
select count(*) from active_sessions x join revisions r on r.id = x.revision_id
where x.service_id = $1 and r.number < $2
