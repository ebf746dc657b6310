-- name: want
-- A revision or trial run that is being made needs this import: it is done, in progress, or begins. The row is locked until
-- the transaction ends, as by the end of an import.
insert into imports (id, folder_id, version, size_bytes, files) values ($1, $2, $3, $4, $5)
on conflict (id) do update set touched_at = now(), next_try_at = least(imports.next_try_at, now())

-- name: of
select i.id, i.folder_id, f.project_id, p.name as project, f.source as uri, i.version, i.size_bytes, i.files, i.done_bytes,
       i.bytes_per_s, i.snapshot_id, i.error, i.attempts, i.next_try_at, coalesce(i.leased_until > now(), false) as running, i.ended_at
from imports i join folders f on f.id = i.folder_id join projects p on p.id = f.project_id where i.id = any($1::uuid[])

-- name: claim
-- The next import that a living service or a trial run needs, of a folder into which no other one is in progress; $1: the
-- manager's lease, $2: its duration. The folder is locked, so that managers take one after the other.
update imports set leased_by = $1, leased_until = now() + $2::interval, done_bytes = 0, bytes_per_s = null
where id = (
    select i.id from imports i join folders f on f.id = i.folder_id
    where i.snapshot_id is null and i.next_try_at <= now() and (i.leased_until is null or i.leased_until < now())
      and f.deleted_at is null
      and not exists (select 1 from imports o where o.folder_id = i.folder_id and o.id <> i.id and o.leased_until > now())
      and (exists (select 1 from revisions r join services s on s.id = r.service_id and r.id in (s.revision_id, s.served_revision_id)
                   where r.resolved #>> '{source,import_id}' = i.id::text and s.deleted_at is null)
           or exists (select 1 from live_sessions x where x.revision_id is null and x.resolved #>> '{source,import_id}' = i.id::text))
    order by i.next_try_at limit 1 for no key update of i, f skip locked)
returning id

-- name: renew
-- Extends the lease, with the room that the import reserved under its id, and stores the progress; nothing where another
-- manager has it by now.
with room as (update reservations set touched_at = now() where id = $1)
update imports set leased_until = now() + $3::interval, done_bytes = $4, bytes_per_s = $5
where id = $1 and leased_by = $2 returning id

-- name: fail
update imports set leased_by = null, leased_until = null, error = $3, attempts = attempts + 1, next_try_at = now() + $4::interval
where id = $1 and leased_by = $2

-- name: release
-- The manager stops: another one goes on at once.
update imports set leased_by = null, leased_until = null where id = $1 and leased_by = $2

-- name: finish
update imports set leased_by = null, leased_until = null, error = null, snapshot_id = $3, done_bytes = size_bytes, bytes_per_s = null,
    ended_at = now()
where id = $1 and leased_by = $2 returning id

-- name: fill_revisions
-- Once, when the import ends: from here on these revisions are as those of model folders.
update revisions set resolved = jsonb_set(resolved, '{mounts,0,snapshot_id}', to_jsonb($2::text))
where resolved #>> '{source,import_id}' = $1::uuid::text and resolved #>> '{mounts,0,snapshot_id}' is null

-- name: fill_sessions
update sessions set resolved = jsonb_set(resolved, '{mounts,0,snapshot_id}', to_jsonb($2::text)), rev = rev + 1
where status <> 'ended' and revision_id is null and resolved #>> '{source,import_id}' = $1::uuid::text
  and resolved #>> '{mounts,0,snapshot_id}' is null

-- name: unfilled
-- Imports that ended, of which revisions do not have the content: they were made at the same time.
select distinct i.id, i.folder_id, i.snapshot_id from imports i
join revisions r on r.resolved #>> '{source,import_id}' = i.id::text and r.resolved #>> '{mounts,0,snapshot_id}' is null
where i.snapshot_id is not null limit $1

-- name: unfilled_trials
select distinct i.id, i.folder_id, i.snapshot_id from imports i
join live_sessions x on x.revision_id is null and x.resolved #>> '{source,import_id}' = i.id::text
  and x.resolved #>> '{mounts,0,snapshot_id}' is null
where i.snapshot_id is not null limit $1

-- name: again
-- Its content was removed as unused: it is imported again.
update imports set snapshot_id = null, ended_at = null, next_try_at = now() where id = $1 and snapshot_id = $2

-- name: retry
update imports set next_try_at = now(), attempts = 0 where id = $1 and snapshot_id is null and next_try_at > now()

-- name: unused
-- Folders of model URIs that no revision and no trial run needs, and that nobody asked for in the time $1; and deleted ones
-- that have imports left.
select f.id from folders f where f.source is not null and (
    (f.deleted_at is not null and exists (select 1 from imports i where i.folder_id = f.id))
    or (f.deleted_at is null and f.created_at < now() - $1::interval and not exists (
        select 1 from imports i where i.folder_id = f.id and (i.touched_at > now() - $1::interval
            or exists (select 1 from revisions r join services s on s.id = r.service_id
                       where r.resolved #>> '{source,import_id}' = i.id::text
                         and (s.deleted_at is null or exists (select 1 from live_sessions x where x.revision_id = r.id)))
            or exists (select 1 from live_sessions x
                       where x.revision_id is null and x.resolved #>> '{source,import_id}' = i.id::text)))))
order by f.id limit $2

-- name: abandon
-- Imports that did not end, and that no service needs since the time $1: they are not tried before somebody asks again.
update imports set next_try_at = 'infinity', leased_by = null, leased_until = null, error = null
where id in (
    select i.id from imports i
    where i.snapshot_id is null and i.next_try_at < 'infinity' and i.touched_at < now() - $1::interval
      and (i.leased_until is null or i.leased_until < now())
      and not exists (select 1 from revisions r join services s on s.id = r.service_id and r.id in (s.revision_id, s.served_revision_id)
                      where r.resolved #>> '{source,import_id}' = i.id::text and s.deleted_at is null)
      and not exists (select 1 from live_sessions x where x.resolved #>> '{source,import_id}' = i.id::text)
    order by i.id limit $2 for update skip locked)
returning id, folder_id

-- name: ids_of
select id from imports where folder_id = $1

-- name: forget
delete from imports where folder_id = $1
