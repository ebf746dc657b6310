"""What arrives from the bus, and what is asked over it: reports, scale requests, logs. It knows no loop, and pokes them by name."""
