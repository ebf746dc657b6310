-- name: agents
-- Machines at an address that is allowed for them, and whose agent says where its admin pages are.
select a.id::text as id, a.machine ->> 'address' as address, (a.machine ->> 'admin_port')::integer as admin_port from agents a
where a.machine ->> 'admin_port' is not null and a.machine ->> 'address' <> '' and a.address_problem is null order by a.id limit $1

-- name: replicas
select x.id::text as id, p.name::text as project, s.name::text as service, r.number as revision, k.agent_id::text as agent, k.host, k.port
from planned_sessions x join services s on s.id = x.service_id join projects p on p.id = s.project_id
join revisions r on r.id = x.revision_id
join kernels k on k.session_id = x.id and k.role = 'main' and k.ended_at is null and k.state = 'running'
where x.kind = 'inference' and k.host is not null and k.port is not null order by x.id limit $1
