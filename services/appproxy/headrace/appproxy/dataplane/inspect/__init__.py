"""Content inspection of addresses and bodies: service, model, prompt, token usage. Pure; never raises."""
