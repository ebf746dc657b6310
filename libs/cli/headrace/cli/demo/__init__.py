"""`make demo`: the whole product with a real model, in front of a newcomer's eyes."""
