-- Deletion of rows past retention. $1: age, $2: most rows per statement, oldest first.
-- Locked rows are skipped: a later batch deletes them.

-- name: sessions
-- Ended sessions with their kernels, except those with an uncleared error and those that still hold slots.
delete from sessions where id in (
    select x.id from sessions x
    where x.status = 'ended' and x.ended_at < now() - $1::interval
      and not exists (select 1 from start_errors e where e.session_id = x.id)
      and not exists (select 1 from kernels k join allocations al on al.kernel_id = k.id where k.session_id = x.id)
    order by x.ended_at limit $2 for update of x skip locked)

-- name: start_errors
delete from start_errors where session_id in (
    select session_id from start_errors where at < now() - $1::interval order by at limit $2 for update skip locked)

-- name: events
delete from events where id in (
    select id from events where at < now() - $1::interval order by at limit $2 for update skip locked)

-- name: scale_decisions
delete from scale_decisions where id in (
    select id from scale_decisions where at < now() - $1::interval order by at limit $2 for update skip locked)

-- name: receipts
delete from drain_receipts where session_id in (
    select session_id from drain_receipts where ended_at < now() - $1::interval order by ended_at limit $2 for update skip locked)

-- name: agent_drains
delete from agent_drains where id in (
    select id from agent_drains where ended_at < now() - $1::interval order by ended_at limit $2 for update skip locked)

-- name: tokens
-- A revocation is published until the token would have expired, and no longer.
delete from tokens where id in (
    select id from tokens where expires_at < now() - $1::interval order by expires_at limit $2 for update skip locked)

-- name: revocations
delete from revocations where (credential_id, service_id) in (
    select credential_id, service_id from revocations where at < now() - $1::interval order by at limit $2 for update skip locked)

-- name: clients
delete from clients where id in (
    select id from clients where revoked_at < now() - $1::interval order by revoked_at limit $2 for update skip locked)

-- name: api_keys
delete from api_keys where id in (
    select id from api_keys where expires_at < now() - $1::interval order by expires_at limit $2 for update skip locked)

-- name: logins
delete from logins where id in (
    select id from logins where ends_at < now() - $1::interval order by ends_at limit $2 for update skip locked)

-- name: login_codes
delete from login_codes where id in (
    select id from login_codes where expires_at < now() - $1::interval order by expires_at limit $2 for update skip locked)

-- name: idempotency_keys
delete from idempotency_keys where (credential, key) in (
    select credential, key from idempotency_keys where at < now() - $1::interval order by at limit $2 for update skip locked)

-- name: login_attempts
delete from login_attempts where subject in (
    select subject from login_attempts where began_at < now() - $1::interval order by began_at limit $2 for update skip locked)

-- name: live_changes
delete from live_changes where id in (
    select id from live_changes where at < now() - $1::interval order by at limit $2 for update skip locked)

-- name: join_tokens
delete from join_tokens where id in (
    select id from join_tokens where expires_at < now() - $1::interval order by expires_at limit $2 for update skip locked)

-- name: bus_identities
-- Those whose newest signature has ended: nothing can be refused of them any more, and a machine that returns joins anew.
delete from bus_identities where public_key in (
    select public_key from bus_identities where expires_at < now() - $1::interval order by expires_at limit $2 for update skip locked)

-- name: lost_allocations
-- Allocations on machines absent for this long.
delete from allocations where (kernel_id, slot, device) in (
    select al.kernel_id, al.slot, al.device from allocations al join agents a on a.id = al.agent_id join kernels k on k.id = al.kernel_id
    where a.lost_at < now() - $1::interval and k.ended_at is not null limit $2 for update of al skip locked)

-- name: machines
-- Machines absent for this long, once nothing refers to them. One that returns is a new one.
delete from agents where id in (
    select a.id from agents a
    where a.lost_at < now() - $1::interval and not exists (select 1 from kernels k where k.agent_id = a.id)
      and not exists (select 1 from allocations al where al.agent_id = a.id)
    order by a.lost_at limit $2 for update skip locked)

-- name: leftovers
-- Rows of deleted services, bounded per kind; the services themselves follow once they have none.
with due as (
    select id from services where deleted_at < now() - $1::interval order by deleted_at limit 100
), t as (
    delete from tokens where id in (select x.id from tokens x join due on due.id = x.service_id limit $2) returning 1
), c as (
    delete from clients where id in (select x.id from clients x join due on due.id = x.service_id limit $2) returning 1
), r as (
    delete from rules where id in (select x.id from rules x join due on due.id = x.service_id limit $2) returning 1
), d as (
    delete from scale_decisions where id in (select x.id from scale_decisions x join due on due.id = x.service_id limit $2) returning 1
), e as (
    delete from start_errors where session_id in (select x.session_id from start_errors x join due on due.id = x.service_id limit $2) returning 1
), p as (
    delete from drain_receipts where session_id in (select x.session_id from drain_receipts x join due on due.id = x.service_id limit $2) returning 1
), v as (
    delete from revisions where id in (
        select x.id from revisions x join due on due.id = x.service_id join services s on s.id = due.id
        where x.id <> s.revision_id and not exists (select 1 from sessions n where n.revision_id = x.id) limit $2) returning 1
)
select (select count(*) from t) + (select count(*) from c) + (select count(*) from r) + (select count(*) from d)
     + (select count(*) from e) + (select count(*) from p) + (select count(*) from v)

-- name: services
-- Deleted services whose only rows are the last revision, and whose removal was published to the app-proxies.
with due as (
    select s.id, s.revision_id from services s
    where s.deleted_at < now() - $1::interval
      and not exists (select 1 from sessions x where x.service_id = s.id)
      and not exists (select 1 from tokens x where x.service_id = s.id)
      and not exists (select 1 from clients x where x.service_id = s.id)
      and not exists (select 1 from rules x where x.service_id = s.id)
      and not exists (select 1 from scale_decisions x where x.service_id = s.id)
      and not exists (select 1 from start_errors x where x.service_id = s.id)
      and not exists (select 1 from drain_receipts x where x.service_id = s.id)
      and not exists (select 1 from fleet_names x where x.service_id = s.id)
      and not exists (select 1 from revisions x where x.service_id = s.id and x.id <> s.revision_id)
      and not exists (select 1 from publications p where p.subject = 'route.' || s.id::text and p.generation > 0 and p.published_at < s.deleted_at)
    order by s.deleted_at limit $2 for update skip locked
), last as (
    delete from revisions r using due where r.id = due.revision_id
), told as (
    delete from publications p using due where p.subject in ('route.' || due.id::text, 'rules.' || due.id::text)
)
delete from services s using due where s.id = due.id

-- name: request_usage
delete from request_usage where (at, service_id, revision_id, caller, caller_id) in (
    select at, service_id, revision_id, caller, caller_id from request_usage
    where at < now() - $1::interval order by at limit $2 for update skip locked)

-- name: caller_use
delete from caller_use where (caller_id, scope_id) in (
    select caller_id, scope_id from caller_use where last_used_at < now() - $1::interval order by last_used_at limit $2 for update skip locked)

-- name: replica_usage
delete from replica_usage where kernel_id in (
    select kernel_id from replica_usage where until_at < now() - $1::interval order by until_at limit $2 for update skip locked)

-- name: usage_writers
delete from usage_writers where (proxy_id, writer) in (
    select proxy_id, writer from usage_writers where at < now() - $1::interval order by at limit $2 for update skip locked)

-- name: gone_names
delete from gone_names where id in (
    select id from gone_names where at < now() - $1::interval order by at limit $2 for update skip locked)

-- name: folder_invitations
-- That nobody answered in time.
delete from folder_shares where id in (
    select id from folder_shares where expires_at < now() - $1::interval order by expires_at limit $2 for update skip locked)

-- name: metric_hours
delete from metric_hours where (service_id, hour) in (
    select service_id, hour from metric_hours where hour < now() - $1::interval order by hour limit $2 for update skip locked)

-- name: replica_counts
-- The newest of a service stays: it is what is the case since.
delete from replica_counts where (service_id, at) in (
    select c.service_id, c.at from replica_counts c
    where c.at < now() - $1::interval
      and (exists (select 1 from replica_counts n where n.service_id = c.service_id and n.at > c.at)
           or not exists (select 1 from services s where s.id = c.service_id and s.deleted_at is null))
    order by c.at limit $2 for update skip locked)
