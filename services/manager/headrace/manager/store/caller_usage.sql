-- name: page
-- Living tokens and clients of service $1 of project $2, by id after $3, at most $4; with what they used of it since the hour of $5, and today
-- (UTC), and when last.
with callers as (
    select t.id, 'token' as kind, t.name, t.limits from tokens t
    where (t.service_id = $1 or t.project_id = $2) and t.revoked_at is null and t.expires_at > now() and t.id > $3
    union all
    select c.id, 'client', c.name::text, c.limits from clients c where c.service_id = $1 and c.revoked_at is null and c.id > $3
    order by id limit $4
), used as (
    select u.caller_id, sum(u.requests) filter (where u.at >= date_trunc('hour', $5, 'UTC')) as requests, sum(u.refused) filter (where u.at >= date_trunc('hour', $5, 'UTC')) as refused,
           sum(u.prompt_tokens + u.completion_tokens + u.estimated_tokens) filter (where u.at >= date_trunc('hour', $5, 'UTC')) as tokens,
           sum(u.prompt_tokens + u.completion_tokens + u.estimated_tokens) filter (where u.at >= date_trunc('day', now(), 'UTC')) as tokens_today
    from request_usage u
    where u.service_id = $1 and u.at >= least(date_trunc('hour', $5, 'UTC'), date_trunc('day', now(), 'UTC')) and u.caller in ('token', 'client')
    group by u.caller_id
)
select c.id, c.kind, c.name, c.limits, coalesce(u.requests, 0)::bigint as requests, coalesce(u.refused, 0)::bigint as refused,
       coalesce(u.tokens, 0)::bigint as tokens, coalesce(u.tokens_today, 0)::bigint as tokens_today,
       (select l.last_at from request_usage l
        where l.service_id = $1 and l.caller_id = c.id and l.caller in ('token', 'client') order by l.at desc limit 1) as last_used_at
from callers c left join used u on u.caller_id = c.id order by c.id
