"""The processes that carry the traffic, and the one that keeps them: started, told, summed up, replaced."""
