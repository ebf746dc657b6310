-- Which transaction changed a row last, so that loops find what changed without reading what did not: whatever a reader
-- could not see yet has an id from its snapshot's lowest one on. Kept by triggers, for whoever writes.
create function note_change() returns trigger language plpgsql as $$
begin
    new.changed := pg_current_xact_id();
    return new;
end $$;

alter table services add column changed xid8 not null default pg_current_xact_id();
create trigger services_note_change before update on services for each row execute function note_change();
create index services_changed on services (changed);

alter table sessions add column changed xid8 not null default pg_current_xact_id();
create trigger sessions_note_change before update on sessions for each row execute function note_change();
create index sessions_changed on sessions (changed);
create index sessions_alone on sessions (id) where service_id is null and status <> 'ended';

-- a machine: when it was lost, or came back
alter table agents add column changed xid8 not null default pg_current_xact_id();
create trigger agents_note_change before update of lost_at on agents for each row
    when (old.lost_at is distinct from new.lost_at) execute function note_change();
