-- name: lock
-- One at a time, so that the number of groups holds.
select pg_advisory_xact_lock(5208208757389214298)

-- name: count
select count(*) from resource_groups

-- name: insert
insert into resource_groups (name, project_ids) values ($1, $2) on conflict do nothing returning name

-- name: page
-- With the projects that may use each, of those that the caller ($3: user, $4: operator, $5: the key's projects) sees.
select g.name, g.created_at, case when g.project_ids is not null then (
    select coalesce(array_agg(p.name order by p.name), '{}') from projects p
    where p.id = any(g.project_ids) and p.deleted_at is null and ($5::uuid[] is null or p.id = any($5))
      and ($4 or exists (select 1 from memberships m where m.project_id = p.id and m.user_id = $3))) end as projects
from resource_groups g where g.name > $1 and ($6::text is null or g.name = $6) order by g.name limit $2

-- name: set_projects
update resource_groups set project_ids = $2::uuid[] where name = $1

-- name: allowed
-- Whether a project may use the group. No row: there is none.
select project_ids is null or $2 = any(project_ids) from resource_groups where name = $1

-- name: usable
-- Groups that the project ($1; null: any) may use.
select name from resource_groups where $1::uuid is null or project_ids is null or $1 = any(project_ids) order by name limit $2

-- name: of_projects
-- Of each project ($1) the group of what it makes and asks for group $2 (null: none), and whether it may use that.
select p.id, w.name, coalesce(g.project_ids is null and g.name is not null or p.id = any(g.project_ids), false) as allowed
from projects p cross join lateral (select coalesce($2, p.resource_group, $3) as name) w
left join resource_groups g on g.name = w.name where p.id = any($1::uuid[])

-- name: hold
select name from resource_groups where name = $1 for update

-- name: users
select (select count(*) from agents where resource_group = $1) as machines,
       (select count(*) from services s where s.deleted_at is null and (s.resource_group = $1 or exists (
            select 1 from revisions v where v.id = s.served_revision_id and v.resolved ->> 'resource_group' = $1))) as services,
       (select count(*) from projects where resource_group = $1 and deleted_at is null) as projects

-- name: delete
delete from resource_groups where name = $1
