"""Runtime variants: resolution of a request into the command, image and settings of a replica."""
