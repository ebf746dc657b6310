-- name: claim
-- Marks batch $3 of a writer as stored; no row if it was before. A second manager with the same batch waits for the first.
insert into usage_writers as w (proxy_id, writer, sequence) values ($1, $2, $3)
on conflict (proxy_id, writer) do update set sequence = excluded.sequence, at = now() where w.sequence < excluded.sequence
returning sequence

-- name: add
-- Adds rows $1 (contracts: UsageRow) to their hours, in one order of locks. An app-proxy whose clock is ahead counts to this hour.
with counted as (
    select least(date_trunc('hour', r.hour, 'UTC'), date_trunc('hour', now(), 'UTC')) as at, r.service_id,
           coalesce(r.revision_id, '00000000-0000-0000-0000-000000000000') as revision_id, r.caller,
           coalesce(r.caller_id, '00000000-0000-0000-0000-000000000000') as caller_id,
           sum(r.requests)::bigint as requests, sum(r.errors)::bigint as errors, sum(r.refused)::bigint as refused,
           sum(r.prompt_tokens)::bigint as prompt_tokens, sum(r.completion_tokens)::bigint as completion_tokens,
           sum(r.estimated_tokens)::bigint as estimated_tokens, sum(r.audio_ms)::bigint as audio_ms,
           least(max(r.last_at), now()) as last_at
    from jsonb_to_recordset($1::jsonb) as r (
        hour timestamptz, service_id uuid, revision_id uuid, caller text, caller_id uuid, requests bigint, errors bigint, refused bigint,
        prompt_tokens bigint, completion_tokens bigint, estimated_tokens bigint, audio_ms bigint, last_at timestamptz)
    group by 1, 2, 3, 4, 5
), added as (
    insert into request_usage as u (at, service_id, revision_id, caller, caller_id, project_id, user_id, requests, errors, refused,
                                    prompt_tokens, completion_tokens, estimated_tokens, audio_ms, last_at)
    select c.at, c.service_id, c.revision_id, c.caller, c.caller_id, s.project_id, coalesce(t.created_by, n.created_by),
           c.requests, c.errors, c.refused, c.prompt_tokens, c.completion_tokens, c.estimated_tokens, c.audio_ms, c.last_at
    from counted c left join services s on s.id = c.service_id
    left join tokens t on c.caller = 'token' and t.id = c.caller_id left join clients n on c.caller = 'client' and n.id = c.caller_id
    order by c.at, c.service_id, c.revision_id, c.caller, c.caller_id
    on conflict (at, service_id, revision_id, caller, caller_id) do update set
        requests = u.requests + excluded.requests, errors = u.errors + excluded.errors, refused = u.refused + excluded.refused,
        prompt_tokens = u.prompt_tokens + excluded.prompt_tokens, completion_tokens = u.completion_tokens + excluded.completion_tokens,
        estimated_tokens = u.estimated_tokens + excluded.estimated_tokens, audio_ms = u.audio_ms + excluded.audio_ms,
        last_at = greatest(u.last_at, excluded.last_at)
    returning 1
)
select count(*) from added

-- name: note_callers
-- Notes of callers of rows $1 when they called last, and what they have used of their tokens a minute: a bucket that refills evenly, up
-- to an hour in debt (app-proxies: ratelimit/policy.py). Of rows that were kept for longer than a minute, what refilled meanwhile is left out.
with counted as (
    select r.caller_id, r.service_id, sum(r.prompt_tokens + r.completion_tokens + r.estimated_tokens) as tokens,
           least(max(r.last_at), now()) as last_at, least(min(coalesce(r.first_at, r.last_at)), now()) as first_at
    from jsonb_to_recordset($1::jsonb) as r (
        service_id uuid, caller text, caller_id uuid, prompt_tokens bigint, completion_tokens bigint, estimated_tokens bigint,
        first_at timestamptz, last_at timestamptz)
    where r.caller in ('token', 'client') and r.caller_id is not null group by 1, 2
), limited as (
    select c.caller_id, case when t.project_id is not null and t.limits <> '{}' then t.project_id else c.service_id end as scope_id,
           c.tokens, c.first_at, c.last_at,
           (case when coalesce(t.limits, n.limits, '{}') <> '{}' then coalesce(t.limits, n.limits) else s.caller_limits end
               ->> 'tokens_per_minute')::bigint as per_minute
    from counted c left join services s on s.id = c.service_id left join tokens t on t.id = c.caller_id left join clients n on n.id = c.caller_id
), used as (
    select caller_id, scope_id, max(last_at) as last_at, coalesce(max(per_minute), 0) as per_minute, sum(tokens)::float8 as tokens,
           greatest(0, extract(epoch from max(last_at) - min(first_at)) - 60)::float8 as longer_s
    from limited group by 1, 2
)
insert into caller_use as u (caller_id, scope_id, last_used_at, per_minute, minute_tokens)
select caller_id, scope_id, last_at, per_minute, least(greatest(0, tokens - per_minute / 60.0::float8 * longer_s), per_minute * 61)
from used order by caller_id, scope_id
on conflict (caller_id, scope_id) do update set
    minute_tokens = least(excluded.per_minute * 61, excluded.minute_tokens + greatest(0, u.minute_tokens
        - excluded.per_minute / 60.0::float8 * greatest(0, extract(epoch from excluded.last_used_at - u.last_used_at)))),
    per_minute = excluded.per_minute, last_used_at = greatest(u.last_used_at, excluded.last_used_at)

-- name: summed
-- Usage in [$1, $2) by step $3 (null: all of it in one) and by noun $4 (null: all of it together), of projects $5 (null: all) and
-- service $6 (null: all). Each with its id (null: of none) and last name. At most $7 rows.
with requested as (
    select coalesce(date_trunc($3, r.at, 'UTC'), $1) as at,
           case $4 when 'project' then r.project_id when 'service' then r.service_id when 'revision' then r.revision_id
                   when 'token' then r.caller_id when 'client' then r.caller_id when 'user' then r.user_id end as id,
           sum(r.requests) as requests, sum(r.errors) as errors, sum(r.refused) as refused, sum(r.prompt_tokens) as prompt_tokens,
           sum(r.completion_tokens) as completion_tokens, sum(r.estimated_tokens) as estimated_tokens, sum(r.audio_ms) as audio_ms,
           max(r.last_at) as last_at
    from request_usage r
    where r.at >= $1 and r.at < $2 and ($5::uuid[] is null or r.project_id = any($5)) and ($6::uuid is null or r.service_id = $6)
      and ($4::text is null or $4 not in ('token', 'client') or r.caller = $4)
    group by 1, 2
), held as (
    select b.at as at, b.id, sum(b.gpus * b.seconds) as gpu_s, sum(b.cpus * b.seconds) as cpu_s, sum(b.memory_bytes * b.seconds) as memory_byte_s
    from (
        select coalesce(step.at, $1) as at, u.gpus, u.cpus, u.memory_bytes,
               case $4 when 'project' then u.project_id when 'service' then u.service_id when 'revision' then u.revision_id
                       when 'user' then u.user_id end as id,
               extract(epoch from least(u.until_at, $2, step.until) - greatest(u.from_at, $1, step.at)) as seconds
        from slot_usage u
        cross join lateral (
            select at at time zone 'UTC' as at, (at + ('1 ' || $3)::interval) at time zone 'UTC' as until
            from generate_series(date_trunc($3, greatest(u.from_at, $1) at time zone 'UTC'),
                                 least(u.until_at, $2) at time zone 'UTC', ('1 ' || $3)::interval) as at
            where $3::text is not null
            union all select null, null where $3::text is null
        ) step
        where u.until_at > $1 and u.from_at < $2 and ($5::uuid[] is null or u.project_id = any($5)) and ($6::uuid is null or u.service_id = $6)
          and ($4::text is null or $4 not in ('token', 'client'))
    ) b where b.seconds > 0
    group by 1, 2
), both_kinds as (
    select at, id, requests, errors, refused, prompt_tokens, completion_tokens, estimated_tokens, audio_ms, last_at,
           0 as gpu_s, 0 as cpu_s, 0 as memory_byte_s from requested
    union all
    select at, id, 0, 0, 0, 0, 0, 0, 0, null, gpu_s, cpu_s, memory_byte_s from held
), sums as (
    select at, nullif(id, '00000000-0000-0000-0000-000000000000') as id,
           sum(requests)::bigint as requests, sum(errors)::bigint as errors, sum(refused)::bigint as refused,
           sum(prompt_tokens)::bigint as prompt_tokens, sum(completion_tokens)::bigint as completion_tokens,
           sum(estimated_tokens)::bigint as estimated_tokens, sum(audio_ms)::bigint as audio_ms, max(last_at) as last_at,
           sum(gpu_s)::float8 as gpu_s, sum(cpu_s)::float8 as cpu_s, sum(memory_byte_s)::float8 as memory_byte_s
    from both_kinds group by 1, 2 order by 1, 2 limit $7
)
select s.*, coalesce(
    case $4 when 'project' then (select name::text from projects where id = s.id)
            when 'service' then (select name::text from services where id = s.id)
            when 'revision' then (select number::text from revisions where id = s.id)
            when 'token' then (select name::text from tokens where id = s.id)
            when 'client' then (select name::text from clients where id = s.id)
            when 'user' then (select name::text from users where id = s.id) end,
    (select name from gone_names where id = s.id)) as name,
    case when $4 = 'revision' then (select coalesce(v.name::text, g.name) from revisions r left join services v on v.id = r.service_id
                                    left join gone_names g on g.id = r.service_id where r.id = s.id)
         when $4 = 'client' then (select v.name::text from clients n join services v on v.id = n.service_id where n.id = s.id)
         when $4 = 'token' then (select v.name::text from tokens t join services v on v.id = t.service_id where t.id = s.id) end as service
from sums s order by s.at, s.id

-- name: sum_up_days
-- Adds hours older than $1 to their day, at most $2 rows, the oldest first.
with due as (
    select at, service_id, revision_id, caller, caller_id from request_usage
    where extract(hour from at at time zone 'UTC') <> 0 and at < date_trunc('day', now() - $1::interval, 'UTC')
    order by at limit $2 for update skip locked
), hours as (
    delete from request_usage u using due d
    where u.at = d.at and u.service_id = d.service_id and u.revision_id = d.revision_id and u.caller = d.caller and u.caller_id = d.caller_id
    returning u.*
), added as (
    insert into request_usage as u (at, service_id, revision_id, caller, caller_id, project_id, user_id, requests, errors, refused,
                                    prompt_tokens, completion_tokens, estimated_tokens, audio_ms, last_at)
    select date_trunc('day', at, 'UTC'), service_id, revision_id, caller, caller_id, min(project_id::text)::uuid, min(user_id::text)::uuid,
           sum(requests), sum(errors), sum(refused), sum(prompt_tokens), sum(completion_tokens), sum(estimated_tokens), sum(audio_ms), max(last_at)
    from hours group by 1, 2, 3, 4, 5 order by 1, 2, 3, 4, 5
    on conflict (at, service_id, revision_id, caller, caller_id) do update set
        requests = u.requests + excluded.requests, errors = u.errors + excluded.errors, refused = u.refused + excluded.refused,
        prompt_tokens = u.prompt_tokens + excluded.prompt_tokens, completion_tokens = u.completion_tokens + excluded.completion_tokens,
        estimated_tokens = u.estimated_tokens + excluded.estimated_tokens, audio_ms = u.audio_ms + excluded.audio_ms,
        last_at = greatest(u.last_at, excluded.last_at)
)
select count(*) from hours
