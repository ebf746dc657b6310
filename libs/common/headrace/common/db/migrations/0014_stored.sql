-- What folders hold, counted with each change and corrected by a walk now and then.
alter table folders
    add column stored_bytes bigint not null default 0,
    -- files, directories, links
    add column stored_files bigint not null default 0,
    -- when they were counted up or down last
    add column changed_at timestamptz,
    -- when its walk was begun last; null: never
    add column measured_at timestamptz;
create index folders_measured on folders (measured_at nulls first) where deleted_at is null;
