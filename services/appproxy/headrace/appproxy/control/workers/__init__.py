"""The worker processes as their parent keeps them: started, told what to serve, watched, replaced."""
