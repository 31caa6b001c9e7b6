"""Hadal's functions: one folder a capability, each a Knative Service."""
