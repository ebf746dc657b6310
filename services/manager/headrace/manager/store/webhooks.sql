-- Webhooks, the queue of each, and what came of deliveries.

-- name: insert
insert into webhooks (id, project_id, name, url, kinds, secret_id, enabled, created_by) values ($1, $2, $3, $4, $5, $6, $7, $8)

-- name: count
select count(*) from webhooks where project_id = $1

-- name: find
-- By id or name in a project; an id has precedence over a name that looks like one.
select w.id, w.name, w.project_id, p.name as project, w.url, s.name as secret, w.secret_id, w.kinds, w.enabled, w.problem, w.failing_since,
       w.next_try_at, (select count(*) from (select 1 from webhook_deliveries d where d.webhook_id = w.id limit 1000) q) as queued,
       w.delivered, w.dropped, w.answers, u.name as created_by, w.created_at, w.updated_at
from webhooks w join projects p on p.id = w.project_id join secrets s on s.id = w.secret_id join users u on u.id = w.created_by
where w.project_id = $1 and (w.id = $2 or w.name = $3) order by w.id = $2 desc nulls last limit 1

-- name: page
select w.id, w.name, w.project_id, p.name as project, w.url, s.name as secret, w.secret_id, w.kinds, w.enabled, w.problem, w.failing_since,
       w.next_try_at, (select count(*) from (select 1 from webhook_deliveries d where d.webhook_id = w.id limit 1000) q) as queued,
       w.delivered, w.dropped, w.answers, u.name as created_by, w.created_at, w.updated_at
from webhooks w join projects p on p.id = w.project_id join secrets s on s.id = w.secret_id join users u on u.id = w.created_by
where w.project_id = $1 and w.id > $2 order by w.id limit $3

-- name: hold
select 1 from webhooks where id = $1 for update

-- name: update
-- Whatever changed, it is tried anew at once, by whichever manager; the one that holds it stops.
update webhooks set url = $2, kinds = $3, secret_id = $4, enabled = $5, problem = null, failures = 0, failing_since = null,
    next_try_at = now(), leased_by = null, leased_until = null, updated_at = now()
where id = $1

-- name: drop_queue
delete from webhook_deliveries where webhook_id = $1

-- name: delete
delete from webhooks where id = $1

-- name: delete_all
delete from webhooks where project_id = $1

-- name: of_secret
-- Which webhooks are signed with a secret.
select name from webhooks where secret_id = $1 order by name limit $2

-- name: claim
-- Leases at most $2 webhooks that have something to deliver and are due. First the webhooks that the queue has, one look each.
with recursive queued as (
    (select webhook_id from webhook_deliveries order by webhook_id limit 1)
    union all
    select (select d.webhook_id from webhook_deliveries d where d.webhook_id > q.webhook_id order by d.webhook_id limit 1)
    from queued q where q.webhook_id is not null
), due as (
    select w.id from queued q join webhooks w on w.id = q.webhook_id
    where w.enabled and w.next_try_at <= now() and (w.leased_until is null or w.leased_until < now())
    order by w.next_try_at limit $2 for update of w skip locked
)
update webhooks w set leased_by = $1, leased_until = now() + $3::interval from due where w.id = due.id
returning w.id, w.project_id, w.name, w.url, w.secret_id, w.failures, w.failing_since

-- name: trim
-- Deletes what is queued beyond the newest $2, and counts it.
with surplus as (
    delete from webhook_deliveries where webhook_id = $1 and id <= (
        select id from webhook_deliveries where webhook_id = $1 order by id desc offset $2 limit 1)
    returning 1
)
update webhooks set dropped = dropped + (select count(*) from surplus) where id = $1 and exists (select 1 from surplus)

-- name: drop_orphans
-- Takes those of the next $2 away whose event is forgotten.
delete from webhook_deliveries d using (select id, event_id from webhook_deliveries where webhook_id = $1 order by id limit $2) n
where d.id = n.id and not exists (select 1 from events e where e.id = n.event_id)

-- name: next
-- The next $2 events that wait.
select d.id, d.at, e.id as event_id, e.at as happened_at, e.action, e.actor, p.id as project_id, p.name as project, e.service_id, s.name as service,
       e.message, e.details, e.before, e.after
from (select * from webhook_deliveries where webhook_id = $1 order by id limit $2) d
join events e on e.id = d.event_id join webhooks w on w.id = d.webhook_id join projects p on p.id = w.project_id
left join services s on s.id = e.service_id order by d.id

-- name: settle
-- Notes what came of a try, if the caller ($2) still holds the webhook. $3: the event's place in the queue, if it needs no
-- further try.
with held as (
    update webhooks set failures = $4, failing_since = $5, next_try_at = $6, delivered = delivered + $7, dropped = dropped + $8,
        problem = $9, enabled = enabled and $9::text is null,
        answers = (select jsonb_agg(a) from (select a from jsonb_array_elements(jsonb_build_array($10::jsonb) || answers) a limit 20) n)
    where id = $1 and leased_by = $2 and enabled returning id
), gone as (
    delete from webhook_deliveries d using held where d.webhook_id = held.id and (d.id <= $3 or $9::text is not null)
)
select count(*) from held

-- name: release
update webhooks set leased_by = null, leased_until = null where id = $1 and leased_by = $2

-- name: keys
-- The newest version of a secret, and the one before for a day after it was replaced.
select v.version, v.value, v.data_key, v.key_id from secret_versions v join secrets s on s.id = v.secret_id
where s.id = $1 and (v.version = s.version or v.version = s.version - 1 and exists (
    select 1 from secret_versions n where n.secret_id = s.id and n.version = s.version and n.created_at > now() - interval '1 day'))
order by v.version desc
