"""A real Knative from source: its programs, and what they say to the project's manifests."""
