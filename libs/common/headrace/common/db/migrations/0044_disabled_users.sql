-- Users who may not use the API for the time being: since when. What they own stays.

alter table users add column disabled_at timestamptz;
