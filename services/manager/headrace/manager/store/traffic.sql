-- name: write
-- Null: unchanged. $2, $4, $6, $8, $10: reset to defaults first. A null in a document removes that key.
update services set
    balance = jsonb_strip_nulls(case when $2 then '{}' else balance end || coalesce($3::jsonb, '{}')),
    limits = jsonb_strip_nulls(case when $4 then '{}' else limits end || coalesce($5::jsonb, '{}')),
    caller_limits = jsonb_strip_nulls(case when $6 then '{}' else caller_limits end || coalesce($7::jsonb, '{}')),
    rollout = jsonb_strip_nulls(case when $8 then '{}' else rollout end || coalesce($9::jsonb, '{}')),
    cors = jsonb_strip_nulls(case when $10 then '{}' else cors end || coalesce($11::jsonb, '{}')),
    models = coalesce($12::text[], models)
where id = $1

-- name: put_weight
update active_sessions set weight = $3, idle = false where id = $1 and service_id = $2
returning (select weight from sessions where id = $1) as before

-- name: service_has
-- Whether a live service has this name, in any project.
select exists (select 1 from services where name = $1 and deleted_at is null)

-- name: names_taken
select name from fleet_names where project_id = $1 and name = any($2::text[]) and service_id is distinct from $3::uuid
order by name limit 101
