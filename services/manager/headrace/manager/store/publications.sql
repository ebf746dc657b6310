-- name: changes
-- Takes up to $2 notes away, and of the 5,000 after them those that say the same again; another manager then does not see them,
-- and they are back if the transaction fails.
with oldest as (
    select id, key from table_changes where kind = $1 order by id limit $2 for update skip locked
), same as (
    select c.id from table_changes c where c.kind = $1 and c.id <= (select max(id) from oldest) + 5000 and c.key in (select key from oldest)
    for update skip locked
)
delete from table_changes c using same where c.id = same.id returning c.key

-- name: fold
-- One row per table is enough, while nobody can publish.
delete from table_changes c where c.kind = $1 and exists (select 1 from table_changes n where n.kind = c.kind and n.key = c.key and n.id > c.id)

-- name: ensure
insert into publications (subject, generation, digest) select s, 0, '' from unnest($1::text[]) s order by s on conflict (subject) do nothing

-- name: lock
select subject, generation, digest, problem from publications where subject = any($1::text[]) order by subject for update

-- name: advance
update publications p set generation = n.generation, digest = n.digest, bytes = n.bytes, problem = null, published_at = now()
from unnest($1::text[], $2::bigint[], $3::bytea[], $4::integer[]) as n(subject, generation, digest, bytes) where p.subject = n.subject

-- name: tell
-- Why tables cannot be made, or (null) that they can again.
update publications p set problem = n.problem from unnest($1::text[], $2::text[]) as n(subject, problem) where p.subject = n.subject

-- name: drop_unused
delete from publications where subject = any($1::text[]) and generation = 0

-- name: digests
select subject, digest from publications where subject = any($1::text[])

-- name: known
-- Generations of a kind ($1: 'route.'), and which have told of a service's removal for $2, or are of a machine that was forgotten.
select p.subject, p.generation, p.published_at < now() - $2::interval and case
           when $1 = 'plan.agent.' then a.id is null else s.id is null or s.deleted_at is not null and s.deleted_at <= p.published_at end as over
from publications p left join services s on s.id = case when $1 <> 'plan.agent.' and starts_with(p.subject, $1) then substr(p.subject, length($1) + 1)::uuid end
left join agents a on $1 = 'plan.agent.' and a.id = substr(p.subject, length($1) + 1)
where starts_with(p.subject, $1) and p.generation > 0

-- name: forget
-- Those that are still in the generation in which they were found to be over: a machine may have come back since.
delete from publications p using unnest($1::text[], $2::bigint[]) as n(subject, generation)
where p.subject = n.subject and p.generation = n.generation

-- name: revive
-- At most $4 services that were deleted and whose removal was forgotten, or of which nothing is known any more, while a reader or
-- the stream still has their table of generation n.
insert into publications (subject, generation, digest)
select $1 || n.id, greatest(n.generation, 1), '' from unnest($2::text[], $3::bigint[]) as n(id, generation)
left join services s on s.id = case when $1 <> 'plan.agent.' then n.id::uuid end
where $1 <> 'plan.agent.' and (s.id is null or s.deleted_at is not null) order by n.id limit $4
on conflict (subject) do nothing returning subject
