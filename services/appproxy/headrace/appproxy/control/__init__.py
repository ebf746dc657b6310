"""The parent process: bus, tables on disk, listening sockets, reports and admin server. It handles no requests."""
