-- Names of models are a project's: another project may declare the same ones. Names of services stay unique (services_name).

alter table fleet_names add column project_id uuid references projects;
update fleet_names f set project_id = s.project_id from services s where s.id = f.service_id;
alter table fleet_names alter column project_id set not null;
alter table fleet_names drop constraint fleet_names_pkey;
alter table fleet_names add constraint fleet_names_pkey primary key (project_id, name);

create or replace function keep_fleet_names() returns trigger language plpgsql as $$
declare
    wanted text[] := case when new.deleted_at is null then new.models || new.name::text else '{}' end;
begin
    delete from fleet_names where service_id = new.id and not (name = any(wanted));
    insert into fleet_names (name, service_id, project_id)
    select distinct w, new.id, new.project_id from unnest(wanted) w
    where not exists (select 1 from fleet_names f where f.name = w and f.service_id = new.id) order by 1;
    return null;
end $$;

-- Route tables say whether starts were given up, too, and the project's name.
create or replace function note_service_changes() returns trigger language plpgsql as $$
begin
    if tg_op = 'INSERT' then
        perform note_services(array(select n.id from new_rows n));
    else
        perform note_services(array(
            select n.id from new_rows n join old_rows o on o.id = n.id
            where (n.name, n.project_id, n.open_to_public, n.goal, n.wanted, n.endpoint_port, n.deleted_at, n.balance, n.limits, n.caller_limits, n.models, n.failed_starts)
                is distinct from (o.name, o.project_id, o.open_to_public, o.goal, o.wanted, o.endpoint_port, o.deleted_at, o.balance, o.limits, o.caller_limits, o.models, o.failed_starts)));
    end if;
    return null;
end $$;
insert into table_changes (kind, key) values ('route', '');
