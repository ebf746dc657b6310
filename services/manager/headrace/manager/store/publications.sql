-- name: changes
-- Dequeues up to $2 changes, and duplicates of them among the 5,000 after; other managers do not see them meanwhile,
-- and they return if the transaction fails.
with oldest as (
    select id, key from table_changes where kind = $1 order by id limit $2 for update skip locked
), same as (
    select c.id from table_changes c where c.kind = $1 and c.id <= (select max(id) from oldest) + 5000 and c.key in (select key from oldest)
    for update skip locked
)
delete from table_changes c using same where c.id = same.id returning c.key

-- name: fold
-- Deduplicates queued changes: one row per table is enough while nothing can be published.
delete from table_changes c where c.kind = $1 and exists (select 1 from table_changes n where n.kind = c.kind and n.key = c.key and n.id > c.id)

-- name: ensure
insert into publications (subject, generation, digest) select s, 0, '' from unnest($1::text[]) s order by s on conflict (subject) do nothing

-- name: lock
select subject, generation, digest, problem from publications where subject = any($1::text[]) order by subject for update

-- name: advance
update publications p set generation = n.generation, digest = n.digest, bytes = n.bytes, problem = null, published_at = now()
from unnest($1::text[], $2::bigint[], $3::bytea[], $4::integer[]) as n(subject, generation, digest, bytes) where p.subject = n.subject

-- name: set_problems
-- Why tables cannot be built, or (null) that they can.
update publications p set problem = n.problem from unnest($1::text[], $2::text[]) as n(subject, problem) where p.subject = n.subject

-- name: drop_unused
delete from publications where subject = any($1::text[]) and generation = 0

-- name: digests
select subject, digest from publications where subject = any($1::text[])

-- name: known
-- Generations of a kind ($1: 'route.'), and whether each can be deleted: it publishes a service's removal for longer
-- than $2, or belongs to a deleted machine (that of a removed one is kept for when it comes back).
select p.subject, p.generation, p.published_at < now() - $2::interval and case
           when $1 = 'plan.agent.' then a.id is null and not exists (
               select 1 from removed_agents r where $1 = 'plan.agent.' and r.id = substr(p.subject, length($1) + 1))
           else s.id is null or s.deleted_at is not null and s.deleted_at <= p.published_at end as over
from publications p left join services s on s.id = case when $1 <> 'plan.agent.' and starts_with(p.subject, $1) then substr(p.subject, length($1) + 1)::uuid end
left join agents a on $1 = 'plan.agent.' and a.id = substr(p.subject, length($1) + 1)
where starts_with(p.subject, $1) and p.generation > 0

-- name: forget
-- Only rows still in the generation in which they were found to be deletable: a machine may have returned since.
delete from publications p using unnest($1::text[], $2::bigint[]) as n(subject, generation)
where p.subject = n.subject and p.generation = n.generation

-- name: revive
-- At most $4 services that were deleted and whose removal was deleted too, or that are unknown, while a reader or the
-- stream still has their table of generation n.
insert into publications (subject, generation, digest)
select $1 || n.id, greatest(n.generation, 1), '' from unnest($2::text[], $3::bigint[]) as n(id, generation)
left join services s on s.id = case when $1 <> 'plan.agent.' then n.id::uuid end
where $1 <> 'plan.agent.' and (s.id is null or s.deleted_at is not null) order by n.id limit $4
on conflict (subject) do nothing returning subject
