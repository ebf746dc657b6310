"""Views: REST models made from records, a file per noun. Pure: no queries, no clock."""
