"""The app-proxy: every request to a service passes here, whoever else is away."""
