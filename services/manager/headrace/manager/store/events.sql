-- name: insert
insert into events (id, actor, source_address, project_id, service_id, action, message, details, key_id, login_id, before, after)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)

-- name: of_service
select id, at, actor, action, message, details from events
where service_id = $1 and ($2::uuid is null or id < $2) order by id desc limit $3

-- name: audit
-- Of at most $3 events, newest first, those that match; and where to go on. Which events: all, those of a project, or those of a
-- service, each by its index.
with scanned as materialized (
    (select id, at, actor, action, case when $9::text is not null then details ->> 'agent' end as agent from events where $4::uuid is null and $5::uuid is null
        and ($1::uuid is null or id < $1) and ($2::uuid is null or id >= $2) order by id desc limit $3)
    union all
    (select id, at, actor, action, case when $9::text is not null then details ->> 'agent' end as agent from events where project_id = $4 and $5::uuid is null
        and ($1::uuid is null or id < $1) and ($2::uuid is null or id >= $2) order by id desc limit $3)
    union all
    (select id, at, actor, action, case when $9::text is not null then details ->> 'agent' end as agent from events where service_id = $5
        and ($1::uuid is null or id < $1) and ($2::uuid is null or id >= $2) order by id desc limit $3)
), matching as (
    select id from scanned
    where ($6::text is null or actor = $6)
        and ($7::text is null or starts_with(action, $7)) and ($8::text is null or action = $8)
        and ($9::text is null or agent = $9)
        and ($10::timestamptz is null or at >= $10) and ($11::timestamptz is null or at < $11)
    order by id desc limit $12
)
select (select count(*) from scanned) as scanned, (select id from scanned order by id limit 1) as last_scanned,
    e.id, e.at, e.actor, e.source_address, e.action, e.project_id, p.name as project, e.service_id, s.name as service,
    e.message, e.details, e.key_id, k.name as key, e.login_id, e.before, e.after
from (select) one left join matching m on true left join events e on e.id = m.id
    left join projects p on p.id = e.project_id left join services s on s.id = e.service_id left join api_keys k on k.id = e.key_id
order by e.id desc

-- name: one
select e.id, e.at, e.actor, e.source_address, e.action, e.project_id, p.name as project, e.service_id, s.name as service,
    e.message, e.details, e.key_id, k.name as key, e.login_id, e.before, e.after
from events e left join projects p on p.id = e.project_id left join services s on s.id = e.service_id
    left join api_keys k on k.id = e.key_id
where e.id = $1
