"""The `headrace` command line and the demo."""
