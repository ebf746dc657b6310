-- Models that come from a URI: the folder that holds the files of one, and the imports of its versions.
alter table folders add column source text check (length(source) between 1 and 2048);
create unique index folders_source on folders (project_id, source) where source is not null and deleted_at is null;

create table imports (
    -- made of folder and version: the same for all who ask for it
    id uuid primary key,
    folder_id uuid not null references folders,
    version text not null check (length(version) between 1 and 300),
    size_bytes bigint not null check (size_bytes >= 0),
    files integer not null check (files >= 1),
    done_bytes bigint not null default 0,
    bytes_per_s double precision,
    -- the imported content; null: it is not whole
    snapshot_id text,
    error text check (length(error) <= 1000),
    attempts integer not null default 0,
    next_try_at timestamptz not null default now(),
    leased_by uuid,
    leased_until timestamptz,
    created_at timestamptz not null default now(),
    -- when somebody asked for it last
    touched_at timestamptz not null default now(),
    ended_at timestamptz,
    unique (folder_id, version)
);
create index imports_due on imports (next_try_at) where snapshot_id is null;

-- Which revisions need an import, and which wait for its end.
create index revisions_import on revisions ((resolved #>> '{source,import_id}'))
    where resolved #>> '{source,import_id}' is not null;
create index revisions_unfilled on revisions ((resolved #>> '{source,import_id}'))
    where resolved #>> '{source,import_id}' is not null and resolved #>> '{mounts,0,snapshot_id}' is null;
