-- name: insert
-- $9: lifetime, $10: longest time without a request.
insert into logins (id, user_id, secret_hash, form, method, key_id, source_address, user_agent, ends_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, now() + $9::interval)
returning id, method, form, source_address, user_agent, key_id, created_at, last_used_at,
          least(ends_at, last_used_at + $10::interval) as ends_at

-- name: by_id
-- $2: longest time without a request.
select l.secret_hash, l.form, l.key_id, k.expires_at, coalesce(k.read_only, false) as read_only, k.project_ids,
       l.ends_at <= now() or l.last_used_at + $2::interval <= now() or coalesce(k.expires_at <= now(), false) as over,
       l.last_used_at < now() - interval '1 minute' as stale,
       u.id, u.name, u.operator, u.created_at, u.disabled_at
from logins l join users u on u.id = l.user_id left join api_keys k on k.id = l.key_id where l.id = $1

-- name: touch
update logins set last_used_at = now() where id = $1 and last_used_at < now() - interval '1 minute'

-- name: find
select id, method, form, source_address, user_agent, key_id, created_at, last_used_at,
       least(ends_at, last_used_at + $2::interval) as ends_at
from logins where id = $1

-- name: page
-- Those that have not ended.
select id, method, form, source_address, user_agent, key_id, created_at, last_used_at,
       least(ends_at, last_used_at + $2::interval) as ends_at
from logins where user_id = $1 and id > $3 and least(ends_at, last_used_at + $2::interval) > now() order by id limit $4

-- name: delete
delete from logins where id = $1 and user_id = $2 returning id

-- name: delete_others
delete from logins where user_id = $1 and id is distinct from $2 returning id

-- name: delete_unused
-- All but the $2 that were used last.
delete from logins where id in (select id from logins where user_id = $1 order by last_used_at desc, id desc offset $2)

-- name: insert_code
insert into login_codes (id, user_id, secret_hash, key_id, expires_at) values ($1, $2, $3, $4, now() + $5::interval) returning expires_at

-- name: take_code
-- The code is gone, whatever comes of it: it is good for one try.
with taken as (delete from login_codes where id = $1 returning user_id, secret_hash, key_id, expires_at)
select t.secret_hash, t.key_id, t.expires_at <= now() or coalesce(k.expires_at <= now(), false) as expired,
       u.id, u.name, u.operator, u.created_at, u.disabled_at, exists (select 1 from passwords p where p.user_id = u.id) as has_password
from taken t join users u on u.id = t.user_id left join api_keys k on k.id = t.key_id

-- name: count_codes
select count(*) from login_codes where user_id = $1 and expires_at > now()

-- name: password
select u.id, u.name, u.operator, u.created_at, u.disabled_at, p.hash is not null as has_password, p.hash
from users u left join passwords p on p.user_id = u.id where u.name = $1

-- name: put_password
insert into passwords (user_id, hash) values ($1, $2) on conflict (user_id) do update set hash = excluded.hash, changed_at = now()

-- name: replace_hash
-- If it is still that of the same password.
update passwords set hash = $3 where user_id = $1 and hash = $2

-- name: delete_password
delete from passwords where user_id = $1

-- name: count_try
-- Counts a try in the window $2, and returns how many it has had and how long it still lasts.
insert into login_attempts as a (subject, attempts) values ($1, 1)
on conflict (subject) do update set
    attempts = case when a.began_at + $2::interval <= now() then 1 else least(a.attempts + 1, 1000000) end,
    began_at = case when a.began_at + $2::interval <= now() then now() else a.began_at end
returning attempts, extract(epoch from began_at + $2::interval - now())::double precision as left_s

-- name: take_back_try
update login_attempts set attempts = attempts - 1 where subject = $1 and attempts > 0

-- name: delete_codes
delete from login_codes where user_id = $1
