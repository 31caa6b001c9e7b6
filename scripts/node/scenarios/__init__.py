"""What Knative does, scenario by scenario: told once, and tried on the local runner and on a cluster."""
