-- name: insert
insert into revisions (id, service_id, number, spec, message, created_by, resolved, origins, model_metadata)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9)

-- name: find
select r.id, r.service_id, r.number, r.spec, r.resolved, r.origins, r.model_metadata, r.message, u.name as created_by, r.created_at, s.resource_group
from revisions r join users u on u.id = r.created_by join services s on s.id = r.service_id where r.service_id = $1 and r.number = $2

-- name: page
select r.id, r.service_id, r.number, r.spec, r.resolved, r.origins, r.model_metadata, r.message, u.name as created_by, r.created_at, s.resource_group
from revisions r join users u on u.id = r.created_by join services s on s.id = r.service_id where r.service_id = $1 and r.number > $2 order by r.number limit $3

-- name: origin_of_group
select origins -> 'resource_group' from revisions where id = $1

-- name: keep_group
-- Revisions of versions before 0.2 name no resource group: theirs is the service's. Before that changes, they get it.
update revisions set resolved = resolved || jsonb_build_object('resource_group', $2::text)
where service_id = $1 and resolved ->> 'resource_group' is null

-- name: last_number
select max(number) from revisions where service_id = $1

-- name: forget
-- A few at a time: each new revision makes room for itself, and for some that could not be deleted before.
delete from revisions where id in (
    select r.id from revisions r where r.service_id = $1 and r.number < $2
      and not exists (select 1 from services s where s.revision_id = r.id or s.served_revision_id = r.id)
      and not exists (select 1 from sessions x where x.revision_id = r.id)
    order by r.number limit 10)
