-- name: insert
insert into tokens (id, service_id, name, created_by, expires_at) values ($1, $2, $3, $4, $5)
returning id, name, created_at, expires_at, revoked_at

-- name: page
select t.id, t.name, u.name as created_by, t.created_at, t.expires_at, t.revoked_at
from tokens t join users u on u.id = t.created_by where t.service_id = $1 and t.id > $2 order by t.id limit $3

-- name: revoke
update tokens set revoked_at = coalesce(revoked_at, now()) where service_id = $1 and id = $2 returning id

-- name: signing_key
select kid, private_key from signing_keys where retired_at is null order by created_at desc limit 1

-- name: lock_signing
select pg_advisory_xact_lock(5208208757389214273)

-- name: insert_signing_key
insert into signing_keys (kid, private_key, public_key) values ($1, $2, $3)
