-- name: insert
insert into events (id, actor, source_address, project_id, service_id, action, message, details)
values ($1, $2, $3, $4, $5, $6, $7, $8)

-- name: of_service
select id, at, actor, action, message, details from events
where service_id = $1 and ($2::uuid is null or id < $2) order by id desc limit $3
