"""What a real Knative says to manifests: an API server and Knative's two webhooks, no containers."""
