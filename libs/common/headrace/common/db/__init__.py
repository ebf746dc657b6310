"""PostgreSQL: pool, named queries, migrations. Only the manager uses it."""
