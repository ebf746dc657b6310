-- An index for whatever a deletion or a list looks up, so that neither reads a table from end to end.

-- kernels of a session: the newest of a role (lists of services), and what a deleted session takes along
create index kernels_session on kernels (session_id, role, created_at desc);
create index kernels_machine on kernels (agent_id);
create index sessions_of_service on sessions (service_id, id);
create index sessions_revision on sessions (revision_id);
create index services_revision on services (revision_id);
create index clients_service on clients (service_id);
create index uploads_user on uploads (created_by);

-- what is kept for a while goes oldest first
create index sessions_ended on sessions (ended_at) where status = 'ended';
create index start_errors_at on start_errors (at);
create index events_at on events (at);
create index scale_decisions_at on scale_decisions (at);
create index tokens_expiry on tokens (expires_at);
create index clients_revoked on clients (revoked_at) where revoked_at is not null;
create index api_keys_expiry on api_keys (expires_at) where expires_at is not null;
create index services_deleted on services (deleted_at) where deleted_at is not null;
create index services_deleting on services (id) where goal = 'deleting' and deleted_at is null;
create index start_errors_newest on start_errors (service_id, at desc);
