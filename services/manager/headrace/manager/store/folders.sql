-- name: insert
insert into folders (id, project_id, name, usage_mode, source, measured_at) values ($1, $2, $3, $4, $5, now())
returning id, project_id, name, usage_mode, created_at, source

-- name: find
-- By id or name, in the projects that the user sees (or in one of them).
select f.id, f.project_id, f.name, f.usage_mode, f.created_at, f.source, p.name as project, m.role
from folders f join projects p on p.id = f.project_id
left join memberships m on m.project_id = f.project_id and m.user_id = $3
where f.deleted_at is null and f.trashed_at is null and (f.id = $1 or f.name = $2) and ($4 or m.role is not null)
  and ($5::uuid[] is null or f.project_id = any($5)) and ($6::uuid is null or f.project_id = $6)
order by f.id = $1 desc nulls last, f.id limit 2

-- name: page
select f.id, f.project_id, f.name, f.usage_mode, f.created_at, f.source
from folders f
where f.deleted_at is null and f.trashed_at is null and f.id > $5
  and ($1 or exists (select 1 from memberships m where m.project_id = f.project_id and m.user_id = $2))
  and ($7::uuid[] is null or f.project_id = any($7))
  and ($3::uuid is null or f.project_id = $3) and ($4::text is null or f.usage_mode = $4)
order by f.id limit $6

-- name: of_source
select id, project_id, name, usage_mode, created_at, source from folders where project_id = $1 and source = $2 and deleted_at is null and trashed_at is null

-- name: by_id
select id, project_id, name, usage_mode, created_at, source from folders where id = $1 and deleted_at is null and trashed_at is null

-- name: hold
-- A service being created locks its folders, so that none is deleted at the same time.
select id, name from folders where id = any($1::uuid[]) and deleted_at is null and trashed_at is null for share

-- name: lock
select id from folders where id = $1 and deleted_at is null and trashed_at is null for update

-- name: rename
update folders set name = $2 where id = $1 returning id, project_id, name, usage_mode, created_at, source

-- name: rename_in_specs
-- Specs name folders as they were written, those of other projects with the folder's project; a revision made anew of one is to find
-- the same folder, at the same place.
update revisions r set spec = r.spec
    || case when r.spec ->> 'folder' = w.was then jsonb_build_object('folder', w.becomes) else '{}' end
    || case when r.spec -> 'extra_mounts' @> jsonb_build_array(jsonb_build_object('folder', w.was)) then
           jsonb_build_object('extra_mounts', (
               select jsonb_agg(case when m ->> 'folder' = w.was
                   then m || jsonb_build_object('folder', w.becomes, 'target', coalesce(m ->> 'target', $4 || '/' || $2))
                   else m end order by n)
               from jsonb_array_elements(r.spec -> 'extra_mounts') with ordinality as e(m, n)))
       else '{}' end
from services s, folders f join projects p on p.id = f.project_id
cross join lateral (values ($2::text, $3::text, true), (p.name || '/' || $2, p.name || '/' || $3, false)) as w(was, becomes, own)
where f.id = $1 and s.id = r.service_id and s.deleted_at is null
  and case when w.own then s.project_id = f.project_id
           else s.project_id = f.project_id or exists (
               select 1 from folder_shares h where h.folder_id = f.id and (h.all_projects or h.project_id = s.project_id)) end
  and r.resolved -> 'mounts' @> jsonb_build_array(jsonb_build_object('folder_id', $1::uuid::text))
  and (r.spec ->> 'folder' = w.was or r.spec -> 'extra_mounts' @> jsonb_build_array(jsonb_build_object('folder', w.was)))

-- name: users_of
-- Those of the folder's own project; of the others only how many.
with users as (
    select s.id, s.name::text as name, s.project_id from services s join revisions r on r.id = s.revision_id or r.id = s.served_revision_id
    where s.deleted_at is null and r.resolved -> 'mounts' @> jsonb_build_array(jsonb_build_object('folder_id', $1::uuid::text))
    union
    select coalesce(s.id, x.id), coalesce(s.name::text, 'a trial run'), x.project_id
    from live_sessions x left join revisions r on r.id = x.revision_id left join services s on s.id = x.service_id
    where coalesce(r.resolved, x.resolved) -> 'mounts' @> jsonb_build_array(jsonb_build_object('folder_id', $1::uuid::text))
)
select array(select distinct u.name from users u where u.project_id = f.project_id order by u.name limit 5) as names,
    (select count(*) from users u where u.project_id <> f.project_id) as others
from folders f where f.id = $1

-- name: services_of
-- Services that mount the folder now: the first $5 of those that the caller sees ($2 user, $3 operator, $4 projects), and how many in all.
with users as (
    select distinct s.id, s.name::text as name, s.project_id
    from services s join revisions r on r.id = s.revision_id or r.id = s.served_revision_id
    where s.deleted_at is null and r.resolved -> 'mounts' @> jsonb_build_array(jsonb_build_object('folder_id', $1::uuid::text))
)
select (select count(*) from users) as count, array(
    select row(u.name, p.name::text) from users u join projects p on p.id = u.project_id
    where ($3 or exists (select 1 from memberships m where m.project_id = u.project_id and m.user_id = $2))
      and ($4::uuid[] is null or u.project_id = any($4))
    order by u.name, u.id limit $5) as seen

-- name: older_users_of
-- Revisions of live services to which a rollback is possible.
select s.name, r.number from revisions r join services s on s.id = r.service_id
where s.deleted_at is null and s.project_id = (select project_id from folders where id = $1)
  and r.resolved -> 'mounts' @> jsonb_build_array(jsonb_build_object('folder_id', $1::uuid::text))
order by s.name, r.number desc limit 5

-- name: names_of_deleted
select name from folders where id = any($1::uuid[]) and (deleted_at is not null or trashed_at is not null) order by name

-- name: is_known
select exists (select 1 from folders where id = $1)

-- name: names
-- As specs of the project $2 name them.
select f.id, case when f.project_id = $2 then f.name else p.name || '/' || f.name end as name
from folders f join projects p on p.id = f.project_id where f.id = any($1::uuid[])

-- name: mark_deleted
with gone as (delete from store_models where folder_id = $1), shares as (delete from folder_shares where folder_id = $1)
update folders set deleted_at = now() where id = $1

-- name: mark_trashed
with gone as (delete from store_models where folder_id = $1)
update folders set trashed_at = now(), trashed_by = $2 where id = $1

-- name: trash_page
select f.id, f.project_id, f.name, f.usage_mode, f.created_at, f.source, f.stored_bytes, f.stored_files, f.trashed_at, f.trashed_by
from folders f
where f.deleted_at is null and f.trashed_at is not null and f.id > $5
  and ($1 or exists (select 1 from memberships m where m.project_id = f.project_id and m.user_id = $2))
  and ($4::uuid[] is null or f.project_id = any($4))
  and ($3::uuid is null or f.project_id = $3)
order by f.id limit $6

-- name: find_trashed
-- By id or name, in the projects that the user sees (or in one of them).
select f.id, f.project_id, f.name, f.usage_mode, f.created_at, f.source, p.name as project, m.role
from folders f join projects p on p.id = f.project_id
left join memberships m on m.project_id = f.project_id and m.user_id = $3
where f.deleted_at is null and f.trashed_at is not null and (f.id = $1 or f.name = $2) and ($4 or m.role is not null)
  and ($5::uuid[] is null or f.project_id = any($5)) and ($6::uuid is null or f.project_id = $6)
order by f.id = $1 desc nulls last, f.id limit 2

-- name: has_name
select exists (select 1 from folders where project_id = $1 and name = $2 and deleted_at is null and trashed_at is null)

-- name: lock_trashed
select id from folders where id = $1 and deleted_at is null and trashed_at is not null for update

-- name: due_in_trash
-- What was there long enough, and what is left of deleted projects; skips what another manager purges.
select f.id, f.project_id, f.name from folders f
where f.deleted_at is null and f.trashed_at is not null
  and (f.trashed_at < now() - $1::interval or exists (select 1 from projects p where p.id = f.project_id and p.deleted_at is not null))
order by f.trashed_at limit $2 for update skip locked

-- name: restore
update folders set trashed_at = null, trashed_by = null, name = $2, measured_at = null, definitions_due_at = now()
where id = $1 returning id, project_id, name, usage_mode, created_at, source

-- name: deleted
select f.id from folders f where f.deleted_at is not null order by f.deleted_at desc limit $1

-- name: insert_upload
insert into uploads (id, folder_id, path, size_bytes, sha256, created_by, modified_ns) values ($1, $2, $3, $4, $5, $6, $7)
returning id, folder_id, path, size_bytes, sha256, created_at, modified_ns

-- name: upload
select id, folder_id, path, size_bytes, sha256, created_at, modified_ns from uploads where id = $1 and folder_id = $2

-- name: uploads_of
select u.id, u.folder_id, u.path, u.size_bytes, u.sha256, u.created_at, u.modified_ns, w.name as created_by
from uploads u join users w on w.id = u.created_by where u.folder_id = $1 and u.id > $2 order by u.id limit $3

-- name: delete_upload
delete from uploads where id = $1 returning id

-- name: delete_uploads_of
delete from uploads where folder_id = $1 returning id

-- name: delete_old_uploads
delete from uploads where id = any($1::uuid[]) returning id

-- name: uploads_before
select id from uploads where created_at < now() - $1::interval order by created_at limit $2

-- name: open_uploads
select count(*) from uploads u join folders f on f.id = u.folder_id where f.project_id = $1

-- name: stored
-- An upload counts with its whole size, itself and the directories of its path, from its creation on. A reservation not
-- renewed for $2 belongs to a process that ended.
select (f.bytes + u.bytes + r.bytes)::bigint as bytes, (f.files + u.files + r.files)::bigint as files
from (
    select coalesce(sum(stored_bytes), 0) as bytes, coalesce(sum(stored_files), 0) as files
    from folders where project_id = $1 and deleted_at is null
) f, (
    select coalesce(sum(u.size_bytes), 0) as bytes,
        coalesce(sum(1 + length(u.path) - length(replace(u.path, '/', ''))), 0) as files
    from uploads u join folders f on f.id = u.folder_id where f.project_id = $1 and f.deleted_at is null
) u, (
    select coalesce(sum(r.bytes), 0) as bytes, coalesce(sum(r.files), 0) as files
    from reservations r join folders f on f.id = r.folder_id
    where f.project_id = $1 and f.deleted_at is null and r.touched_at > now() - $2::interval
) r

-- name: reserve
insert into reservations (id, folder_id, bytes, files) values ($1, $2, $3, $4)
on conflict (id) do update set bytes = reservations.bytes + $3, files = reservations.files + $4, touched_at = now()

-- name: unreserve
delete from reservations where id = $1

-- name: drop_stale_reservations
delete from reservations where id in (select id from reservations where touched_at < now() - $1::interval order by touched_at limit $2)

-- name: add_stored
update folders set stored_bytes = greatest(0, stored_bytes + $2 - $4), stored_files = greatest(0, stored_files + $3 - $5),
    gained_bytes = gained_bytes + $2, gained_files = gained_files + $3, lost_bytes = lost_bytes + $4, lost_files = lost_files + $5,
    changed_at = now(), definitions_due_at = now()
where id = $1

-- name: next_to_measure
-- Skips locked rows: one folder per manager.
update folders set measured_at = now() where id = (
    select id from folders where deleted_at is null and trashed_at is null and (measured_at is null or measured_at < now() - $1::interval)
    order by measured_at nulls first limit 1 for no key update skip locked
) returning id, stored_bytes, stored_files, gained_bytes, gained_files, lost_bytes, lost_files

-- name: gained_and_lost
-- Locked until the transaction ends. Changes of requests in progress are not counted yet.
select gained_bytes, gained_files, lost_bytes, lost_files,
    exists (select 1 from reservations r where r.folder_id = folders.id and r.touched_at > now() - $2::interval) as busy
from folders where id = $1 and deleted_at is null and trashed_at is null for no key update

-- name: correct_stored
update folders set stored_bytes = greatest(0, stored_bytes + $2), stored_files = greatest(0, stored_files + $3) where id = $1

-- name: measure_again
update folders set measured_at = now() - $2::interval + $3::interval where id = $1
