"""Which model, at which quantization, for which role, and why."""
