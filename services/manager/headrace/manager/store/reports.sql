-- name: heard
-- An older report of the same incarnation changes nothing. Says whether the machine is new or was lost.
with before as (select incarnation, sequence, lost_at, slots from agents where id = $1)
insert into agents as a (id, incarnation, sequence, machine, architecture, slots, kernels, applied_generation)
values ($1, $2, $3, $4, $5, $6, $7, $8)
on conflict (id) do update set
    incarnation = excluded.incarnation, sequence = excluded.sequence, machine = excluded.machine, architecture = excluded.architecture,
    slots = excluded.slots, kernels = excluded.kernels, applied_generation = excluded.applied_generation, last_seen_at = now(), lost_at = null
where a.incarnation <> excluded.incarnation or a.sequence < excluded.sequence
returning (select b.lost_at is not null or b.slots <> a.slots from before b) as changed_capacity, not exists (select 1 from before) as new

-- name: apply_kernels
-- Kernels as their machine shows them; $2 is a list of them. Sessions follow their main kernel. Returns what changed.
with seen as (
    select * from jsonb_to_recordset($2::jsonb) as s (
        kernel_id uuid, state text, health text, reason_code text, reason_text text, host text, port integer, exit_code integer,
        created_at timestamptz)
), differing as (
    select k.id, k.session_id from kernels k join seen s on s.kernel_id = k.id
    where k.agent_id = $1 and k.ended_at is null
      and (k.state, k.health, k.reason_code, k.reason_text, k.host, k.port, k.exit_code)
          is distinct from (s.state, s.health, s.reason_code, s.reason_text, s.host, s.port, s.exit_code)
), locked as (
    select x.id from sessions x where x.id in (select session_id from differing) order by x.id for update
), changed as (
    update kernels k set state = s.state, health = s.health, reason_code = s.reason_code, reason_text = s.reason_text, host = s.host,
        port = s.port, exit_code = s.exit_code, started_at = s.created_at, rev = k.rev + 1
    from seen s, differing d, locked l
    where k.id = s.kernel_id and k.agent_id = $1 and k.ended_at is null and d.id = k.id and l.id = k.session_id
    returning k.session_id, k.role, k.state, k.health
)
update sessions x set
    health = c.health, was_healthy = x.was_healthy or c.health = 'healthy', rev = x.rev + 1,
    status = case when x.status = 'placed' and c.state = 'running' then 'running' else x.status end
from changed c where c.role = 'main' and x.id = c.session_id and x.status <> 'ended'
returning x.id

-- name: vanished
-- Kernels that this machine showed before and shows no more although its plan has them: somebody removed them.
with locked as (
    select x.id from sessions x
    where x.status in ('placed', 'running', 'draining') and exists (
        select 1 from kernels k where k.session_id = x.id and k.agent_id = $1 and k.ended_at is null
          and k.state in ('preparing', 'running') and not (k.id = any($2::uuid[])))
    order by x.id for update
), vanished as (
    update kernels k set state = 'exited', health = 'unhealthy', reason_code = 'kernel-vanished',
        reason_text = 'the machine no longer has it, and Headrace did not stop it', rev = k.rev + 1
    from locked l
    where l.id = k.session_id and k.agent_id = $1 and k.ended_at is null and k.state in ('preparing', 'running')
      and not (k.id = any($2::uuid[]))
    returning k.session_id
)
update sessions x set rev = x.rev + 1 from locked l where x.id = l.id and exists (select 1 from vanished v where v.session_id = x.id)
returning x.id

-- name: lose_silent
-- $2: machines that the caller has heard, though perhaps nobody could write it down.
update agents set lost_at = now() where lost_at is null and last_seen_at < now() - $1::interval and not (id = any($2::text[])) returning id
