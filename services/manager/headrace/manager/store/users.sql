-- name: insert
insert into users (id, name, operator) values ($1, $2, $3) returning id, name, operator, created_at, disabled_at,
    exists (select 1 from passwords p where p.user_id = users.id) as has_password

-- name: find
select id, name, operator, created_at, disabled_at, exists (select 1 from passwords p where p.user_id = users.id) as has_password
from users where id = $1 or name = $2 order by id = $1 desc nulls last limit 1

-- name: lock
select 1 from users where id = $1 for no key update

-- name: page
select id, name, operator, created_at, disabled_at, exists (select 1 from passwords p where p.user_id = users.id) as has_password
from users where id > $1 order by id limit $2

-- name: lock_changes
select pg_advisory_xact_lock(5208208757389214275)

-- name: operators
-- Those that can act.
select id from users where operator and disabled_at is null order by id limit 2

-- name: update
update users set operator = $2, disabled_at = case when $3 then coalesce(disabled_at, now()) end where id = $1
returning id, name, operator, created_at, disabled_at,
    exists (select 1 from passwords p where p.user_id = users.id) as has_password

-- name: insert_key
insert into api_keys (id, user_id, name, secret_hash, expires_at, read_only, project_ids)
values ($1, $2, $3, $4, $5, $6, $7)
returning id, name, created_at, expires_at, last_used_at, read_only,
    case when project_ids is not null then (select coalesce(array_agg(p.name order by p.name), '{}') from projects p where p.id = any(project_ids) and p.deleted_at is null) end as projects

-- name: keys
select id, name, created_at, expires_at, last_used_at, read_only,
    case when project_ids is not null then (select coalesce(array_agg(p.name order by p.name), '{}') from projects p where p.id = any(project_ids) and p.deleted_at is null) end as projects
from api_keys where user_id = $1 and id > $2 order by id limit $3

-- name: hold_key
select id, name, created_at, expires_at, last_used_at, read_only,
    case when project_ids is not null then (select coalesce(array_agg(p.name order by p.name), '{}') from projects p where p.id = any(project_ids) and p.deleted_at is null) end as projects
from api_keys where user_id = $1 and id = $2 for update

-- name: update_key
-- $3: name (null: keep). $4: whether to set the expiry to $5 (null: never). $6: read-only (null: keep).
-- $7: whether to set the projects to $8 (null: not limited to any).
update api_keys set name = coalesce($3, name),
    expires_at = case when $4 then $5::timestamptz else expires_at end,
    read_only = coalesce($6, read_only), project_ids = case when $7 then $8::uuid[] else project_ids end
where user_id = $1 and id = $2
returning id, name, created_at, expires_at, last_used_at, read_only,
    case when project_ids is not null then (select coalesce(array_agg(p.name order by p.name), '{}') from projects p where p.id = any(project_ids) and p.deleted_at is null) end as projects

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
select k.secret_hash, k.expires_at, k.read_only, k.project_ids, coalesce(k.expires_at <= now(), false) as expired,
       coalesce(k.last_used_at < now() - interval '1 minute', true) as stale,
       u.id, u.name, u.operator, u.created_at, u.disabled_at
from api_keys k join users u on u.id = k.user_id where k.id = $1

-- name: touch_key
update api_keys set last_used_at = now() where id = $1 and coalesce(last_used_at < now() - interval '1 minute', true)

-- name: count_keys
select count(*) from api_keys where user_id = $1 and (expires_at is null or expires_at > now())
