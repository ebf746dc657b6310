-- History of services' metrics. Contents: domain/metric_history/points.py of the manager.

-- What one app-proxy's process counted, or one agent measured, in ten seconds. Rows of the service of zeros have no contents:
-- they say that the app-proxy was heard, so that no row of a service means no traffic.
create table metric_windows (
    service_id uuid not null,
    at timestamptz not null,
    source text not null,
    contents text not null,
    primary key (service_id, at, source)
);
create index metric_windows_at on metric_windows (at);

-- An hour of a service by minutes, made of its windows; app-proxies are summed.
create table metric_hours (
    service_id uuid not null,
    hour timestamptz not null,
    contents text not null,
    primary key (service_id, hour)
);
create index metric_hours_hour on metric_hours (hour);

-- Replicas of services, where they changed.
create table replica_counts (
    service_id uuid not null,
    at timestamptz not null,
    wanted integer not null,
    healthy integer not null,
    primary key (service_id, at)
);
create index replica_counts_at on replica_counts (at);
