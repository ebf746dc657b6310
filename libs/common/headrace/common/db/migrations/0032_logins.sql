-- People log in: by API key, by name and password, by one-time code. And what a key may do, and when it was used last.
create table passwords (
    user_id uuid primary key references users on delete cascade,
    -- argon2id, with its parameters
    hash text not null check (length(hash) between 1 and 500),
    changed_at timestamptz not null default now()
);

create table logins (
    id uuid primary key,
    user_id uuid not null references users on delete cascade,
    secret_hash bytea not null check (octet_length(secret_hash) = 32),
    -- how its secret is sent: by a browser as a cookie, by a program as a bearer token
    form text not null check (form in ('cookie', 'token')),
    method text not null check (method in ('key', 'password', 'code')),
    -- the key that it came from, with which it ends
    key_id uuid references api_keys on delete cascade,
    source_address text not null default '' check (length(source_address) <= 100),
    user_agent text not null default '' check (length(user_agent) <= 200),
    created_at timestamptz not null default now(),
    last_used_at timestamptz not null default now(),
    ends_at timestamptz not null
);
create index logins_user on logins (user_id, id);
create index logins_key on logins (key_id) where key_id is not null;
create index logins_ended on logins (ends_at);

create table login_codes (
    id uuid primary key,
    user_id uuid not null references users on delete cascade,
    secret_hash bytea not null check (octet_length(secret_hash) = 32),
    -- the key with which it was made, or the login's
    key_id uuid references api_keys on delete cascade,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null
);
create index login_codes_user on login_codes (user_id);
create index login_codes_key on login_codes (key_id) where key_id is not null;
create index login_codes_expired on login_codes (expires_at);

-- Tries of passwords, of all managers: by name, and by address. What was tried is a keyed hash.
create table login_attempts (
    subject bytea primary key check (octet_length(subject) = 32),
    attempts integer not null check (attempts >= 0),
    began_at timestamptz not null default now()
);
create index login_attempts_began on login_attempts (began_at);

alter table api_keys add column last_used_at timestamptz;
alter table api_keys add column read_only boolean not null default false;
-- null: not limited to projects
alter table api_keys add column project_ids uuid[] check (cardinality(project_ids) between 1 and 100);

-- With which key or login something was done.
alter table events add column key_id uuid;
alter table events add column login_id uuid;
