-- When each token and client called last, and how many of its tokens a minute it had used then: written as usage is stored, so
-- that lists need no sums of it. Nothing refers to another row.
create table caller_use (
    caller_id uuid not null,
    -- over what its limits count: a service, or the project of a project's token that has limits of its own
    scope_id uuid not null,
    last_used_at timestamptz not null,
    -- the limit then, 0: none; and what of it was used at last_used_at, which is less by the minute
    per_minute bigint not null default 0,
    minute_tokens double precision not null default 0,
    primary key (caller_id, scope_id)
) with (fillfactor = 70);
create index caller_use_at on caller_use (last_used_at);

insert into caller_use (caller_id, scope_id, last_used_at)
select caller_id, service_id, max(last_at) from request_usage where caller in ('token', 'client') group by 1, 2;
