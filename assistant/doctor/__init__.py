"""Why is it slow, why is it on the CPU, will my prompt be cut: what is seen, and what it means."""
