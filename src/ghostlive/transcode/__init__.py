"""Every resolution, frame rate and codec that viewers need, encoded in worker processes while somebody watches.

`ladder` decides what can be had of a source, `pool` runs a worker for each source that somebody wants more of, `worker`
decodes and encodes. Only worker programs import PyAV.
"""
