-- name: insert
with made as (
    insert into secrets (id, project_id, name, version, created_by) values ($1, $2, $3, 1, $4) returning id, name, version, created_at
)
select m.id, m.name, m.version, u.name as created_by, m.created_at, u.name as updated_by, m.created_at as updated_at
from made m join users u on u.id = $4

-- name: insert_version
insert into secret_versions (secret_id, version, value, data_key, key_id, json_bytes, created_by) values ($1, $2, $3, $4, $5, $6, $7)

-- name: set_newest
update secrets set version = $2 where id = $1

-- name: count
select count(*) from secrets where project_id = $1

-- name: find
-- By id or name; an id has precedence over a name that looks like one.
select s.id, s.name, s.version, u.name as created_by, s.created_at, w.name as updated_by, v.created_at as updated_at
from secrets s join users u on u.id = s.created_by
join secret_versions v on v.secret_id = s.id and v.version = s.version join users w on w.id = v.created_by
where s.project_id = $1 and (s.id = $2 or s.name = $3) order by s.id = $2 desc nulls last limit 1

-- name: page
select s.id, s.name, s.version, u.name as created_by, s.created_at, w.name as updated_by, v.created_at as updated_at
from secrets s join users u on u.id = s.created_by
join secret_versions v on v.secret_id = s.id and v.version = s.version join users w on w.id = v.created_by
where s.project_id = $1 and s.id > $2 order by s.id limit $3

-- name: versions
select v.version, u.name as created_by, v.created_at
from secret_versions v join users u on u.id = v.created_by where v.secret_id = $1 order by v.version desc

-- name: known
-- The named secrets of the project, with the size of each version; without any of them the first names, for a refusal.
select s.id, s.name, s.version as newest, (select jsonb_object_agg(v.version, v.json_bytes) from secret_versions v where v.secret_id = s.id) as sizes
from secrets s where s.project_id = $1 and s.name = any($2::text[])

-- name: names
select name from secrets where project_id = $1 order by name limit $2

-- name: hold
-- Those of these versions that are there, locked until the transaction ends, so that none is deleted meanwhile.
select v.secret_id, v.version from secret_versions v
join unnest($1::uuid[], $2::integer[]) as n(secret_id, version) on v.secret_id = n.secret_id and v.version = n.version
order by v.secret_id, v.version for key share of v

-- name: lock_versions
-- After it no transaction that holds one of them is open: what came of it is seen by the next statement.
select version from secret_versions where secret_id = $1 order by version for update

-- name: users
-- Living services that have a version of the secret: by the current revision, the one that serves, or that of a live
-- session; and trial runs that have not ended. `pinned`: each of the service's references names the version.
select s.name as service, (p ->> 'version')::integer as version, bool_and(coalesce((p ->> 'fixed')::boolean, false)) as pinned
from revisions r join services s on s.id = r.service_id cross join lateral jsonb_array_elements(r.resolved -> 'secrets') p
where r.resolved -> 'secrets' @> jsonb_build_array(jsonb_build_object('secret_id', $1::uuid::text)) and r.resolved -> 'secrets' <> '[]'
  and p ->> 'secret_id' = $1::uuid::text
  and ((s.deleted_at is null and r.id in (s.revision_id, s.served_revision_id))
       or exists (select 1 from live_sessions x where x.revision_id = r.id))
group by 1, 2
union all
select null, (p ->> 'version')::integer, false
from live_sessions x cross join lateral jsonb_array_elements(x.resolved -> 'secrets') p
where x.revision_id is null and p ->> 'secret_id' = $1::uuid::text
order by 1 nulls last, 2

-- name: drop_versions
delete from secret_versions where secret_id = $1 and version = any($2::integer[])

-- name: delete
delete from secrets where id = $1

-- name: delete_all
delete from secrets where project_id = $1

-- name: sealed
select v.secret_id, v.version, v.value, v.data_key, v.key_id from secret_versions v
join unnest($1::uuid[], $2::integer[]) as n(secret_id, version) on v.secret_id = n.secret_id and v.version = n.version

-- name: of_import
-- The newest revision or trial run that needs the import, of those that are needed themselves: with which secret.
select (p ->> 'secret_id')::uuid as secret_id, (p ->> 'version')::integer as version
from (
    select r.id, r.resolved from revisions r join services s on s.id = r.service_id and r.id in (s.revision_id, s.served_revision_id)
    where r.resolved #>> '{source,import_id}' = $1::uuid::text and s.deleted_at is null
    union all
    select x.id, x.resolved from live_sessions x where x.revision_id is null and x.resolved #>> '{source,import_id}' = $1::uuid::text
) n cross join lateral jsonb_array_elements(n.resolved -> 'secrets') p
where p ->> 'use' = 'model' order by n.id desc limit 1

-- name: wrapped_by
-- Versions whose data key is encrypted with one of the former keys.
select secret_id, version, value, data_key, key_id from secret_versions where key_id = any($1::text[])
order by secret_id, version limit $2 for update skip locked

-- name: rewrap
update secret_versions v set data_key = n.data_key, key_id = $4
from unnest($1::uuid[], $2::integer[], $3::bytea[]) as n(secret_id, version, data_key)
where v.secret_id = n.secret_id and v.version = n.version
