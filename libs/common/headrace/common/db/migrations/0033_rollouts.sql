-- Rollouts: what cannot be told of the one to a revision by its replicas. A revision without a row has the defaults.
create table rollouts (
    revision_id uuid primary key references revisions on delete cascade,
    service_id uuid not null references services on delete cascade,
    began_at timestamptz not null default now(),
    -- steps (canary steps, the switch of a blue-green rollout) that are over
    step integer not null default 0 check (step >= 0),
    step_at timestamptz not null default now(),
    -- replicas of the revision when it was paused; null: not paused
    paused_replicas integer check (paused_replicas >= 0),
    paused_by text,
    failed_at timestamptz,
    failed_code text,
    failed_text text check (length(failed_text) <= 4000)
);
create index rollouts_service on rollouts (service_id, began_at);

alter table sessions
    -- a user asked for another replica in its place
    add column replace_asked_at timestamptz,
    -- started without requests (weight 0), until a blue-green rollout switches
    add column idle boolean not null default false;

create or replace view live_sessions as select * from sessions where status <> 'ended';
create or replace view active_sessions as select * from sessions where status in ('pending', 'placed', 'running');
create or replace view planned_sessions as select * from sessions where status in ('placed', 'running', 'draining');
create or replace view serving_sessions as
select * from sessions x where x.status = 'running' and x.health = 'healthy' and exists (
    select 1 from kernels k join agents a on a.id = k.agent_id
    where k.session_id = x.id and k.role = 'main' and k.ended_at is null and k.state = 'running' and a.lost_at is null);
