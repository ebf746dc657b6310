-- What states of sessions mean to others, once: domain/lifecycle.py has the same, and a test compares. A column that is added
-- to sessions is in a view once that is made anew (`create or replace view`).

-- It may still hold something: slots of a machine, a container, open requests.
create view live_sessions as select * from sessions where status <> 'ended';

-- On the way to serving, or there: counted as one of the wanted replicas.
create view active_sessions as select * from sessions where status in ('pending', 'placed', 'running');

-- In the plan of its machine.
create view planned_sessions as select * from sessions where status in ('placed', 'running', 'draining');

-- It surely takes new requests: it runs, answered its last health check, and its machine is not silent.
create view serving_sessions as
select * from sessions x where x.status = 'running' and x.health = 'healthy' and exists (
    select 1 from kernels k join agents a on a.id = k.agent_id
    where k.session_id = x.id and k.role = 'main' and k.ended_at is null and k.state = 'running' and a.lost_at is null);
