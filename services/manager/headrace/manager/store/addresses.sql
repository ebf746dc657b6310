-- name: lock_claims
select pg_advisory_xact_lock(5208208757389214276)

-- name: claim
-- Allow each machine of $1 the address that it says first, unless another machine has that. Returns who has it.
with claimed as (
    select * from jsonb_to_recordset($1::jsonb) as c (agent_id text, address text, shared boolean)
), judged as (
    select c.agent_id, c.address,
           case when not c.shared then (select min(o.id::text) from agents o where o.id <> c.agent_id and o.addresses @> array[c.address]) end as owner
    from claimed c
), allowed as (
    update agents a set addresses = array[j.address] from judged j where a.id = j.agent_id and j.owner is null and a.addresses is null
    returning a.id
)
select j.agent_id, j.owner from judged j

-- name: note
-- Keep why the addresses of these machines do not count (null: they do). Returns those of which an event is due: one an hour at most.
with told as (
    select * from jsonb_to_recordset($1::jsonb) as t (agent_id text, problem text)
)
update agents a set address_problem = t.problem,
    address_told_at = case when t.problem is not null and (a.address_told_at is null or a.address_told_at < now() - interval '1 hour')
                           then now() else a.address_told_at end
from told t where a.id = t.agent_id
returning a.id, a.address_problem is not null and a.address_told_at = now() as due

-- name: set
-- The digest of what was reported last goes, so that the next report is looked at anew.
update agents set addresses = $2::text[], digest = '',
    address_problem = case when $2::text[] @> array[machine ->> 'address'] then null else address_problem end
where id = $1 returning id
