-- name: insert
insert into projects (id, name, description, quota, features_off) values ($1, $2, $3, $4, $5)
returning id, name, description, quota, created_at, resource_group, features_off

-- name: find
-- By name or id; an id has precedence over a name that looks like one.
select p.id, p.name, p.description, p.quota, p.created_at, p.resource_group, p.features_off, m.role
from projects p left join memberships m on m.project_id = p.id and m.user_id = $3
where p.deleted_at is null and (p.id = $1 or p.name = $2) and ($4::uuid[] is null or p.id = any($4))
order by p.id = $1 desc nulls last limit 1

-- name: of_caller
select p.id, p.name, p.description, p.quota, p.created_at, p.resource_group, p.features_off, m.role
from projects p join memberships m on m.project_id = p.id and m.user_id = $1
where p.deleted_at is null and ($2::uuid[] is null or p.id = any($2)) order by p.id

-- name: visible
select p.id, p.name, p.description, p.quota, p.created_at, p.resource_group, p.features_off
from projects p
where p.deleted_at is null and p.id > $3 and ($5::uuid[] is null or p.id = any($5))
  and ($1 or exists (select 1 from memberships m where m.project_id = p.id and m.user_id = $2))
order by p.id limit $4

-- name: lock
select id, name, description, quota, created_at, resource_group, features_off from projects where id = $1 and deleted_at is null for no key update

-- name: room
-- First read of a create, in one round trip: the project (share-locked until the transaction ends), its number of
-- services, and whether it may use the resource group (null: there is none).
select p.id, p.name, p.description, p.quota, p.created_at, p.resource_group, p.features_off,
       (select count(*) from services s where s.project_id = p.id and s.deleted_at is null) as services,
       (select g.project_ids is null or p.id = any(g.project_ids) from resource_groups g where g.name = $2) as group_allowed
from projects p where p.id = $1 and p.deleted_at is null for share of p

-- name: used
select slot, sum(amount) as amount from (
    select e.key as slot, e.value::numeric * s.wanted as amount
    from services s join revisions r on r.id = s.revision_id cross join lateral jsonb_each_text(r.resolved -> 'slots') e
    where s.project_id = $1 and s.deleted_at is null and s.goal = 'running' and s.id is distinct from $2
    union all
    select 'services', 1 from services s
    where s.project_id = $1 and s.deleted_at is null and s.goal = 'running' and s.id is distinct from $2
    union all
    select e.key, e.value::numeric
    from live_sessions x cross join lateral jsonb_each_text(x.resolved -> 'slots') e
    where x.project_id = $1 and x.service_id is null
    union all
    select 'services', 1 from live_sessions x where x.project_id = $1 and x.service_id is null
) held group by slot order by slot

-- name: holders
-- What holds the project's usage: services that run and trial runs, then folders, those with most first.
(select 'service' as kind, s.id, s.name, u.name as owner, s.wanted as replicas, r.resolved -> 'slots' as slots,
        0::bigint as bytes, 0::bigint as files
 from services s join revisions r on r.id = s.revision_id join users u on u.id = s.created_by
 where s.project_id = $1 and s.deleted_at is null and s.goal = 'running' order by s.wanted desc, s.id limit $2)
union all
(select 'trial-run', x.id, '', coalesce(u.name, ''), 1, x.resolved -> 'slots', 0, 0
 from live_sessions x left join users u on u.id = x.created_by
 where x.project_id = $1 and x.service_id is null order by x.id limit $2)
union all
(select 'folder', f.id, case when f.trashed_at is null then f.name else f.name || ' (in the trash)' end, '', 0, null, f.stored_bytes, f.stored_files
 from folders f where f.project_id = $1 and f.deleted_at is null order by f.stored_bytes desc, f.id limit $2)

-- name: in_use
select
    (select count(*) from services where project_id = $1 and deleted_at is null) as services,
    (select count(*) from folders where project_id = $1 and deleted_at is null and trashed_at is null) as folders,
    (select count(*) from folders where project_id = $1 and deleted_at is null and trashed_at is not null) as trashed

-- name: update
update projects set description = $2, quota = $3, resource_group = $4, features_off = $5 where id = $1
returning id, name, description, quota, created_at, resource_group, features_off

-- name: mark_deleted
update projects set deleted_at = now() where id = $1

-- name: put_member
insert into memberships (project_id, user_id, role) values ($1, $2, $3)
on conflict (project_id, user_id) do update set role = excluded.role

-- name: role
select role from memberships where project_id = $1 and user_id = $2

-- name: remove_member
delete from memberships where project_id = $1 and user_id = $2 returning role

-- name: members
select u.id, u.name, m.role from memberships m join users u on u.id = m.user_id
where m.project_id = $1 and u.id > $2 order by u.id limit $3

-- name: owners
select user_id from memberships where project_id = $1 and role = 'owner'

-- name: other_members
select count(*) from memberships where project_id = $1 and user_id <> $2
