"""History of services' metrics: what is stored of it, and series made of that."""
