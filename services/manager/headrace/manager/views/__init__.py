"""REST views: what callers see of records, a file per noun. Pure: they look nothing up and know no clock."""
