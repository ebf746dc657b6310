-- When the file was changed where it came from, if the sender says; nanoseconds since 1970.
alter table uploads add column modified_ns bigint;
