-- Each query: the text ($1), how many at most ($2), and what the caller may see ($3 user, $4 operator,
-- $5 projects). Those first whose name is the text, then those whose name begins with it.

-- name: service
select s.id, s.name::text as name, p.name::text as project, s.description
from services s join projects p on p.id = s.project_id
where s.deleted_at is null
  and ($4 or exists (select 1 from memberships m where m.project_id = s.project_id and m.user_id = $3))
  and ($5::uuid[] is null or s.project_id = any($5))
  and strpos(lower(concat_ws(' ', s.name, s.description, s.tags::text)), lower($1)) > 0
order by s.name <> lower($1), not starts_with(s.name, lower($1)), s.name limit $2

-- name: folder
select f.id, f.name::text as name, p.name::text as project, f.usage_mode as description
from folders f join projects p on p.id = f.project_id
where f.deleted_at is null and f.trashed_at is null
  and ($4 or exists (select 1 from memberships m where m.project_id = f.project_id and m.user_id = $3))
  and ($5::uuid[] is null or f.project_id = any($5))
  and strpos(f.name, lower($1)) > 0
order by f.name <> lower($1), not starts_with(f.name, lower($1)), f.name, f.id limit $2

-- name: project
select p.id, p.name::text as name, null::text as project, p.description
from projects p
where p.deleted_at is null
  and ($4 or exists (select 1 from memberships m where m.project_id = p.id and m.user_id = $3))
  and ($5::uuid[] is null or p.id = any($5))
  and strpos(lower(concat_ws(' ', p.name, p.description)), lower($1)) > 0
order by p.name <> lower($1), not starts_with(p.name, lower($1)), p.name limit $2

-- name: machine
-- Operators see machines; the others are of no concern here.
select a.id::text as id, a.id::text as name, null::text as project, a.resource_group::text as description
from agents a
where $4 and $3::uuid is not null and $5::uuid[] is null
  and strpos(lower(concat_ws(' ', a.id, a.resource_group, a.machine ->> 'hostname', a.labels::text)), lower($1)) > 0
order by a.id <> lower($1), not starts_with(a.id, lower($1)), a.id limit $2

-- name: user
-- Operators see everybody, and who is one; others themselves and the members of their projects.
select u.id, u.name::text as name, null::text as project, case when $4 and u.operator then 'operator' else '' end as description
from users u
where strpos(u.name, lower($1)) > 0
  and ($4 or u.id = $3 or u.id in (
           select o.user_id from memberships m
           join memberships o on o.project_id = m.project_id
           join projects p on p.id = m.project_id and p.deleted_at is null
           where m.user_id = $3 and ($5::uuid[] is null or m.project_id = any($5))))
order by u.name <> lower($1), not starts_with(u.name, lower($1)), u.name limit $2
