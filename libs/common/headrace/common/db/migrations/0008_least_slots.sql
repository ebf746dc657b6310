-- Services that were created with no cpu or no memory get the least of both: without them a container had no limit.

update revisions set resolved = jsonb_set(resolved, '{slots}', '{"cpu": "0.01", "mem": "16777216"}' || (resolved -> 'slots'))
where not (resolved -> 'slots' ?& array['cpu', 'mem']);

update sessions set resolved = jsonb_set(resolved, '{slots}', '{"cpu": "0.01", "mem": "16777216"}' || (resolved -> 'slots'))
where resolved is not null and not (resolved -> 'slots' ?& array['cpu', 'mem']);

insert into table_changes (kind, key) values ('plan', '');
