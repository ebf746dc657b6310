-- With whom folders are shared: with a project, with all of them, or (an invitation) with the project that the invited user names.
create table folder_shares (
    id uuid primary key,
    folder_id uuid not null references folders,
    project_id uuid references projects,
    user_id uuid references users on delete cascade,
    all_projects boolean not null default false,
    permission text not null check (permission in ('read', 'write')),
    created_by text not null,
    created_at timestamptz not null default now(),
    -- of an invitation
    expires_at timestamptz,
    check (num_nonnulls(project_id, user_id) + all_projects::integer = 1),
    check ((user_id is null) = (expires_at is null)),
    check (not all_projects or permission = 'read')
);
create unique index folder_shares_project on folder_shares (folder_id, project_id) where project_id is not null;
create unique index folder_shares_user on folder_shares (folder_id, user_id) where user_id is not null;
create unique index folder_shares_all on folder_shares (folder_id) where all_projects;
create index folder_shares_of_project on folder_shares (project_id, folder_id) where project_id is not null;
create index folder_shares_of_user on folder_shares (user_id, id) where user_id is not null;
create index folder_shares_expired on folder_shares (expires_at) where expires_at is not null;

-- A share concerns the folder's project, the one that it is shared with, and who is invited.
create function note_live_share() returns trigger language plpgsql as $$
declare
    share folder_shares := case when tg_op = 'DELETE' then old else new end;
begin
    insert into live_changes (kind, thing_id, project_id)
    select 'folder', f.id::text, p.id from folders f cross join lateral (select f.project_id union select share.project_id) p(id)
    where f.id = share.folder_id and p.id is not null;
    if tg_op = 'UPDATE' and old.project_id is distinct from new.project_id and old.project_id is not null then
        insert into live_changes (kind, thing_id, project_id) values ('folder', old.folder_id::text, old.project_id);
    end if;
    insert into live_changes (kind, thing_id) select distinct 'user', u.id::text
    from unnest(array[share.user_id, case when tg_op = 'UPDATE' then old.user_id end]) u(id) where u.id is not null;
    return null;
end $$;
create trigger folder_shares_live after insert or update or delete on folder_shares for each row execute function note_live_share();

-- What changes of a folder concerns the projects that it is shared with, too.
create function note_live_shared_folder() returns trigger language plpgsql as $$
begin
    insert into live_changes (kind, thing_id, project_id)
    select 'folder', new.id::text, s.project_id from folder_shares s where s.folder_id = new.id and s.project_id is not null;
    return null;
end $$;
create trigger shared_folders_changed_live after update on folders for each row
    when ((old.name, old.deleted_at, old.trashed_at, old.stored_bytes, old.stored_files, old.changed_at)
        is distinct from (new.name, new.deleted_at, new.trashed_at, new.stored_bytes, new.stored_files, new.changed_at))
    execute function note_live_shared_folder();
