"""CMAF tracks (ISO/IEC 23000-19) in ISO base media boxes (ISO/IEC 14496-12): initialization segments and fragments.

One track per file, track id 1, decode times that the caller gives. Nothing here knows frames, time or playlists.
"""

from ghostlive.formats.fmp4.fragment import NON_SYNC, SYNC, empty_fragment, media_fragment
from ghostlive.formats.fmp4.init import init_segment, supports

__all__ = ["NON_SYNC", "SYNC", "empty_fragment", "init_segment", "media_fragment", "supports"]
