"""Servers and writers that several tests use."""
