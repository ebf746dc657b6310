-- name: tables
-- Tables that are kept, with their columns in order; not those of what is under way ($1), and no transaction ids, which mean
-- nothing in another database.
select c.relname::text as name, array_agg(a.attname::text order by a.attnum) as columns
from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
where c.relnamespace = 'public'::regnamespace and c.relkind = 'r' and not (c.relname = any($1::text[]))
    and a.atttypid <> 'xid8'::regtype
group by c.relname order by c.relname

-- name: references
-- Which table must be there before another one's rows.
select distinct c.conrelid::regclass::text as of_table, c.confrelid::regclass::text as to_table
from pg_constraint c where c.contype = 'f' and not c.condeferrable and c.conrelid <> c.confrelid
    and c.connamespace = 'public'::regnamespace

-- name: required_migrations
select number, checksum from schema_migrations order by number

-- name: expansions
select number, checksum from schema_expansions order by number

-- name: is_migrated
-- Whether it has the tables of migrations that are required, and of expansions, which older versions do not make.
select to_regclass('public.schema_migrations') is not null as required, to_regclass('public.schema_expansions') is not null as expansions

-- name: folders
select count(*) from folders where deleted_at is null

-- name: folder_ids
select id::text from folders where deleted_at is null and id > $1 order by id limit $2

-- name: contents
-- What somebody made; a manager that has started once has one user and one project of its own making.
select (select count(*) from services) as services, (select count(*) from folders) as folders,
    (select count(*) from agents) as agents, (select count(*) from users) - 1 as "further users",
    (select count(*) from projects) - 1 as "further projects"

-- name: managers
select count(*) from pg_stat_activity where datname = current_database() and application_name = 'headrace-manager'

-- name: identities
-- Columns that number rows, with their sequence.
select a.attrelid::regclass::text as of_table, a.attname::text as of_column, pg_get_serial_sequence(a.attrelid::regclass::text, a.attname) as sequence
from pg_attribute a join pg_class c on c.oid = a.attrelid
where c.relnamespace = 'public'::regnamespace and c.relkind = 'r' and a.attidentity <> ''

-- name: publish_anew
-- Above every generation that a reader may have got since the backup was made: a table changes a few times a second at most.
update publications set generation = generation + 1000000000, digest = '' where generation > 0

-- name: note_all_changed
insert into table_changes (kind, key) values ('plan', ''), ('route', ''), ('rules', '')

-- name: record
-- An event of the audit log.
insert into events (id, actor, action, details) values ($1, $2, $3, $4::jsonb)
