-- name: lock_claims
select pg_advisory_xact_lock(5208208757389214276)

-- name: claim
-- Allow each machine of $1 the first address that it reports, unless another machine has it. Returns the owner of each
-- address.
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
-- Store why the addresses of these machines are refused (null: accepted). Returns the machines due for an event: at
-- most one an hour.
with told as (
    select * from jsonb_to_recordset($1::jsonb) as t (agent_id text, problem text)
)
update agents a set address_problem = t.problem,
    address_told_at = case when t.problem is not null and (a.address_told_at is null or a.address_told_at < now() - interval '1 hour')
                           then now() else a.address_told_at end
from told t where a.id = t.agent_id
returning a.id, a.address_problem is not null and a.address_told_at = now() as due

-- name: set
-- Clears the digest of the last report, so that the next one is evaluated anew.
update agents set addresses = $2::text[], digest = '',
    address_problem = case when $2::text[] @> array[machine ->> 'address'] then null else address_problem end
where id = $1 returning id
