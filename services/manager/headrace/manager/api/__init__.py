"""REST routes: each is declared once, for the router and for the OpenAPI document."""
