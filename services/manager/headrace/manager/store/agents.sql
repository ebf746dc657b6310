-- name: slot_names
select distinct jsonb_object_keys(slots) as name from agents where lost_at is null order by name limit $1

-- name: page
select a.id, a.resource_group, a.machine, a.kernels, a.slots, a.architecture, a.applied_generation, a.last_seen_at, a.lost_at, a.addresses, a.address_problem,
       a.cordoned_at, a.cordoned_by, a.cordon_reason, a.labels, a.plan_key,
       exists (select 1 from agent_drains d where d.agent_id = a.id and d.ended_at is null) as draining,
       coalesce(p.generation, 0) as plan_generation, p.problem as plan_problem,
       coalesce((select jsonb_object_agg(slot, amount::text) from
           (select slot, sum(amount) as amount from allocations where agent_id = a.id group by slot) held), '{}'::jsonb) as allocated
from agents a left join publications p on p.subject = 'plan.agent.' || a.id
where a.id > $1 and ($2::text is null or a.id = $2) and a.labels @> $4::jsonb and a.labels ?& $5::text[] order by a.id limit $3

-- name: lock
-- For changes of a machine: no report, placement or removal comes between reading and writing.
select id from agents where id = $1 for update

-- name: cordon
-- The time of the first cordon stays, and its reason ($3) unless another one is given. Returns whether this changed anything; no row: there is no such machine.
update agents a set cordoned_at = coalesce(a.cordoned_at, now()), cordoned_by = $2, cordon_reason = coalesce($3, a.cordon_reason)
from agents b where a.id = $1 and b.id = a.id
returning b.cordoned_at is null or b.cordoned_by <> $2 or b.cordon_reason <> coalesce($3, b.cordon_reason) as changed

-- name: uncordon
update agents a set cordoned_at = null, cordoned_by = '', cordon_reason = ''
from agents b where a.id = $1 and b.id = a.id returning b.cordoned_at is not null as changed

-- name: move
-- Puts a locked machine into another group. No row: there is no such group.
update agents a set resource_group = g.name from resource_groups g where a.id = $1 and g.name = $2 returning a.id

-- name: set_labels
update agents set labels = $2 where id = $1

-- name: held
-- Live sessions with a kernel on the machine, by service, and how many there are; with the machine's presence.
select a.lost_at, extract(epoch from now() - a.last_seen_at)::double precision as silent_s, a.applied_generation,
       (select count(distinct al.kernel_id) from allocations al where al.agent_id = a.id) as holding,
       coalesce((select jsonb_agg(jsonb_build_array(held.name, held.sessions) order by held.name) from (
           select coalesce(p.name || '/' || s.name, x.kind) as name, count(*) as sessions
           from kernels k join live_sessions x on x.id = k.session_id
           left join services s on s.id = x.service_id left join projects p on p.id = s.project_id
           where k.agent_id = a.id and k.ended_at is null group by 1) held), '[]') as sessions
from agents a where a.id = $1

-- name: end_sessions
-- Ends what ran on a machine that is gone ($1, with reason $2 and $3). Sessions are locked in one order, and before their kernels.
with here as (
    select x.id from live_sessions x
    where x.id in (select session_id from kernels where agent_id = $1 and ended_at is null) order by x.id for update
), ended as (
    update sessions x set status = 'ended', ended_at = now(), reason_code = $2, reason_text = $3, rev = x.rev + 1
    from here where x.id = here.id returning x.id
), kernels_ended as (
    update kernels k set ended_at = now(), rev = k.rev + 1 from ended where k.session_id = ended.id and k.ended_at is null
), receipts_ended as (
    update drain_receipts d set ended_at = now() from ended where d.session_id = ended.id and d.ended_at is null
)
select id from ended

-- name: free
delete from allocations where agent_id = $1

-- name: remove
-- The machine's row goes; what stands in its place refuses its reports.
with gone as (
    delete from agents where id = $1 returning id, applied_generation
)
insert into removed_agents as r (id, removed_by, reason, applied_generation) select id, $2, $3, applied_generation from gone
on conflict (id) do update set removed_at = now(), removed_by = excluded.removed_by, reason = excluded.reason,
    applied_generation = greatest(r.applied_generation, excluded.applied_generation)

-- name: forget_removed
-- All but the newest $1.
delete from removed_agents r where (r.removed_at, r.id) < (
    select o.removed_at, o.id from removed_agents o order by o.removed_at desc, o.id desc offset $1 limit 1)

-- name: removed
select id, removed_at, removed_by, reason, refused_at from removed_agents where id > $1 order by id limit $2

-- name: admit
delete from removed_agents where id = $1 returning id

-- name: was_removed
select exists (select 1 from removed_agents where id = $1)

-- name: planned_folder
-- The folder of a snapshot ($2) that a kernel in the plan of a machine ($1) mounts.
select (m.mount ->> 'folder_id')::uuid from kernels k join planned_sessions x on x.id = k.session_id
left join revisions r on r.id = x.revision_id
cross join lateral jsonb_array_elements(coalesce(r.resolved, x.resolved) -> 'mounts') as m (mount)
where k.agent_id = $1 and k.ended_at is null and m.mount ->> 'snapshot_id' = $2 limit 1
