-- Why the services loop cannot handle a service; null: it can.
alter table services add column problem text;
