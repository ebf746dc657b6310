"""`make demo`: the whole product with a real model."""
