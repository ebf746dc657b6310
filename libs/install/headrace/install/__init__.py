"""Files of an installation: secrets, certificates, identities of the bus, configuration of servers and services."""
