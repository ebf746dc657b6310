-- Idempotency keys of creations that were carried out, each with its answer: a repeated request gets that, and makes nothing.
-- `whole` is false where `answer` has the names only: a secret that is shown once is not kept, nor is a large answer.
create table idempotency_keys (
    credential uuid not null,
    key text not null,
    user_id uuid not null references users on delete cascade,
    request_hash bytea not null,
    answer text not null,
    whole boolean not null,
    at timestamptz not null default now(),
    primary key (credential, key)
);
create index idempotency_keys_user on idempotency_keys (user_id, at);
create index idempotency_keys_at on idempotency_keys (at);
