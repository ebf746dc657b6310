-- Identities on the bus: of each the public key; the key itself has only the machine.

-- name: page
select public_key, name, kind, joined_at, issued_at, expires_at, revoked_at, revoked_by, revoked_reason
from bus_identities where (name, public_key) > ($1, $2) order by name, public_key limit $3

-- name: lock_changes
-- One at a time, so that the numbers of identities and revocations hold.
select pg_advisory_xact_lock(5208208757389214293)

-- name: living
select count(*) from bus_identities where revoked_at is null

-- name: by_key
select public_key, name, kind, joined_at, issued_at, expires_at, revoked_at, revoked_by, revoked_reason, join_token_id
from bus_identities where public_key = $1 for update

-- name: key_of
select public_key from bus_identities where name = $1 and revoked_at is null

-- name: insert
insert into bus_identities (public_key, name, kind, join_token_id, resource_group, labels, expires_at)
values ($1, $2, $3, $4, $5, $6, now() + $7::interval)
returning issued_at, expires_at

-- name: renew
-- An identity that is revoked meanwhile is not renewed: both changes wait for each other.
update bus_identities set issued_at = greatest(issued_at, clock_timestamp()), expires_at = greatest(expires_at, clock_timestamp() + $2::interval)
where public_key = $1 and revoked_at is null returning name, kind, issued_at, expires_at

-- name: revoke
-- Not before its newest signature: what was signed until then is refused.
update bus_identities set revoked_at = greatest(clock_timestamp(), issued_at), revoked_by = $2, revoked_reason = $3
where name = $1 and revoked_at is null returning public_key

-- name: revoke_installed
-- An identity of the installation's files, of which there is no row before.
insert into bus_identities (public_key, name, kind, revoked_at, revoked_by, revoked_reason) values ($1, $2, $3, clock_timestamp(), $4, $5)
on conflict (public_key) do nothing returning public_key

-- name: revoked
-- Those whose newest signature has not ended by itself.
select public_key, revoked_at from bus_identities
where revoked_at is not null and (expires_at is null or expires_at > now()) order by revoked_at desc limit $1
