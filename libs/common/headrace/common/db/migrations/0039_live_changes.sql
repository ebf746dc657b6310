-- What changed lately, for live events: appended by triggers in the transaction of the change, read by all managers, deleted
-- after minutes. A reader takes what its snapshot sees and the one before did not, so nothing is missed, whatever the order of
-- commits; nothing is locked, and no writer waits for another (as at a commit with NOTIFY).
create table live_changes (
    id bigint generated always as identity primary key,
    changed xid8 not null default pg_current_xact_id(),
    at timestamptz not null default now(),
    kind text not null,
    thing_id text not null,
    -- null: it is of no project
    project_id uuid
);
create index live_changes_changed on live_changes (changed);
create index live_changes_at on live_changes (at);

-- Sessions: their service or trial run, and (on a change of status) their machines. Once per statement: they change by hundreds.
create function note_live_sessions() returns trigger language plpgsql as $$
begin
    insert into live_changes (kind, thing_id, project_id)
    select distinct case when n.service_id is null then 'validation' else 'service' end, coalesce(n.service_id, n.id)::text, n.project_id
    from new_rows n where n.service_id is not null or n.kind = 'validation';
    if tg_op = 'UPDATE' then
        insert into live_changes (kind, thing_id)
        select distinct 'agent', k.agent_id::text
        from new_rows n join old_rows o on o.id = n.id join kernels k on k.session_id = n.id
        where n.status <> o.status and k.agent_id is not null;
    end if;
    return null;
end $$;
create trigger sessions_made_live after insert on sessions
    referencing new table as new_rows for each statement execute function note_live_sessions();
create trigger sessions_changed_live after update on sessions
    referencing old table as old_rows new table as new_rows for each statement execute function note_live_sessions();

create function note_live_services() returns trigger language plpgsql as $$
begin
    insert into live_changes (kind, thing_id, project_id) select 'service', n.id::text, n.project_id from new_rows n;
    return null;
end $$;
create trigger services_made_live after insert on services
    referencing new table as new_rows for each statement execute function note_live_services();
create trigger services_changed_live after update on services
    referencing new table as new_rows for each statement execute function note_live_services();

-- All else, a row at a time. $1: the kind. $2, $3: columns with the id and the project's id ('': it is of none).
create function note_live_thing() returns trigger language plpgsql as $$
declare
    thing jsonb := case when tg_op = 'DELETE' then to_jsonb(old) else to_jsonb(new) end;
begin
    insert into live_changes (kind, thing_id, project_id) values (tg_argv[0], thing ->> tg_argv[1], (thing ->> tg_argv[2])::uuid);
    return null;
end $$;

-- Machines change with each report; what is left out here is shown, but not worth a notice.
create trigger agents_made_live after insert or delete on agents for each row execute function note_live_thing('agent', 'id', '');
create trigger agents_changed_live after update on agents for each row
    when ((old.lost_at is null, old.slots, old.resource_group, old.labels, old.cordoned_at, old.cordon_reason, old.addresses, old.address_problem)
        is distinct from (new.lost_at is null, new.slots, new.resource_group, new.labels, new.cordoned_at, new.cordon_reason, new.addresses, new.address_problem))
    execute function note_live_thing('agent', 'id', '');
create trigger removed_agents_live after insert or delete on removed_agents for each row execute function note_live_thing('agent', 'id', '');
create trigger agent_drains_live after insert or update on agent_drains for each row execute function note_live_thing('agent', 'agent_id', '');

create trigger secrets_live after insert or update or delete on secrets
    for each row execute function note_live_thing('secret', 'id', 'project_id');
create trigger resource_presets_live after insert or update or delete on resource_presets
    for each row execute function note_live_thing('resource-preset', 'id', 'project_id');
create trigger folders_made_live after insert on folders for each row execute function note_live_thing('folder', 'id', 'project_id');
create trigger folders_changed_live after update on folders for each row
    when ((old.name, old.deleted_at, old.stored_bytes, old.stored_files, old.changed_at)
        is distinct from (new.name, new.deleted_at, new.stored_bytes, new.stored_files, new.changed_at))
    execute function note_live_thing('folder', 'id', 'project_id');

create function note_live_store_model() returns trigger language plpgsql as $$
begin
    insert into live_changes (kind, thing_id, project_id)
    select 'folder', f.id::text, f.project_id from folders f where f.id = coalesce(new.folder_id, old.folder_id);
    return null;
end $$;
create trigger store_models_live after insert or update or delete on store_models for each row execute function note_live_store_model();

-- Things of a service, or (tokens) of a project. $1: the kind.
create function note_live_of_service() returns trigger language plpgsql as $$
declare
    thing jsonb := case when tg_op = 'DELETE' then to_jsonb(old) else to_jsonb(new) end;
begin
    insert into live_changes (kind, thing_id, project_id)
    values (tg_argv[0], thing ->> 'id', coalesce((thing ->> 'project_id')::uuid,
        (select s.project_id from services s where s.id = (thing ->> 'service_id')::uuid)));
    return null;
end $$;
create trigger tokens_live after insert or update on tokens for each row execute function note_live_of_service('token');
create trigger clients_live after insert or update on clients for each row execute function note_live_of_service('client');
create trigger rules_live after insert or update or delete on rules for each row execute function note_live_of_service('rule');

-- Projects, users and what decides on who may see what. Notes of a last use are no change.
create trigger projects_live after insert or update on projects for each row execute function note_live_thing('project', 'id', 'id');
create trigger memberships_live after insert or update or delete on memberships
    for each row execute function note_live_thing('project', 'project_id', 'project_id');
create trigger members_live after insert or update or delete on memberships for each row execute function note_live_thing('user', 'user_id', '');
create trigger users_live after insert or update or delete on users for each row execute function note_live_thing('user', 'id', '');
create trigger passwords_live after insert or update or delete on passwords for each row execute function note_live_thing('user', 'user_id', '');
create trigger api_keys_made_live after insert or delete on api_keys for each row execute function note_live_thing('user', 'user_id', '');
create trigger api_keys_changed_live after update of name, expires_at, read_only, project_ids on api_keys
    for each row execute function note_live_thing('user', 'user_id', '');
create trigger logins_live after insert or delete on logins for each row execute function note_live_thing('user', 'user_id', '');

create trigger resource_groups_live after insert or delete on resource_groups
    for each row execute function note_live_thing('resource-group', 'name', '');
create trigger join_tokens_live after insert or update or delete on join_tokens
    for each row execute function note_live_thing('join-token', 'id', '');
create trigger bus_identities_live after insert or update or delete on bus_identities
    for each row execute function note_live_thing('identity', 'public_key', '');
