-- What operators have switched off for a project.

alter table projects add column features_off text[] not null default '{}';
