"""How viewers take part in the chat: one WebSocket for each (`docs/reference/chat.md`)."""
