-- The scope of a token is one service, or all services of one project. $1 as `subject`: the id of either.

-- name: insert
insert into tokens (id, service_id, project_id, name, created_by, expires_at, limits, share) values ($1, $2, $3, $4, $5, $6, $7, $8)
returning id, name, created_at, expires_at, revoked_at, limits, share, null::timestamptz as last_used_at

-- name: living
select count(*) from tokens where (service_id = $1 or project_id = $1) and expires_at > now()

-- name: page
select t.id, t.name, u.name as created_by, t.created_at, t.expires_at, t.revoked_at, t.limits, t.share,
       (select max(l.last_used_at) from caller_use l where l.caller_id = t.id) as last_used_at
from tokens t join users u on u.id = t.created_by
where (t.service_id = $1 or t.project_id = $1) and t.id > $2 order by t.id limit $3

-- name: hold
select t.id, t.name, u.name as created_by, t.created_at, t.expires_at, t.revoked_at, t.limits, t.share,
       (select max(l.last_used_at) from caller_use l where l.caller_id = t.id) as last_used_at
from tokens t join users u on u.id = t.created_by
where (t.service_id = $1 or t.project_id = $1) and t.id = $2 for update of t

-- name: update
-- $3: limits to change (null: keep all; a null in it: remove that one). $4: whether those not in $3 are removed. $5:
-- share, $6: name (null: keep).
update tokens t set limits = jsonb_strip_nulls(case when $4 then '{}' else t.limits end || coalesce($3::jsonb, '{}')),
    share = coalesce($5, t.share), name = coalesce($6, t.name),
    limits_changed = t.limits_changed or $4 or $3::jsonb is not null or $5::integer is not null
from users u where u.id = t.created_by and (t.service_id = $1 or t.project_id = $1) and t.id = $2
returning t.id, t.name, u.name as created_by, t.created_at, t.expires_at, t.revoked_at, t.limits, t.share,
       (select max(l.last_used_at) from caller_use l where l.caller_id = t.id) as last_used_at

-- name: revoke
-- fresh: whether it was not revoked before, and tables have to be published.
with before as (select id, revoked_at is null and expires_at > now() as fresh from tokens where (service_id = $1 or project_id = $1) and id = $2 for update)
update tokens t set revoked_at = coalesce(t.revoked_at, now()) from before b where t.id = b.id returning b.fresh

-- name: revoke_all
update tokens set revoked_at = now() where project_id = $1 and revoked_at is null

-- name: signing_key
select kid, private_key from signing_keys where retired_at is null order by created_at desc limit 1

-- name: lock_signing
select pg_advisory_xact_lock(5208208757389214273)

-- name: insert_signing_key
insert into signing_keys (kid, private_key, public_key) values ($1, $2, $3)
