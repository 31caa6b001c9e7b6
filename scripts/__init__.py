"""What people and CI start: set-up, the local runner, tests, checks."""
