-- Machines' reports and the kernel state in them. $1 of the statements below: a list of reports, one per machine. $2 of `renew_unchanged` and `heard`: silence after which a machine is lost.

-- name: renew_unchanged
-- Renews the report time of machines whose report is unchanged, and returns them; the others need `heard`.
with r as (
    select * from jsonb_to_recordset($1::jsonb) as r (agent_id text, incarnation text, sequence bigint, taken_at timestamptz, digest text)
), held as (
    select a.id from agents a where a.id in (select agent_id from r) order by a.id for no key update
)
update agents a set sequence = r.sequence, taken_at = r.taken_at, received_at = now(), last_seen_at = now()
from r, held where a.id = held.id and a.id = r.agent_id and a.incarnation = r.incarnation and a.digest = r.digest
  and a.sequence < r.sequence and a.lost_at is null and a.received_at + (r.taken_at - a.taken_at) >= now() - $2::interval
returning a.id

-- name: heard
-- An older report of the same incarnation is ignored, and so is one delayed for as long as makes a machine lost: by the
-- machine's clock it was taken t after the one before, and it arrives far later than t after that. (A clock that was
-- set back proves nothing.) Returns the accepted reports, and whether each machine is new, was lost or has other slots.
with r as (
    select * from jsonb_to_recordset($1::jsonb) as r (
        agent_id text, incarnation text, sequence bigint, taken_at timestamptz, digest text, machine jsonb, architecture text,
        slots jsonb, kernels jsonb, applied_generation bigint, plan_key text)
), before as (
    select a.id, a.lost_at, a.slots,
           a.incarnation = r.incarnation and a.sequence < r.sequence and r.taken_at >= a.taken_at
             and a.received_at + (r.taken_at - a.taken_at) < now() - $2::interval as late
    from agents a join r on r.agent_id = a.id order by a.id for no key update of a
), late as (
    update agents a set sequence = r.sequence, taken_at = r.taken_at, received_at = now()
    from r, before b where b.id = a.id and r.agent_id = a.id and b.late
)
insert into agents as a (id, incarnation, sequence, machine, architecture, slots, kernels, applied_generation, taken_at, received_at, digest,
    plan_key, resource_group, labels)
select r.agent_id, r.incarnation, r.sequence, r.machine, r.architecture, r.slots, r.kernels, r.applied_generation, r.taken_at, now(), r.digest,
    r.plan_key, coalesce(i.resource_group, 'default'), coalesce(i.labels, '{}')
from r left join before b on b.id = r.agent_id left join bus_identities i on i.name = r.agent_id and i.revoked_at is null
where b.late is not true order by r.agent_id
on conflict (id) do update set
    incarnation = excluded.incarnation, sequence = excluded.sequence, machine = excluded.machine, architecture = excluded.architecture,
    slots = excluded.slots, kernels = excluded.kernels, applied_generation = excluded.applied_generation,
    taken_at = excluded.taken_at, received_at = now(), digest = excluded.digest, plan_key = excluded.plan_key, last_seen_at = now(),
    lost_at = null
where a.incarnation <> excluded.incarnation or a.sequence < excluded.sequence
returning a.id, a.addresses, a.address_problem, coalesce((select b.lost_at is not null or b.slots <> a.slots from before b where b.id = a.id), true) as changed_capacity

-- name: refused
-- Which of these machines ($1 ids, $2 generations that they have applied) were removed, once a minute of each. What a machine
-- has applied that is newer than its last plan raises that plan's generation.
with told as (
    select * from unnest($1::text[], $2::bigint[]) as t(id, applied_generation)
), known as (
    select r.id from removed_agents r join told t on t.id = r.id
    where r.refused_at is null or r.refused_at < now() - interval '1 minute' or r.applied_generation < t.applied_generation
    order by r.id for update of r skip locked
)
update removed_agents r set refused_at = now(), applied_generation = greatest(r.applied_generation, t.applied_generation)
from known, told t where r.id = known.id and t.id = r.id
returning r.id, r.removed_by, r.removed_at, r.reason

-- name: apply_kernels
-- Stores the kernels ($1: a list) as their machines report them. Sessions follow their main kernel. Returns what
-- changed.
with seen as (
    select * from jsonb_to_recordset($1::jsonb) as s (
        agent_id text, kernel_id uuid, state text, health text, reason_code text, reason_text text, host text, port integer,
        exit_code integer, failures integer, created_at timestamptz, transfer jsonb)
), differing as (
    select k.id, k.session_id from seen s join kernels k on k.id = s.kernel_id
    where k.agent_id = s.agent_id and k.ended_at is null
      and (k.state, k.health, k.reason_code, k.reason_text, k.host, k.port, k.exit_code, k.failures, k.transfer)
          is distinct from (s.state, s.health, s.reason_code, s.reason_text, s.host, s.port, s.exit_code, s.failures, s.transfer)
), locked as (
    select x.id from sessions x where x.id in (select session_id from differing) order by x.id for update
), changed as (
    update kernels k set state = s.state, health = s.health, reason_code = s.reason_code, reason_text = s.reason_text, host = s.host,
        port = s.port, exit_code = s.exit_code, failures = s.failures, started_at = s.created_at, transfer = s.transfer,
        rev = k.rev + 1
    from seen s, differing d, locked l
    where k.id = s.kernel_id and k.agent_id = s.agent_id and k.ended_at is null and d.id = k.id and l.id = k.session_id
    returning k.session_id, k.role, k.state, k.health
)
update live_sessions x set
    health = c.health, was_healthy = x.was_healthy or c.health = 'healthy',
    healthy_at = case when c.health = 'healthy' then coalesce(x.healthy_at, now()) else x.healthy_at end, rev = x.rev + 1,
    status = case when x.status = 'placed' and c.state = 'running' then 'running' else x.status end
from changed c where c.role = 'main' and x.id = c.session_id
returning x.id

-- name: foreign
-- How many kernels of other machines each machine reports ($1: pairs).
with shown as (
    select * from jsonb_to_recordset($1::jsonb) as s (agent_id text, kernel_id uuid)
)
select s.agent_id, count(*) as kernels from shown s join kernels k on k.id = s.kernel_id where k.agent_id <> s.agent_id group by s.agent_id

-- name: vanished
-- Kernels that these machines ($1) reported before and do not report now ($2: pairs that they report) although their
-- plans have them: they were removed from outside.
with shown as (
    select * from jsonb_to_recordset($2::jsonb) as s (agent_id text, kernel_id uuid)
), missing as (
    select k.id, k.session_id from kernels k
    where k.agent_id = any($1::text[]) and k.ended_at is null and k.state in ('preparing', 'running')
      and not exists (select 1 from shown s where s.agent_id = k.agent_id and s.kernel_id = k.id)
), locked as (
    select x.id from planned_sessions x
    where x.id in (select session_id from missing) order by x.id for update
), vanished as (
    update kernels k set state = 'exited', health = 'unhealthy', reason_code = 'kernel-vanished',
        reason_text = 'the machine no longer has it, and Headrace did not stop it', rev = k.rev + 1
    from locked l, missing m
    where l.id = k.session_id and m.id = k.id and k.ended_at is null and k.state in ('preparing', 'running')
    returning k.session_id
)
update sessions x set rev = x.rev + 1 from locked l where x.id = l.id and exists (select 1 from vanished v where v.session_id = x.id)
returning x.id

-- name: lose_silent
-- $2: machines heard by the caller, though their reports may not have been stored.
update agents set lost_at = now() where lost_at is null and last_seen_at < now() - $1::interval and not (id = any($2::text[])) returning id
