-- Model store: what the definition files of model folders say. They are read again when a folder has changed.
-- When they are to be read next: now() after a change, a day later otherwise. Managers of earlier versions do not set it.
alter table folders add column definitions_due_at timestamptz not null default now();
create index folders_definitions_due on folders (definitions_due_at) where deleted_at is null and usage_mode = 'model' and source is null;

-- One row for each folder with both definition files.
create table store_models (
    folder_id uuid primary key references folders on delete cascade,
    -- of the files that were read
    digest text not null check (length(digest) = 64),
    -- of all its models, in lower case
    tasks text[] not null,
    -- what a search looks at, in lower case
    words text not null,
    -- what a list shows of it
    entry jsonb not null,
    -- all models, and the sections of service-definition.toml
    detail jsonb not null
);
