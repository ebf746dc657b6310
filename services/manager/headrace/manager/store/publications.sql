-- name: ensure
insert into publications (subject, generation, digest) values ($1, 0, '') on conflict (subject) do nothing

-- name: known
select subject, generation, digest from publications where subject = any($1::text[])

-- name: lock
select generation, digest from publications where subject = $1 for update

-- name: advance
update publications set generation = $2, digest = $3, published_at = now() where subject = $1
