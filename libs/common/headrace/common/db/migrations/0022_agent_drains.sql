-- Drains of machines: their replicas move elsewhere, one service after the other. Of each machine one at a time; those that are
-- over are kept as long as receipts.
create table agent_drains (
    id uuid primary key,
    agent_id slug not null,
    started_at timestamptz not null default now(),
    started_by text not null,
    message text not null default '',
    -- services whose turn it is: replicas of theirs on the machine are replaced
    moving uuid[] not null default '{}',
    ended_at timestamptz,
    outcome text check (outcome in ('finished', 'cancelled', 'removed')),
    check ((ended_at is null) = (outcome is null))
);
create unique index agent_drains_current on agent_drains (agent_id) where ended_at is null;
create index agent_drains_newest on agent_drains (agent_id, started_at desc);
create index agent_drains_ended on agent_drains (ended_at) where ended_at is not null;

-- The machine's drain during which the replica left.
alter table drain_receipts add column agent_drain_id uuid;
create index drain_receipts_agent_drain on drain_receipts (agent_drain_id) where agent_drain_id is not null;
