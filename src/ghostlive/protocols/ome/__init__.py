"""OvenMediaEngine's signalling over WebSocket, as OvenPlayer and OvenLiveKit speak it."""
