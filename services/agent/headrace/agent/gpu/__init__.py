"""GPUs of the machine, real or simulated."""
