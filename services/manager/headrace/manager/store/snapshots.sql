-- name: needed
-- Of the snapshots $2 of the folder $1: those of revisions that can be rolled back to, and those of sessions that may run
-- somewhere, trial runs among them. A machine that is silent may still run what it holds.
select r.resolved #>> '{mounts,0,snapshot_id}' as id
from revisions r join services s on s.id = r.service_id
where r.resolved #>> '{mounts,0,snapshot_id}' = any($2::text[]) and r.resolved #>> '{mounts,0,folder_id}' = $1::uuid::text
  and (s.deleted_at is null or exists (
      select 1 from sessions x where x.revision_id = r.id and (x.status <> 'ended' or exists (
          select 1 from kernels k join allocations a on a.kernel_id = k.id where k.session_id = x.id))))
union
select x.resolved #>> '{mounts,0,snapshot_id}'
from sessions x
where x.revision_id is null and x.resolved #>> '{mounts,0,snapshot_id}' = any($2::text[])
  and x.resolved #>> '{mounts,0,folder_id}' = $1::uuid::text
  and (x.status <> 'ended' or exists (
      select 1 from kernels k join allocations a on a.kernel_id = k.id where k.session_id = x.id))
