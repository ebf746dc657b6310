-- How machines join: tokens that operators make, and the identities on the bus that were signed.
create table join_tokens (
    id uuid primary key,
    secret_hash bytea not null check (octet_length(secret_hash) = 32),
    kind text not null check (kind in ('agent', 'proxy', 'autoscaler')),
    -- what agents that join with it get
    resource_group slug not null default 'default' references resource_groups,
    labels jsonb not null default '{}',
    uses integer not null check (uses between 1 and 1000),
    used integer not null default 0 check (used between 0 and uses),
    created_at timestamptz not null default now(),
    created_by text not null,
    expires_at timestamptz not null,
    revoked_at timestamptz
);
create index join_tokens_ended on join_tokens (expires_at);

-- One row per public key. Those of `headrace init`, which stand in files, get one when they are revoked.
create table bus_identities (
    public_key text primary key check (public_key ~ '^U[A-Z2-7]{55}$'),
    name slug not null,
    kind text not null check (kind in ('agent', 'proxy', 'autoscaler')),
    join_token_id uuid,
    resource_group slug not null default 'default' references resource_groups,
    labels jsonb not null default '{}',
    joined_at timestamptz not null default now(),
    issued_at timestamptz not null default now(),
    -- of the newest signature; null: it does not expire
    expires_at timestamptz,
    revoked_at timestamptz,
    revoked_by text not null default '',
    revoked_reason text not null default ''
);
create unique index bus_identities_names on bus_identities (name) where revoked_at is null;
create index bus_identities_revoked on bus_identities (revoked_at) where revoked_at is not null;
create index bus_identities_expired on bus_identities (expires_at);
