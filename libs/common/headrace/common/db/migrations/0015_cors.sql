-- Which pages in browsers may call a service. Only what differs from the defaults, which are the code's.
alter table services
    add column cors jsonb not null default '{}',
    -- all origins and their cookies: then any page could act as whoever looks at it
    add constraint services_cors check (not cors @> '{"allow_origins": ["*"], "allow_credentials": true}');

-- Route tables say it.
create or replace function note_service_changes() returns trigger language plpgsql as $$
begin
    if tg_op = 'INSERT' then
        perform note_services(array(select n.id from new_rows n));
    else
        perform note_services(array(
            select n.id from new_rows n join old_rows o on o.id = n.id
            where (n.name, n.project_id, n.open_to_public, n.goal, n.wanted, n.endpoint_port, n.deleted_at, n.balance, n.limits, n.caller_limits, n.models, n.failed_starts, n.cors)
                is distinct from (o.name, o.project_id, o.open_to_public, o.goal, o.wanted, o.endpoint_port, o.deleted_at, o.balance, o.limits, o.caller_limits, o.models, o.failed_starts, o.cors)));
    end if;
    return null;
end $$;
