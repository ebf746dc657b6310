"""The manager: the REST API, and the loops that make what runs agree with what is wanted."""
