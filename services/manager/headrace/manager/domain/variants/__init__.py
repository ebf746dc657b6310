"""Runtime variants: from what a user asked for to what a replica is started with."""
