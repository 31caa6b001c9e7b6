"""Condenses long conversations when an event says so."""
