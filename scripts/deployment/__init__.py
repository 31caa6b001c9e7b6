"""Hadal on a cluster by kubectl and kn: what is missing there, then one phase after the other."""
