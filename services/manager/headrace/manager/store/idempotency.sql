-- name: find
select request_hash, answer, whole from idempotency_keys where credential = $1 and key = $2 and at > now() - $3::interval

-- name: insert
-- One that was forgotten in the meantime is taken over; a known one stays, and no row is returned. A transaction that inserts the
-- same key meanwhile is waited for. Those beyond the newest $8 of the user are deleted, some at a time.
with beyond as (
    delete from idempotency_keys where (credential, key) in (
        select credential, key from idempotency_keys
        where user_id = $3 and at <= (select at from idempotency_keys where user_id = $3 order by at desc offset $8 limit 1)
        limit 20 for update skip locked)
)
insert into idempotency_keys as known (credential, key, user_id, request_hash, answer, whole)
values ($1, $2, $3, $4, $5, $6)
on conflict (credential, key) do update
    set request_hash = excluded.request_hash, answer = excluded.answer, whole = excluded.whole, at = now()
    where known.at <= now() - $7::interval
returning true

-- name: delete
delete from idempotency_keys where credential = $1 and key = $2
