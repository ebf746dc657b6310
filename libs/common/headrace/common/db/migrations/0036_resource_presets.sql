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
-- Resource groups are deleted now; each of these is looked at for what is still in one.
create index agents_resource_group on agents (resource_group);
create index services_resource_group on services (resource_group);
create index sessions_resource_group on sessions (resource_group);
create index join_tokens_resource_group on join_tokens (resource_group);
create index bus_identities_resource_group on bus_identities (resource_group);
