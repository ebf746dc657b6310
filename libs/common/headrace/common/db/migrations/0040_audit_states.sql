-- State of what a change is about, before and after it, as far as the two differ; bounded, without secrets. Null: it was not
-- there then, or an older version recorded the change.
alter table events add column before jsonb;
alter table events add column after jsonb;
