"""The ground the functions stand on: serving, settings, errors, ports and their adapters, telemetry."""
