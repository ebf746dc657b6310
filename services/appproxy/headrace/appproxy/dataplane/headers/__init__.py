"""Header fields: which pass, which are set, and what they say of callers and browsers. Pure."""
