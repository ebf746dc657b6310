-- name: insert
insert into clients (id, service_id, name, secret_sha256, limits, share, created_by) values ($1, $2, $3, $4, $5, $6, $7)
returning id, name, limits, share, created_at, rotated_at, null::timestamptz as last_used_at

-- name: living
select count(*) from clients where service_id = $1 and revoked_at is null

-- name: page
select c.id, c.name, c.limits, c.share, u.name as created_by, c.created_at, c.rotated_at,
       (select max(l.last_used_at) from caller_use l where l.caller_id = c.id) as last_used_at
from clients c join users u on u.id = c.created_by
where c.service_id = $1 and c.revoked_at is null and c.id > $2 order by c.id limit $3

-- name: find
-- By id or name; an id has precedence over a name that looks like one.
select id from clients where service_id = $1 and revoked_at is null and (id = $2 or name = $3) order by id = $2 desc nulls last limit 1

-- name: hold
select c.id, c.name, c.limits, c.share, u.name as created_by, c.created_at, c.rotated_at,
       (select max(l.last_used_at) from caller_use l where l.caller_id = c.id) as last_used_at
from clients c join users u on u.id = c.created_by where c.id = $1 and c.revoked_at is null for update of c

-- name: rotate
update clients c set secret_sha256 = $2, rotated_at = now() from users u
where u.id = c.created_by and c.id = $1 and c.revoked_at is null
returning c.id, c.name, c.limits, c.share, u.name as created_by, c.created_at, c.rotated_at,
       (select max(l.last_used_at) from caller_use l where l.caller_id = c.id) as last_used_at

-- name: update
-- As for tokens.
update clients c set limits = jsonb_strip_nulls(case when $3 then '{}' else c.limits end || coalesce($2::jsonb, '{}')),
    share = coalesce($4, c.share)
from users u where u.id = c.created_by and c.id = $1 and c.revoked_at is null
returning c.id, c.name, c.limits, c.share, u.name as created_by, c.created_at, c.rotated_at,
       (select max(l.last_used_at) from caller_use l where l.caller_id = c.id) as last_used_at

-- name: revoke
update clients set revoked_at = now() where id = $1 and revoked_at is null returning name
