"""How kernels are run: one interface, several runtimes."""
