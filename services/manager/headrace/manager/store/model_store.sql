-- name: claim_next
-- The folder that is longest due; skips locked rows. $1: how long others leave it alone.
update folders set definitions_due_at = now() + $1::interval where id = (
    select id from folders
    where deleted_at is null and trashed_at is null and usage_mode = 'model' and source is null and definitions_due_at <= now()
    order by definitions_due_at limit 1 for no key update skip locked
) returning id, project_id, name, usage_mode, created_at, source, definitions_due_at,
    (select digest from store_models m where m.folder_id = folders.id) as digest

-- name: claim
-- This folder, if it is due.
update folders set definitions_due_at = now() + $1::interval
where id = $2 and deleted_at is null and trashed_at is null and usage_mode = 'model' and source is null and definitions_due_at <= now()
returning id, project_id, name, usage_mode, created_at, source, definitions_due_at,
    (select digest from store_models m where m.folder_id = folders.id) as digest

-- name: rest
-- Unless it changed while its files were read.
update folders set definitions_due_at = now() + $3::interval where id = $1 and definitions_due_at = $2

-- name: put
insert into store_models (folder_id, digest, tasks, words, entry, detail)
select f.id, $2::text, $3::text[], $4::text, $5::jsonb, $6::jsonb from folders f where f.id = $1 and f.deleted_at is null and f.trashed_at is null
on conflict (folder_id) do update set digest = $2, tasks = $3, words = $4, entry = $5, detail = $6

-- name: remove
delete from store_models where folder_id = $1

-- name: page
-- Of the caller's projects ($1 user, $2 operator, $3 of these only) and what is shared with them; $6: of this one, and what is shared
-- with it.
select f.id, f.project_id, f.name, f.usage_mode, f.created_at, f.source, f.stored_bytes, f.stored_files, p.name as project,
       m.entry, null::jsonb as detail, not own.is_own as shared_to_caller
from store_models m join folders f on f.id = m.folder_id join projects p on p.id = f.project_id
cross join lateral (select ($2 or exists (select 1 from memberships w where w.project_id = f.project_id and w.user_id = $1))
                           and ($3::uuid[] is null or f.project_id = any($3)) as is_own) own
where f.deleted_at is null and f.trashed_at is null and f.id > $4
  and (own.is_own and ($6::uuid is null or f.project_id = $6) or exists (
      select 1 from folder_shares h
      left join memberships w on w.project_id = h.project_id and w.user_id = $1 and ($3::uuid[] is null or w.project_id = any($3))
      where h.folder_id = f.id
        and (h.all_projects or ($6::uuid is null or h.project_id = $6) and (w.role is not null or $2 and h.project_id = $6))))
  and ($7::text is null or strpos(lower(f.name) || ' ' || m.words, lower($7)) > 0)
  and ($8::text is null or lower($8) = any(m.tasks))
order by f.id limit $5

-- name: find
select f.id, f.project_id, f.name, f.usage_mode, f.created_at, f.source, f.stored_bytes, f.stored_files, p.name as project,
       m.entry, m.detail,
       not (($3 or exists (select 1 from memberships w where w.project_id = f.project_id and w.user_id = $2))
            and ($4::uuid[] is null or f.project_id = any($4))) as shared_to_caller
from store_models m join folders f on f.id = m.folder_id join projects p on p.id = f.project_id
where f.id = $1 and f.deleted_at is null and f.trashed_at is null
