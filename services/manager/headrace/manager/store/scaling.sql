-- Changing the wanted replicas on a rule's behalf.

-- name: lock_service
select s.wanted, s.goal, s.name, s.project_id, p.name as project, p.quota, r.resolved -> 'slots' as slots,
       exists (select 1 from rules where id = $2 and service_id = s.id) as rule_exists
from services s
join projects p on p.id = s.project_id
join revisions r on r.id = s.revision_id
where s.id = $1 and s.deleted_at is null
for update of s;

-- name: set_wanted
update services set wanted = $2, rev = rev + 1, updated_at = now() where id = $1;

-- name: add_decision
insert into scale_decisions (id, service_id, source, rule_id, from_replicas, to_replicas, observed, reason_code, reason_text)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9);

-- name: add_event
insert into events (id, actor, project_id, service_id, action, message, details) values ($1, $2, $3, $4, $5, $6, $7);

-- name: used_slots
-- What the project's running services want, and what its trial runs hold, per slot, without service $2.
select slot.key as slot, sum(slot.value::numeric * held.replicas) as amount
from (
    select r.resolved -> 'slots' as slots, s.wanted as replicas
    from services s join revisions r on r.id = s.revision_id
    where s.project_id = $1 and s.id <> $2 and s.goal = 'running' and s.deleted_at is null
    union all
    select v.resolved -> 'slots', 1 from sessions v where v.project_id = $1 and v.kind = 'validation' and v.status <> 'ended'
) held, jsonb_each_text(held.slots) slot
group by slot.key;
