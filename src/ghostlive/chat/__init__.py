"""The chat of each stream: who may say what, where it is stored, and how it reaches everybody."""
