"""Evidence in archives: ours, and those of strangers, which a process of its own takes apart."""
