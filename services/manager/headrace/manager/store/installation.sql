-- name: lock_bootstrap
select pg_advisory_xact_lock(5208208757389214274)

-- name: any_project
select exists (select 1 from projects)

-- name: delete_keys_named
delete from api_keys where user_id = $1 and name = $2
