-- After a restore, what runs is what the backup says of it; so a replica is shown as silent until its machine has reported since.
create index events_restores on events (at) where action = 'installation.restored';

create or replace view replicas as
select x.id, x.kind, x.service_id, x.revision_id, coalesce(r.number, 0) as revision, x.status,
       case when k.lost then 'unhealthy' else x.health end as health, x.was_healthy,
       case when k.lost then 'agent-lost' when k.shows then k.reason_code else x.reason_code end as reason_code,
       case when k.lost then k.agent_id || ' is silent; requests go there as long as it answers them'
            when k.shows then k.reason_text else x.reason_text end as reason_text,
       x.created_at, x.ended_at, k.id as kernel_id, k.agent_id, k.state as kernel_state, k.host, k.port, x.weight
from sessions x
left join revisions r on r.id = x.revision_id
left join lateral (
    select m.id, m.agent_id, m.state, m.host, m.port, m.reason_code, m.reason_text,
           m.state is not null and x.status in ('placed', 'running') as shows,
           x.status <> 'ended' and (a.lost_at is not null
               or a.last_seen_at <= (select max(e.at) from events e where e.action = 'installation.restored')) as lost
    from kernels m left join agents a on a.id = m.agent_id
    where m.session_id = x.id and m.role = 'main' order by m.created_at desc limit 1
) k on true;
