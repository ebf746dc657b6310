-- name: lock
-- One at a time, so that the number of groups holds.
select pg_advisory_xact_lock(5208208757389214298)

-- name: count
select count(*) from resource_groups

-- name: insert
insert into resource_groups (name) values ($1) on conflict do nothing returning name, created_at

-- name: page
select name, created_at from resource_groups where name > $1 order by name limit $2

-- name: hold
select name from resource_groups where name = $1 for update

-- name: users
select (select count(*) from agents where resource_group = $1) as machines,
       (select count(*) from services where resource_group = $1 and deleted_at is null) as services

-- name: delete
delete from resource_groups where name = $1
