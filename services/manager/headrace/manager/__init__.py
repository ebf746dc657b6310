"""The manager: the REST API, and the loops that reconcile what runs with what is wanted."""
