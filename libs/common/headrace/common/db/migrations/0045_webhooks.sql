-- Webhooks of projects: URLs that are told of events of the history. One manager at a time delivers to one, in order.
create table webhooks (
    id uuid primary key,
    project_id uuid not null references projects,
    name slug not null,
    url text not null check (length(url) between 1 and 2048),
    -- actions, or beginnings of several and a star
    kinds text[] not null check (cardinality(kinds) between 1 and 50),
    -- whose newest versions sign
    secret_id uuid not null references secrets,
    enabled boolean not null default true,
    -- why Headrace switched it off
    problem text check (length(problem) <= 1000),
    created_by uuid not null references users,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    failures integer not null default 0 check (failures >= 0),
    failing_since timestamptz,
    next_try_at timestamptz not null default now(),
    leased_by uuid,
    leased_until timestamptz,
    delivered bigint not null default 0,
    dropped bigint not null default 0,
    -- the newest answers, newest first
    answers jsonb not null default '[]'
);
create unique index webhooks_name on webhooks (project_id, name);
create index webhooks_secret on webhooks (secret_id);

create table webhook_deliveries (
    id bigint generated always as identity primary key,
    webhook_id uuid not null references webhooks on delete cascade,
    event_id uuid not null,
    at timestamptz not null default now()
);
create index webhook_deliveries_webhook on webhook_deliveries (webhook_id, id);

-- In the transaction of the change: an event is queued if and only if it is committed. A trial is for one webhook.
create function queue_for_webhooks() returns trigger language plpgsql as $$
begin
    insert into webhook_deliveries (webhook_id, event_id)
    select w.id, new.id from webhooks w
    where w.project_id = coalesce(new.project_id, (select s.project_id from services s where s.id = new.service_id)) and w.enabled
      and case when new.action = 'webhook.tested' then new.details ->> 'webhook_id' = w.id::text
          else exists (select 1 from unnest(w.kinds) k
                       where k = new.action or right(k, 1) = '*' and starts_with(new.action, left(k, -1))) end;
    return null;
end $$;
create trigger events_for_webhooks after insert on events for each row
    when (new.project_id is not null or new.service_id is not null) execute function queue_for_webhooks();

create trigger webhooks_made_live after insert or delete on webhooks for each row execute function note_live_thing('webhook', 'id', 'project_id');
create trigger webhooks_changed_live after update on webhooks for each row
    when ((old.url, old.kinds, old.secret_id, old.enabled, old.problem, old.answers)
        is distinct from (new.url, new.kinds, new.secret_id, new.enabled, new.problem, new.answers))
    execute function note_live_thing('webhook', 'id', 'project_id');

-- They change since projects may be named in them.
create trigger resource_groups_changed_live after update on resource_groups
    for each row execute function note_live_thing('resource-group', 'name', '');
