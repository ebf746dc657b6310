-- Trash: deleted folders that can be restored for a while. Their names are free. Managers of earlier versions see them as folders.
alter table folders
    add column trashed_at timestamptz,
    add column trashed_by text;
drop index folders_name;
create unique index folders_name on folders (project_id, name) where deleted_at is null and trashed_at is null;
create index folders_trashed on folders (trashed_at) where trashed_at is not null and deleted_at is null;
drop trigger folders_changed_live on folders;
create trigger folders_changed_live after update on folders for each row
    when ((old.name, old.deleted_at, old.trashed_at, old.stored_bytes, old.stored_files, old.changed_at)
        is distinct from (new.name, new.deleted_at, new.trashed_at, new.stored_bytes, new.stored_files, new.changed_at))
    execute function note_live_thing('folder', 'id', 'project_id');
