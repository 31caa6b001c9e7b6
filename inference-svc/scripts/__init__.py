"""Tools of the project that the service itself doesn't need."""
