"""The process that decodes a source once and encodes each wanted rendition: `python -m ghostlive.transcode.worker`.

Only this package sees untrusted media with native code. It is started and judged by `transcode/process.py`, and speaks
`transcode/wire.py`. One thread reads, decodes and reports (`loop.py`); each rendition has a thread that scales and
encodes (`video.py`, `audio.py`).
"""
