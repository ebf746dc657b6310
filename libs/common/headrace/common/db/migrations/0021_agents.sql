-- What operators say of machines: that nothing new is placed there, labels, and which do not belong to the installation any more.
alter table agents
    add column cordoned_at timestamptz,
    add column cordoned_by text not null default '',
    add column cordon_reason text not null default '',
    -- what an operator said; what the agent reports of itself is in `machine`
    add column labels jsonb not null default '{}';

-- Machines that were removed: reports of them are refused, and their plan is empty and says so, until they are admitted again.
create table removed_agents (
    id slug primary key,
    removed_at timestamptz not null default now(),
    removed_by text not null,
    reason text not null default '',
    -- what the machine said last that it has applied: the plan that tells it needs a higher generation
    applied_generation bigint not null default 0,
    -- its last report, by the minute
    refused_at timestamptz
);
create index removed_agents_at on removed_agents (removed_at, id);

-- For managers of every version, and also for a report that is being written while its machine is removed (the row is read when
-- it is inserted, not when the statement began).
create function refuse_removed_agents() returns trigger language plpgsql as $$
begin
    perform 1 from removed_agents where id = new.id;
    return case when found then null else new end;
end $$;
create trigger agents_refuse_removed before insert on agents for each row execute function refuse_removed_agents();

create function note_removed_agents() returns trigger language plpgsql as $$
begin
    insert into table_changes (kind, key) select 'plan', n.id::text from changed_rows n;
    return null;
end $$;
create trigger removed_agents_made after insert on removed_agents
    referencing new table as changed_rows for each statement execute function note_removed_agents();
create trigger removed_agents_gone after delete on removed_agents
    referencing old table as changed_rows for each statement execute function note_removed_agents();
create function note_removed_agent_change() returns trigger language plpgsql as $$
begin
    insert into table_changes (kind, key) values ('plan', new.id::text);
    return null;
end $$;
create trigger removed_agents_ahead after update of applied_generation on removed_agents for each row
    when (old.applied_generation is distinct from new.applied_generation) execute function note_removed_agent_change();

-- Ended kernels say where they ran for as long as they are kept, also when that machine was removed. That a live one is on a
-- machine that exists is held by its allocations.
alter table kernels drop constraint kernels_agent_id_fkey;
