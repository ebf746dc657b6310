-- name: insert
insert into rules (id, service_id, spec, created_by) values ($1, $2, $3, $4) returning id, spec, created_at

-- name: page
select id, spec, created_at from rules where service_id = $1 and id > $2 order by id limit $3

-- name: replace
update rules set spec = $3, updated_at = now() where service_id = $1 and id = $2 returning id, spec, created_at

-- name: hold
select id, spec, created_at from rules where service_id = $1 and id = $2 for update

-- name: delete
delete from rules where service_id = $1 and id = $2 returning spec

-- name: count
select count(*) from rules where service_id = $1
