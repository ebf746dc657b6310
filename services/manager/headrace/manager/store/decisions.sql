-- name: page
select id, at, source, rule_id, from_replicas, to_replicas, observed, reason_code, reason_text from scale_decisions
where service_id = $1 and ($2::uuid is null or id < $2) order by id desc limit $3

-- name: insert
insert into scale_decisions (id, service_id, source, rule_id, from_replicas, to_replicas, observed, reason_code, reason_text)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
