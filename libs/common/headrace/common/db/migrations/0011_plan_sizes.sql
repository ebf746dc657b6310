-- How large a table was when it was published last: a machine whose plan is nearly as large as a message takes no more.
alter table publications add column bytes integer not null default 0;
