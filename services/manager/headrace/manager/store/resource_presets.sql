-- name: lock_for_all
-- One at a time, so that the number of presets for all projects holds.
select pg_advisory_xact_lock(5208208757389214297)

-- name: insert
insert into resource_presets (id, project_id, name, description, slots, created_by) values ($1, $2, $3, $4, $5, $6)

-- name: count
select count(*) from resource_presets where project_id is not distinct from $1

-- name: find
-- By id, or by name in the project (null: of those for all projects); an id has precedence over a name that looks like one.
select p.id, p.name, p.project_id, j.name as project, p.description, p.slots, u.name as created_by, p.created_at, p.updated_at
from resource_presets p join users u on u.id = p.created_by left join projects j on j.id = p.project_id
where p.id = $1 or (p.name = $2 and p.project_id is not distinct from $3)
order by p.id = $1 desc nulls last limit 1

-- name: usable
-- What a service of the project means by a name: the project's own preset before the one for all.
select p.id, p.name, p.project_id, j.name as project, p.description, p.slots, u.name as created_by, p.created_at, p.updated_at
from resource_presets p join users u on u.id = p.created_by left join projects j on j.id = p.project_id
where p.name = $2 and (p.project_id = $1 or p.project_id is null) order by p.project_id nulls last limit 1

-- name: names
select distinct name from resource_presets where project_id = $1 or project_id is null order by name limit $2

-- name: page
-- What services of the project may name; without a project what all may.
select p.id, p.name, p.project_id, j.name as project, p.description, p.slots, u.name as created_by, p.created_at, p.updated_at
from resource_presets p join users u on u.id = p.created_by left join projects j on j.id = p.project_id
where p.id > $2 and (p.project_id = $1 or (p.project_id is null and not exists (
    select 1 from resource_presets o where o.project_id = $1 and o.name = p.name)))
order by p.id limit $3

-- name: hold
select id from resource_presets where id = $1 for update

-- name: update
update resource_presets set description = $2, slots = $3, updated_at = now() where id = $1

-- name: delete
delete from resource_presets where id = $1

-- name: delete_all
delete from resource_presets where project_id = $1
