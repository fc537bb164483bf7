"""The only door to a machine: what it said, live or recorded."""
