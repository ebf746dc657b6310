-- Whether limits or share were changed since the token was signed with them: then route tables say what holds.
alter table tokens add column limits_changed boolean not null default false;

-- From which generation on a service's route table says that a token or a named client (its secret) is refused. Kept for a day:
-- until then somebody may ask at which app-proxies it is in force.
create table revocations (
    credential_id uuid not null,
    service_id uuid not null references services on delete cascade,
    generation bigint not null,
    at timestamptz not null default now(),
    primary key (credential_id, service_id)
);
create index revocations_service on revocations (service_id);
create index revocations_at on revocations (at);
