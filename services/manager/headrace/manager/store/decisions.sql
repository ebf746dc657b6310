-- name: page
select id, at, source, rule_id, from_replicas, to_replicas, observed, reason_code, reason_text from scale_decisions
where service_id = $1 and ($2::uuid is null or id < $2) order by id desc limit $3

-- name: insert
insert into scale_decisions (id, service_id, source, rule_id, from_replicas, to_replicas, observed, reason_code, reason_text)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9)

-- name: cooling
-- The rule whose cooldown forbids this change, and how many seconds of it are left: its own; for a scale-in also that of a
-- rule that scaled out. Counted from decisions of rules here, so that it holds whatever Redis has lost.
select r.id as rule_id, (r.spec ->> 'cooldown_s')::float8 - extract(epoch from now() - d.at)::float8 as left_s
from rules r join lateral (
    select at, to_replicas > from_replicas as scaled_out from scale_decisions
    where service_id = r.service_id and rule_id = r.id order by at desc limit 1
) d on true
where r.service_id = $1 and (r.id = $2 or ($3 and d.scaled_out))
  and d.at + make_interval(secs => (r.spec ->> 'cooldown_s')::float8) > now()
order by left_s desc limit 1
