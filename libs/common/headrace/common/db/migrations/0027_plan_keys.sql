-- Key to which a machine's plan is encrypted, as its agent reports it; null: its agent's version has none. In a column of its own,
-- so that managers of an older version, which do not know it, leave it alone.
alter table agents add column plan_key text check (length(plan_key) <= 100);

create function note_plan_key() returns trigger language plpgsql as $$
begin
    insert into table_changes (kind, key) values ('plan', new.id::text);
    return null;
end $$;
create trigger agents_plan_key after update of plan_key on agents for each row
    when (old.plan_key is distinct from new.plan_key) execute function note_plan_key();
