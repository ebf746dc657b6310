"""Units for systemd: `deploy/systemd`, filled in for an installation, installed on this machine and removed again."""
