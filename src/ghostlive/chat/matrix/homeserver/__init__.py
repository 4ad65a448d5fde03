"""The managed homeserver: Synapse as a child of ours, with its settings, its secrets and its supervision."""
