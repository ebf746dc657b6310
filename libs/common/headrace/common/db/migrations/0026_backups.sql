-- When the newest backup was complete, found without reading the history.
create index events_backups on events (at) where action = 'installation.backed-up';
