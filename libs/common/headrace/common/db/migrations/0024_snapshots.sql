-- Which revisions need a snapshot of a model folder: the housekeeping of snapshots looks for them. The model folder is the
-- first mount; those of older versions have no snapshot.
create index revisions_snapshot on revisions ((resolved #>> '{mounts,0,snapshot_id}'))
    where resolved #>> '{mounts,0,snapshot_id}' is not null;
