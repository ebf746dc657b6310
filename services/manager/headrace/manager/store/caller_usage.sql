-- name: page
-- Living tokens and clients of service $1 of project $2, by id after $3, at most $4; with what they used of it since the hour of $5, and
-- today (UTC), and when last. `counted_today`, `minute_tokens`: over what their limits count.
with callers as (
    select t.id, 'token' as kind, t.name, t.limits, case when t.project_id is not null and t.limits <> '{}' then t.project_id else $1 end as scope_id
    from tokens t
    where (t.service_id = $1 or t.project_id = $2) and t.revoked_at is null and t.expires_at > now() and t.id > $3
    union all
    select c.id, 'client', c.name::text, c.limits, $1 from clients c where c.service_id = $1 and c.revoked_at is null and c.id > $3
    order by id limit $4
), used as (
    select u.caller_id, sum(u.requests) filter (where u.at >= date_trunc('hour', $5, 'UTC')) as requests, sum(u.refused) filter (where u.at >= date_trunc('hour', $5, 'UTC')) as refused,
           sum(u.prompt_tokens + u.completion_tokens + u.estimated_tokens) filter (where u.at >= date_trunc('hour', $5, 'UTC')) as tokens,
           sum(u.prompt_tokens + u.completion_tokens + u.estimated_tokens) filter (where u.at >= date_trunc('day', now(), 'UTC')) as tokens_today
    from request_usage u
    where u.service_id = $1 and u.at >= least(date_trunc('hour', $5, 'UTC'), date_trunc('day', now(), 'UTC')) and u.caller in ('token', 'client')
    group by u.caller_id
), of_project as (
    select u.caller_id, sum(u.prompt_tokens + u.completion_tokens + u.estimated_tokens) as tokens_today
    from request_usage u
    where u.project_id = $2 and u.at >= date_trunc('day', now(), 'UTC') and u.caller = 'token'
      and u.caller_id in (select id from callers where scope_id = $2)
    group by u.caller_id
)
select c.id, c.kind, c.name, c.limits, case when c.scope_id = $1 then 'service' else 'project' end as limits_scope,
       coalesce(u.requests, 0)::bigint as requests, coalesce(u.refused, 0)::bigint as refused,
       coalesce(u.tokens, 0)::bigint as tokens, coalesce(u.tokens_today, 0)::bigint as tokens_today,
       case when c.scope_id = $1 then coalesce(u.tokens_today, 0) else coalesce(p.tokens_today, 0) end::bigint as counted_today,
       coalesce(m.minute_tokens, 0) as minute_tokens, m.last_used_at as minute_at,
       (select l.last_at from request_usage l
        where l.service_id = $1 and l.caller_id = c.id and l.caller in ('token', 'client') order by l.at desc, l.last_at desc limit 1) as last_used_at
from callers c left join used u on u.caller_id = c.id left join of_project p on p.caller_id = c.id
     left join caller_use m on m.caller_id = c.id and m.scope_id = c.scope_id
order by c.id

-- name: page_of_project
-- Living tokens of project $1 by id after $2, at most $3; with what they used of all its services since the hour of $4, and today (UTC),
-- and when last.
with callers as (
    select t.id, t.name, t.limits from tokens t
    where t.project_id = $1 and t.revoked_at is null and t.expires_at > now() and t.id > $2
    order by t.id limit $3
), used as (
    select u.caller_id, sum(u.requests) filter (where u.at >= date_trunc('hour', $4, 'UTC')) as requests, sum(u.refused) filter (where u.at >= date_trunc('hour', $4, 'UTC')) as refused,
           sum(u.prompt_tokens + u.completion_tokens + u.estimated_tokens) filter (where u.at >= date_trunc('hour', $4, 'UTC')) as tokens,
           sum(u.prompt_tokens + u.completion_tokens + u.estimated_tokens) filter (where u.at >= date_trunc('day', now(), 'UTC')) as tokens_today
    from request_usage u
    where u.project_id = $1 and u.at >= least(date_trunc('hour', $4, 'UTC'), date_trunc('day', now(), 'UTC')) and u.caller = 'token'
      and u.caller_id in (select id from callers)
    group by u.caller_id
)
select c.id, 'token' as kind, c.name, c.limits, case when c.limits <> '{}' then 'project' else 'service' end as limits_scope,
       coalesce(u.requests, 0)::bigint as requests, coalesce(u.refused, 0)::bigint as refused,
       coalesce(u.tokens, 0)::bigint as tokens, coalesce(u.tokens_today, 0)::bigint as tokens_today,
       coalesce(u.tokens_today, 0)::bigint as counted_today,
       coalesce(m.minute_tokens, 0) as minute_tokens, m.last_used_at as minute_at,
       (select max(l.last_used_at) from caller_use l where l.caller_id = c.id) as last_used_at
from callers c left join used u on u.caller_id = c.id left join caller_use m on m.caller_id = c.id and m.scope_id = $1
order by c.id
