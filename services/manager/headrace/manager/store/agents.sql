-- name: slot_names
select distinct jsonb_object_keys(slots) as name from agents where lost_at is null order by name limit $1

-- name: page
select a.id, a.resource_group, a.machine, a.kernels, a.slots, a.architecture, a.applied_generation, a.last_seen_at, a.lost_at, a.addresses, a.address_problem,
       coalesce(p.generation, 0) as plan_generation, p.problem as plan_problem,
       coalesce((select jsonb_object_agg(slot, amount::text) from
           (select slot, sum(amount) as amount from allocations where agent_id = a.id group by slot) held), '{}'::jsonb) as allocated
from agents a left join publications p on p.subject = 'plan.agent.' || a.id
where a.id > $1 and ($2::text is null or a.id = $2) order by a.id limit $3
