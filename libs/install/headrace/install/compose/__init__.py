"""Files for docker compose, and what gives each container its part of an installation."""
