-- name: find_shared
-- A folder that is shared with a project of the caller ($3 user, $4 of these projects only, null: all), or with all. By id $1;
-- or by id or name $2 in the project $5 (id) or $6 (name).
select f.id, f.project_id, f.name, f.usage_mode, f.created_at, f.source, p.name::text as project, s.permission
from folders f join projects p on p.id = f.project_id
join lateral (
    select max(case when m.role in ('owner', 'member') then s.permission else 'read' end) as permission
    from folder_shares s
    left join memberships m on m.project_id = s.project_id and m.user_id = $3 and ($4::uuid[] is null or m.project_id = any($4))
    where s.folder_id = f.id and (s.all_projects or m.role is not null)
) s on s.permission is not null
where f.deleted_at is null and f.trashed_at is null
  and case when $6::text is null then f.id = $1 else (f.id = $1 or f.name = $2) and (p.id = $5 or p.name = $6) end
order by f.id = $1 desc nulls last limit 1

-- name: find_usable
-- A folder that services of the project $3 may mount: one of its own, or one that is shared with it. By id $1, or by name $2 in the
-- project $4 (id) or $5 (name).
select f.id, f.project_id, f.name, f.usage_mode, f.created_at, f.source, p.name::text as project, s.permission
from folders f join projects p on p.id = f.project_id
left join lateral (
    select max(s.permission) as permission from folder_shares s
    where s.folder_id = f.id and (s.all_projects or s.project_id = $3)
) s on true
where f.deleted_at is null and f.trashed_at is null and (f.project_id = $3 or s.permission is not null)
  and (f.id = $1 or f.name = $2 and (p.id = $4 or p.name = $5))
order by f.id = $1 desc nulls last limit 1

-- name: usable
-- What services of the project $2 may do with these folders; those that they may not mount are missing.
select f.id, case when f.project_id = $2 then 'write' else max(s.permission) end as permission
from folders f left join folder_shares s on s.folder_id = f.id and (s.all_projects or s.project_id = $2)
where f.id = any($1::uuid[]) group by f.id having f.project_id = $2 or max(s.permission) is not null

-- name: page_shared
-- Folders of other projects that are shared with a project of the caller ($1 user, $2 of these projects only, null: all; $3: with
-- this one), or with all.
select f.id, f.project_id, f.name, f.usage_mode, f.created_at, f.source
from folders f
where f.deleted_at is null and f.trashed_at is null and f.id > $5 and ($4::text is null or f.usage_mode = $4)
  and f.id in (
      select s.folder_id from folder_shares s
      where s.all_projects or s.project_id in (
          select m.project_id from memberships m
          where m.user_id = $1 and ($2::uuid[] is null or m.project_id = any($2)) and ($3::uuid is null or m.project_id = $3)
          union select $3::uuid where $7))
  and case when $3::uuid is not null then f.project_id <> $3
           else not exists (select 1 from memberships m where m.project_id = f.project_id and m.user_id = $1
                            and ($2::uuid[] is null or m.project_id = any($2))) end
order by f.id limit $6

-- name: described
-- What is said of these folders to the caller ($2 user, $3 of these projects only, null: all).
select f.id, p.name::text as project, f.stored_bytes, f.stored_files, m.role, s.permission, c.shared_with, c.shared_with_all
from folders f join projects p on p.id = f.project_id
left join memberships m on m.project_id = f.project_id and m.user_id = $2 and ($3::uuid[] is null or m.project_id = any($3))
cross join lateral (
    select count(*) filter (where not s.all_projects and (s.expires_at is null or s.expires_at > now())) as shared_with,
        coalesce(bool_or(s.all_projects), false) as shared_with_all
    from folder_shares s where s.folder_id = f.id
) c
cross join lateral (
    select max(case when o.role in ('owner', 'member') then s.permission else 'read' end) as permission
    from folder_shares s
    left join memberships o on o.project_id = s.project_id and o.user_id = $2 and ($3::uuid[] is null or o.project_id = any($3))
    where s.folder_id = f.id and (s.all_projects or o.role is not null)
) s
where f.id = any($1::uuid[])

-- name: put_project
insert into folder_shares (id, folder_id, project_id, permission, created_by) values ($1, $2, $3, $4, $5)
on conflict (folder_id, project_id) where project_id is not null do update set permission = $4
returning id

-- name: put_user
insert into folder_shares (id, folder_id, user_id, permission, created_by, expires_at) values ($1, $2, $3, $4, $5, now() + $6::interval)
on conflict (folder_id, user_id) where user_id is not null
do update set permission = $4, created_by = $5, created_at = now(), expires_at = now() + $6::interval
returning id

-- name: put_all
insert into folder_shares (id, folder_id, all_projects, permission, created_by) values ($1, $2, true, 'read', $3)
on conflict (folder_id) where all_projects do update set permission = 'read'
returning id

-- name: of_folder
-- $2: this one only. $5: those with projects of this user only, and ($6) of these projects.
select s.id, s.folder_id, s.project_id, p.name::text as project, s.user_id, u.name::text as "user", s.all_projects, s.permission,
    s.created_by, s.created_at, s.expires_at
from folder_shares s left join projects p on p.id = s.project_id left join users u on u.id = s.user_id
where s.folder_id = $1 and ($2::uuid is null or s.id = $2) and (s.expires_at is null or s.expires_at > now()) and s.id > $3
  and ($5::uuid is null or exists (
      select 1 from memberships m where m.project_id = s.project_id and m.user_id = $5 and ($6::uuid[] is null or m.project_id = any($6))))
order by s.id limit $4

-- name: count_of_folder
select count(*) from folder_shares where folder_id = $1 and (expires_at is null or expires_at > now())

-- name: count_of_user
select count(*) from folder_shares where user_id = $1 and expires_at > now()

-- name: invitations
-- Of folders that are there. $2: this one only.
select s.id, s.folder_id, s.project_id, null::text as project, s.user_id, u.name::text as "user", s.all_projects, s.permission,
    s.created_by, s.created_at, s.expires_at,
    f.name as folder, f.usage_mode, f.project_id as owner_id, p.name::text as owner, f.created_at as folder_created_at, f.source
from folder_shares s join users u on u.id = s.user_id join folders f on f.id = s.folder_id join projects p on p.id = f.project_id
where s.user_id = $1 and ($2::uuid is null or s.id = $2) and s.expires_at > now() and s.id > $3
  and f.deleted_at is null and f.trashed_at is null
order by s.id limit $4

-- name: delete
delete from folder_shares where id = $1

-- name: delete_of_project
delete from folder_shares where project_id = $1
