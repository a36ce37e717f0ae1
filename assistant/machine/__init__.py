"""What this computer is: detected, read from a file, or described in words."""
