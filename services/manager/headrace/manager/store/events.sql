-- name: insert
insert into events (id, actor, source_address, project_id, service_id, action, message, details, key_id, login_id)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)

-- name: of_service
select id, at, actor, action, message, details from events
where service_id = $1 and ($2::uuid is null or id < $2) order by id desc limit $3

-- name: audit
-- Of at most $3 events, newest first, those that match; and where to go on. Which events: all, those of a project, or those of a
-- service, each by its index.
with scanned as materialized (
    (select * from events where $4::uuid is null and $5::uuid is null
        and ($1::uuid is null or id < $1) and ($2::uuid is null or id >= $2) order by id desc limit $3)
    union all
    (select * from events where project_id = $4 and $5::uuid is null
        and ($1::uuid is null or id < $1) and ($2::uuid is null or id >= $2) order by id desc limit $3)
    union all
    (select * from events where service_id = $5
        and ($1::uuid is null or id < $1) and ($2::uuid is null or id >= $2) order by id desc limit $3)
), matching as (
    select * from scanned
    where ($6::text is null or actor = $6)
        and ($7::text is null or starts_with(action, $7)) and ($8::text is null or action = $8)
        and ($9::text is null or details ->> 'agent' = $9)
        and ($10::timestamptz is null or at >= $10) and ($11::timestamptz is null or at < $11)
    order by id desc limit $12
)
select (select count(*) from scanned) as scanned, (select id from scanned order by id limit 1) as last_scanned,
    m.id, m.at, m.actor, m.source_address, m.action, m.project_id, p.name as project, m.service_id, s.name as service,
    m.message, m.details, m.key_id, m.login_id
from (select) one left join matching m on true
    left join projects p on p.id = m.project_id left join services s on s.id = m.service_id
order by m.id desc
