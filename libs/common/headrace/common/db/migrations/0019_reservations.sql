-- What requests that change a folder's files have reserved, until they end. It was counted into the folder before, so that a walk
-- could not be compared with what is stored while something was on its way.
create table reservations (
    id uuid primary key,
    folder_id uuid not null references folders on delete cascade,
    bytes bigint not null,
    files bigint not null,
    -- one that nobody touched for long is of a process that ended
    touched_at timestamptz not null default now()
);
create index reservations_folder on reservations (folder_id);
create index reservations_touched on reservations (touched_at);
-- All that came and went so far, as far as it was counted: what a walk may have seen or not of what changed meanwhile.
alter table folders
    add column gained_bytes bigint not null default 0,
    add column gained_files bigint not null default 0,
    add column lost_bytes bigint not null default 0,
    add column lost_files bigint not null default 0;
