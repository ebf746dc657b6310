-- Secrets of projects. A value is encrypted with a data key of its own, and that with a key of the operator's (secrets_keys).
create table secrets (
    id uuid primary key,
    project_id uuid not null references projects,
    name text not null check (length(name) between 1 and 63),
    -- the newest version
    version integer not null check (version >= 1),
    created_by uuid not null references users,
    created_at timestamptz not null default now(),
    unique (project_id, name)
);

create table secret_versions (
    secret_id uuid not null references secrets on delete cascade,
    version integer not null check (version >= 1),
    value bytea not null,
    -- the data key, encrypted with the key of this id
    data_key bytea not null,
    key_id text not null,
    -- size of the value as JSON text, as plans have it
    json_bytes integer not null check (json_bytes > 0),
    created_by uuid not null references users,
    created_at timestamptz not null default now(),
    primary key (secret_id, version)
);
create index secret_versions_key on secret_versions (key_id);

-- Which revisions have a secret.
create index revisions_secrets on revisions using gin ((resolved -> 'secrets') jsonb_path_ops) where resolved -> 'secrets' <> '[]';
