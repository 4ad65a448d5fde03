"""Groups: a keyframe and what depends on it, with the audio that came along.

Late joins, skipping, segmenting and edge caching all speak of groups. A group begins with a keyframe of the
publication's leading track (its first video track, else its first audio track).
"""

from dataclasses import dataclass, field

from ghostlive.core.frame import Frame


@dataclass(slots=True, eq=False)
class Group:
    """The frames of all tracks since the leading track's last keyframe, in the order of their arrival.

    A group that outgrows its limits is `truncated` and emptied: a late joiner then waits for the next one, since a
    part of a group cannot be decoded. `sequence` counts the groups of a stream from 0 and never goes back.
    """

    sequence: int
    frames: list[Frame] = field(default_factory=list)
    size: int = 0
    """Payload bytes held."""
    truncated: bool = False

    def add(self, frame: Frame, *, max_frames: int, max_size: int) -> None:
        """Append `frame`, or give the group up when it would hold more than `max_frames` or `max_size` bytes."""
        if self.truncated:
            return
        self.frames.append(frame)
        self.size += len(frame.payload)
        if len(self.frames) > max_frames or self.size > max_size:
            self.truncated = True
            self.frames.clear()
            self.size = 0
