-- name: insert
insert into users (id, name, operator) values ($1, $2, $3) returning id, name, operator, created_at

-- name: find
select id, name, operator, created_at from users where id = $1 or name = $2 order by id = $1 desc nulls last limit 1

-- name: lock
select 1 from users where id = $1 for no key update

-- name: page
select id, name, operator, created_at from users where id > $1 order by id limit $2

-- name: lock_changes
select pg_advisory_xact_lock(5208208757389214275)

-- name: operators
select id from users where operator order by id limit 2

-- name: update
update users set operator = $2 where id = $1 returning id, name, operator, created_at

-- name: insert_key
insert into api_keys (id, user_id, name, secret_hash, expires_at)
values ($1, $2, $3, $4, now() + $5::double precision * interval '1 second')
returning id, name, created_at, expires_at

-- name: keys
select id, name, created_at, expires_at from api_keys where user_id = $1 and id > $2 order by id limit $3

-- name: update_key
-- $3: name (null: keep). $4: whether to set the expiry to $5 seconds from now (null: never).
update api_keys set name = coalesce($3, name),
    expires_at = case when $4 then now() + $5::double precision * interval '1 second' else expires_at end
where user_id = $1 and id = $2 returning id, name, created_at, expires_at

-- name: delete_key
delete from api_keys where user_id = $1 and id = $2 returning name

-- name: ending
-- Expiry of the key, if it exists, and the current time.
select now() as now, (select k.expires_at from api_keys k where k.user_id = $1 and k.id = $2) as ends_at,
       exists (select 1 from api_keys k where k.user_id = $1 and k.id = $2) as there

-- name: drop_expired
-- Deletes all expired keys but the newest $2.
delete from api_keys where id in (
    select id from api_keys where user_id = $1 and expires_at <= now() order by expires_at desc, id offset $2)

-- name: by_key
select k.secret_hash, k.expires_at, coalesce(k.expires_at <= now(), false) as expired, u.id, u.name, u.operator, u.created_at
from api_keys k join users u on u.id = k.user_id where k.id = $1

-- name: count_keys
select count(*) from api_keys where user_id = $1 and (expires_at is null or expires_at > now())
