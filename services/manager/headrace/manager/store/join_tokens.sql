-- Tokens with which machines join; `secret_hash` is keyed.

-- name: lock_changes
-- One at a time, so that the number of tokens holds.
select pg_advisory_xact_lock(5208208757389214283)

-- name: living
select count(*) from join_tokens where expires_at > now() and revoked_at is null and used < uses

-- name: insert
insert into join_tokens (id, secret_hash, kind, resource_group, labels, uses, created_by, expires_at)
values ($1, $2, $3, $4, $5, $6, $7, now() + make_interval(secs => $8))
returning id, kind, resource_group, labels, uses, used, created_at, created_by, expires_at, revoked_at

-- name: page
select id, kind, resource_group, labels, uses, used, created_at, created_by, expires_at, revoked_at
from join_tokens where id > $1 order by id limit $2

-- name: revoke
-- fresh: whether it was not revoked before.
with before as (select id, revoked_at is null as fresh from join_tokens where id = $1 for update)
update join_tokens t set revoked_at = coalesce(t.revoked_at, now()) from before b where t.id = b.id returning b.fresh

-- name: lock
select id, kind, resource_group, labels, uses, used, created_at, created_by, expires_at, revoked_at, secret_hash, expires_at <= now() as expired
from join_tokens where id = $1 for update

-- name: use
update join_tokens set used = used + 1 where id = $1
