"""One machine's Knative: the manifests of `knative/` and `eventing/`, run as child processes."""
