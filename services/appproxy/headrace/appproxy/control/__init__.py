"""The parent process: bus, tables on disk, listening sockets, reports and admin pages. It carries no traffic."""
