-- Resource presets: named sizes of slots. Those without a project are for all projects. Revisions keep the amounts that they were made
-- with, so nothing refers to a row.
create table resource_presets (
    id uuid primary key,
    project_id uuid references projects,
    name slug not null,
    description text not null default '',
    slots jsonb not null check (slots <> '{}'),
    created_by uuid not null references users,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);
create unique index resource_presets_name on resource_presets (project_id, name) where project_id is not null;
create unique index resource_presets_of_all on resource_presets (name) where project_id is null;
