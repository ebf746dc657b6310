"""Loops of the agent: converge (kernels against the plan), health checks."""
