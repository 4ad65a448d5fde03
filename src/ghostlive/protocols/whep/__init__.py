"""WHEP (draft-ietf-wish-whep): playing with WebRTC over HTTP."""
