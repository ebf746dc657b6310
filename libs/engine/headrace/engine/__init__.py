"""The simulated engine: an OpenAI-compatible server without a model, for tests and for people without a GPU."""
