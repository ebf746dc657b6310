-- name: agents
select count(*) filter (where lost_at is null) as alive, count(*) filter (where lost_at is not null) as lost from agents

-- name: services
-- Wanted and serving replicas of each service that should have any.
select p.name::text as project, s.name::text as service, s.wanted,
       (select count(*) from serving_sessions x where x.service_id = s.id and x.kind = 'inference')::integer as serving
from services s join projects p on p.id = s.project_id
where s.deleted_at is null and s.goal = 'running' and s.wanted > 0 order by s.id limit $1

-- name: last_backup
select extract(epoch from max(at))::double precision from events where action = 'installation.backed-up'
