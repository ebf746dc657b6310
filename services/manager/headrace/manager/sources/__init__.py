"""Sources of models: clients of what model URIs lead to. They read; what is read is kept by `folders`."""
