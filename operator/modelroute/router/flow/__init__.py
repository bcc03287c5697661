"""One request's way: decided, tried, waited for, answered. Nothing here waits between a decision and its slot."""
