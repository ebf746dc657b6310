"""The agent: reconciles the kernels of one machine with the newest plan, and reports their observed state."""
