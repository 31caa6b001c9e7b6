"""How a function is served under stock functions-framework."""
