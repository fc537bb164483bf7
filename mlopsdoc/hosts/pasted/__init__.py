"""Text pasted from a terminal: prompts, commands and their outputs, and outputs known by their form."""
