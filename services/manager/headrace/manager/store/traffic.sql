-- name: write
-- What is null stays. $2, $4, $6: back to defaults first. null in a document takes that key away.
update services set
    balance = jsonb_strip_nulls(case when $2 then '{}' else balance end || coalesce($3::jsonb, '{}')),
    limits = jsonb_strip_nulls(case when $4 then '{}' else limits end || coalesce($5::jsonb, '{}')),
    caller_limits = jsonb_strip_nulls(case when $6 then '{}' else caller_limits end || coalesce($7::jsonb, '{}')),
    models = coalesce($8::text[], models)
where id = $1

-- name: put_weight
update sessions set weight = $3 where id = $1 and service_id = $2 and status in ('pending', 'placed', 'running')
returning (select weight from sessions where id = $1) as before

-- name: found_as
-- What the name leads to at the fleet's base URL: 'service', 'model' of one, or null.
select case when s.name = f.name then 'service' else 'model' end
from fleet_names f join services s on s.id = f.service_id where f.name = $1
