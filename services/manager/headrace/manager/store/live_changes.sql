-- What changed lately, and who may see it.

-- name: snapshot
select pg_current_snapshot()::text

-- name: since
-- What this statement's snapshot sees and the earlier one ($1) did not, each thing once, at most $2; and this snapshot. One
-- row at least, so that the snapshot always comes. went_back: the server lost transactions, as a standby that took over.
select pg_current_snapshot()::text as snapshot, n.kind, n.thing_id, n.project_id,
       pg_snapshot_xmax(pg_current_snapshot()) < pg_snapshot_xmax($1::text::pg_snapshot) as went_back
from (select) one left join (
    select kind, thing_id, project_id from live_changes
    where changed >= pg_snapshot_xmin($1::text::pg_snapshot) and not pg_visible_in_snapshot(changed, $1::text::pg_snapshot)
    group by kind, thing_id, project_id order by min(id) limit $2
) n on true

-- name: sights
-- What the holders of these credentials ($1 logins, $2 API keys, in pairs) may see, of those that still count. $3: longest time
-- without a request.
select c.login_id, c.key_id, u.id as user_id, u.operator and k.project_ids is null as operator,
       array(select m.project_id from memberships m join projects p on p.id = m.project_id and p.deleted_at is null
             where m.user_id = u.id and (k.project_ids is null or m.project_id = any(k.project_ids))) as projects
from unnest($1::uuid[], $2::uuid[]) as c(login_id, key_id)
left join logins l on l.id = c.login_id and l.ends_at > now() and l.last_used_at + $3::interval > now()
left join api_keys k on k.id = c.key_id and (k.expires_at is null or k.expires_at > now())
join users u on u.id = case when c.login_id is null then k.user_id else l.user_id end and u.disabled_at is null
where c.key_id is null or k.id is not null
