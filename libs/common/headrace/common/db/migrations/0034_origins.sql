-- Where each value of a revision's resolved spec comes from, and what its model definition says of the model. Both are for
-- people; null: a manager of an earlier version made the revision.
alter table revisions add column origins jsonb;
alter table revisions add column model_metadata jsonb;
