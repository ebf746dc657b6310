-- When a machine took its last report (by its own clock) and when it was written, so that one that was long on its way is
-- known as such; and a digest of what the report said, so that the same is not written again.
alter table agents
    add column taken_at timestamptz,
    add column received_at timestamptz,
    add column digest text not null default '';
