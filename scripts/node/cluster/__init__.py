"""One machine as a cluster: Kubernetes and Knative, built from source, in namespaces of their own."""
