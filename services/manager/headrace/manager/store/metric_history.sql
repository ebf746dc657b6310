-- name: store
-- Windows $1 services, $2 times, $3 sources, $4 contents; one that is there is replaced.
insert into metric_windows (service_id, at, source, contents)
select * from unnest($1::uuid[], $2::timestamptz[], $3::text[], $4::text[]) order by 1, 2, 3
on conflict (service_id, at, source) do update set contents = excluded.contents

-- name: windows
-- Windows of services $1 in [$2, $3), at most $4.
select service_id, at, contents from metric_windows
where service_id = any($1) and at >= $2 and at < $3 order by at limit $4

-- name: hours
-- Hours of services $1 that begin in ($2 - 1 hour, $3).
select service_id, hour, contents from metric_hours
where service_id = any($1) and hour > $2::timestamptz - interval '1 hour' and hour < $3 order by hour

-- name: lately
-- Windows of all services since $1, at most $2.
select service_id, at, contents from metric_windows where at >= $1 order by at limit $2

-- name: due
-- Services and hours of the $2 oldest windows before $1.
select distinct service_id, date_trunc('hour', at, 'UTC') as hour
from (select service_id, at from metric_windows where at < $1 order by at limit $2) oldest order by 2, 1 limit $3

-- name: take
-- Deletes the windows of service $1 in the hour that begins at $2, and returns them. A second manager waits, and gets none.
with taken as (
    delete from metric_windows where service_id = $1 and at >= $2 and at < $2::timestamptz + interval '1 hour' returning at, contents
)
select at, contents from taken order by at

-- name: keep_hour
insert into metric_hours (service_id, hour, contents) values ($1, $2, $3) on conflict (service_id, hour) do nothing

-- name: note_replicas
-- Notes the replicas of services where they are others than those noted last.
insert into replica_counts (service_id, at, wanted, healthy)
select n.id, now(), n.wanted, n.healthy
from (select s.id, case when s.goal = 'running' then s.wanted else 0 end as wanted,
             (select count(*) from serving_sessions x where x.service_id = s.id and x.kind = 'inference')::integer as healthy
      from services s where s.deleted_at is null) n
left join lateral (select c.wanted, c.healthy from replica_counts c where c.service_id = n.id order by c.at desc limit 1) l on true
where (coalesce(l.wanted, 0), coalesce(l.healthy, 0)) <> (n.wanted, n.healthy)
on conflict (service_id, at) do nothing

-- name: replicas
-- Replicas of service $1 where they changed in [$2, $3), and what was before; the newest $4.
select at, wanted, healthy from replica_counts
where service_id = $1 and at < $3
  and at >= coalesce((select max(c.at) from replica_counts c where c.service_id = $1 and c.at <= $2), $2)
order by at desc limit $4

-- name: on_machines
-- Which of the replicas $1 of agents $2 are there, with their services.
select distinct k.agent_id, k.session_id, x.service_id from kernels k join sessions x on x.id = k.session_id
join unnest($1::uuid[], $2::text[]) as t (session_id, agent_id) on t.session_id = k.session_id and t.agent_id = k.agent_id
where x.service_id is not null

-- name: revisions_of
select id, revision_id from sessions where id = any($1)

-- name: numbers
select id, number from revisions where id = any($1)

-- name: visible
-- Services $1 that a caller sees ($2 user, $3 operator, $4 projects), of project $5 (null: all).
select s.id, s.name::text as name, p.name::text as project
from services s join projects p on p.id = s.project_id
where s.deleted_at is null and s.id = any($1)
  and ($3 or exists (select 1 from memberships m where m.project_id = s.project_id and m.user_id = $2))
  and ($4::uuid[] is null or s.project_id = any($4)) and ($5::uuid is null or s.project_id = $5)
order by s.id
