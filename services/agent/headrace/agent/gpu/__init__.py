"""GPU discovery and utilisation: NVML, or simulated."""
