-- Time of the last failed start that counted: replicas that were placed together and fail one after the other count once, so
-- the newest of start_errors may be later, and would hide starts that were placed in between.
alter table services add column last_failed_at timestamptz;
update services s set last_failed_at = (select max(e.at) from start_errors e where e.service_id = s.id) where s.failed_starts > 0;
