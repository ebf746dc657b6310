-- Generation from which on a service's route table has the revocation of a token or a client.

-- name: services_of
-- $1: a service, or a project (all of its services).
select id from services where deleted_at is null and (id = $1 or project_id = $1) order by id

-- name: note
insert into revocations (credential_id, service_id, generation)
select $1, n.id, n.generation from unnest($2::uuid[], $3::bigint[]) as n(id, generation)
on conflict (credential_id, service_id) do update set generation = excluded.generation, at = now()

-- name: needed
-- $2: a service or a project. Deleted services are left out: nobody reaches them.
select r.service_id, r.generation from revocations r join services s on s.id = r.service_id
where r.credential_id = $1 and (s.id = $2 or s.project_id = $2) and s.deleted_at is null
