-- Plans name the metrics that rules look at: a change of a rule is one of the plans of the machines that run its service.
create or replace function note_rule_changes() returns trigger language plpgsql as $$
begin
    insert into table_changes (kind, key) select distinct 'rules', c.service_id::text from changed_rows c;
    insert into table_changes (kind, key)
        select distinct 'plan', k.agent_id::text
        from changed_rows c join sessions x on x.service_id = c.service_id and x.status in ('placed', 'running', 'draining')
        join kernels k on k.session_id = x.id and k.ended_at is null and k.agent_id is not null;
    return null;
end $$;
