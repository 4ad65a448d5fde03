"""Who may say what in a chat, and who decided so: rules, the pipeline, acts of moderators, what waits for them."""
