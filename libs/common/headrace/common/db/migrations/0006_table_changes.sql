-- Which plans and tables are to be published anew: appended by triggers in the transaction that changes what they are made of,
-- taken away by the transaction that gives the new generation. Appended only, so that writers never wait for each other.
create table table_changes (
    id bigint generated always as identity primary key,
    kind text not null check (kind in ('plan', 'route', 'rules')),
    -- the machine's or the service's id; '' stands for all of the kind
    key text not null
);
create index table_changes_kind on table_changes (kind, id);
insert into table_changes (kind, key) values ('plan', ''), ('route', ''), ('rules', '');

-- Why the table could not be made when it was tried last; readers keep the one before.
alter table publications add column problem text;

-- Kernels that wait for the generation of the plan that lacks them, and those that are in a plan.
create index kernels_not_left on kernels (agent_id) where left_generation is null;

create function note_services(ids uuid[]) returns void language sql as $$
    insert into table_changes (kind, key)
    select 'route', id::text from unnest(ids) id where id is not null
    union all
    select 'rules', id::text from unnest(ids) id where id is not null and (
        exists (select 1 from rules r where r.service_id = id) or exists (select 1 from publications p where p.subject = 'rules.' || id::text));
$$;

create function note_service_changes() returns trigger language plpgsql as $$
begin
    if tg_op = 'INSERT' then
        perform note_services(array(select n.id from new_rows n));
    else
        perform note_services(array(
            select n.id from new_rows n join old_rows o on o.id = n.id
            where (n.name, n.project_id, n.open_to_public, n.goal, n.wanted, n.endpoint_port, n.deleted_at, n.balance, n.limits, n.caller_limits, n.models)
                is distinct from (o.name, o.project_id, o.open_to_public, o.goal, o.wanted, o.endpoint_port, o.deleted_at, o.balance, o.limits, o.caller_limits, o.models)));
    end if;
    return null;
end $$;
create trigger services_made after insert on services
    referencing new table as new_rows for each statement execute function note_service_changes();
create trigger services_changed after update on services
    referencing old table as old_rows new table as new_rows for each statement execute function note_service_changes();

create function note_session_changes() returns trigger language plpgsql as $$
begin
    perform note_services(array(
        select distinct n.service_id from new_rows n join old_rows o on o.id = n.id
        where (n.status, n.health, n.weight, n.drain_deadline) is distinct from (o.status, o.health, o.weight, o.drain_deadline)));
    insert into table_changes (kind, key)
    select distinct 'plan', k.agent_id::text from new_rows n join old_rows o on o.id = n.id join kernels k on k.session_id = n.id
    where n.status <> o.status and k.agent_id is not null;
    return null;
end $$;
create trigger sessions_changed after update on sessions
    referencing old table as old_rows new table as new_rows for each statement execute function note_session_changes();

create function note_kernel_changes() returns trigger language plpgsql as $$
begin
    if tg_op = 'INSERT' then
        insert into table_changes (kind, key) select distinct 'plan', n.agent_id::text from new_rows n where n.agent_id is not null;
        return null;
    end if;
    insert into table_changes (kind, key)
    select distinct 'plan', a.id::text from new_rows n join old_rows o on o.id = n.id, lateral (values (n.agent_id), (o.agent_id)) a(id)
    where (n.agent_id, n.ended_at) is distinct from (o.agent_id, o.ended_at) and a.id is not null;
    perform note_services(array(
        select distinct x.service_id from new_rows n join old_rows o on o.id = n.id join sessions x on x.id = n.session_id
        where (n.agent_id, n.ended_at, n.state, n.host, n.port) is distinct from (o.agent_id, o.ended_at, o.state, o.host, o.port)));
    return null;
end $$;
create trigger kernels_made after insert on kernels
    referencing new table as new_rows for each statement execute function note_kernel_changes();
create trigger kernels_changed after update on kernels
    referencing old table as old_rows new table as new_rows for each statement execute function note_kernel_changes();

create function note_agent_changes() returns trigger language plpgsql as $$
begin
    if tg_op = 'INSERT' then
        insert into table_changes (kind, key) select 'plan', n.id::text from new_rows n;
        return null;
    end if;
    perform note_services(array(
        select distinct x.service_id from new_rows n join old_rows o on o.id = n.id
            join kernels k on k.agent_id = n.id and k.ended_at is null join sessions x on x.id = k.session_id
        where (n.lost_at is null) <> (o.lost_at is null)));
    return null;
end $$;
create trigger agents_made after insert on agents
    referencing new table as new_rows for each statement execute function note_agent_changes();
create trigger agents_changed after update on agents
    referencing old table as old_rows new table as new_rows for each statement execute function note_agent_changes();

-- Tokens stand in tables only with a limit or share of their own, or once revoked. One of a project concerns all its services.
create function note_token_changes() returns trigger language plpgsql as $$
begin
    if tg_op = 'INSERT' then
        insert into table_changes (kind, key)
        select 'route', s.id::text from new_rows n join services s on s.deleted_at is null and (s.id = n.service_id or s.project_id = n.project_id)
        where n.limits <> '{}' or n.share <> 1 or n.revoked_at is not null;
    else
        insert into table_changes (kind, key)
        select distinct 'route', s.id::text from new_rows n join old_rows o on o.id = n.id
            join services s on s.deleted_at is null and (s.id = n.service_id or s.project_id = n.project_id)
        where (n.limits, n.share, n.revoked_at, n.expires_at) is distinct from (o.limits, o.share, o.revoked_at, o.expires_at);
    end if;
    return null;
end $$;
create trigger tokens_made after insert on tokens
    referencing new table as new_rows for each statement execute function note_token_changes();
create trigger tokens_changed after update on tokens
    referencing old table as old_rows new table as new_rows for each statement execute function note_token_changes();

create function note_client_changes() returns trigger language plpgsql as $$
begin
    insert into table_changes (kind, key) select distinct 'route', c.service_id::text from changed_rows c;
    return null;
end $$;
create trigger clients_made after insert on clients
    referencing new table as changed_rows for each statement execute function note_client_changes();
create trigger clients_changed after update on clients
    referencing new table as changed_rows for each statement execute function note_client_changes();
create trigger clients_removed after delete on clients
    referencing old table as changed_rows for each statement execute function note_client_changes();

create function note_rule_changes() returns trigger language plpgsql as $$
begin
    insert into table_changes (kind, key) select distinct 'rules', c.service_id::text from changed_rows c;
    return null;
end $$;
create trigger rules_made after insert on rules
    referencing new table as changed_rows for each statement execute function note_rule_changes();
create trigger rules_changed after update on rules
    referencing new table as changed_rows for each statement execute function note_rule_changes();
create trigger rules_removed after delete on rules
    referencing old table as changed_rows for each statement execute function note_rule_changes();

create function note_key_changes() returns trigger language plpgsql as $$
begin
    insert into table_changes (kind, key) values ('route', '');
    return null;
end $$;
create trigger signing_keys_changed after insert or update or delete on signing_keys
    for each statement execute function note_key_changes();
