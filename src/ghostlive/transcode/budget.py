"""What renditions cost, and who may spend what is there. Pure.

Costs are estimated from pixel rates before something runs, and corrected by what is measured once it does: a slower
machine or a difficult picture costs more than the table says.

The figures of the table are nanoseconds of one core for each pixel, measured with PyAV 18 on one thread of a server's
core with a noisy 1080p60 test picture (docs/design/transcode.md).
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import ceil, floor

from ghostlive.core.errors import GhostliveError
from ghostlive.core.track import Codec, Track, TrackKind
from ghostlive.transcode.plan import AudioPlan, Plan, VideoPlan

_DECODE = {Codec.H264: 1.8, Codec.H265: 3.0, Codec.AV1: 2.2, Codec.VP9: 1.8, Codec.VP8: 1.2}
_SCALE = 0.8
"""For each pixel read and each one written."""
_X264 = {"ultrafast": 3.5, "superfast": 5.5, "veryfast": 8.5, "faster": 12.0, "fast": 15.0, "medium": 20.0}
_X264_SLOWER = 40.0
_ENCODE = {Codec.AV1: 15.0, Codec.VP8: 9.5}
_HARDWARE = 0.5
"""Hardware encodes, the processor only hands it the picture."""
_AUDIO_DECODE = 0.005
_AUDIO_ENCODE = 0.02
_FRAME_RATE = 30.0
"""Taken for a source that does not tell its own."""

_MB = 10**6
_WORKER_MEMORY = 90 * _MB
"""The program with FFmpeg's libraries loaded."""
_DECODER_FRAMES = 20
"""Pictures of the source that a decoder and the queues behind it hold."""
_ENCODER_FRAMES = {Codec.H264: 8, Codec.VP8: 8, Codec.AV1: 60}
_AUDIO_MEMORY = 4 * _MB


@dataclass(frozen=True, slots=True)
class Cost:
    """What something takes."""

    cores: float = 0.0
    memory: int = 0
    """Bytes."""

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.cores + other.cores, self.memory + other.memory)

    def __sub__(self, other: "Cost") -> "Cost":
        return Cost(self.cores - other.cores, self.memory - other.memory)


def decoding_cost(source: Track) -> Cost:
    """Of decoding a source's track, once for all renditions of it."""
    if source.kind is TrackKind.AUDIO:
        return Cost(_AUDIO_DECODE, _AUDIO_MEMORY)
    pixels = source.width * source.height
    rate = float(source.frame_rate or _FRAME_RATE)
    return Cost(pixels * rate * _DECODE.get(source.codec, 3.0) * 1e-9, pixels * 3 // 2 * _DECODER_FRAMES)


def rendition_cost(plan: Plan, source: Track, *, encoder: str = "", preset: str = "superfast") -> Cost:
    """Of scaling and encoding a rendition of `source` with FFmpeg's `encoder`, without the decoding."""
    if isinstance(plan, AudioPlan):
        return Cost(_AUDIO_ENCODE, _AUDIO_MEMORY)
    pixels = plan.width * plan.height
    rate = float(min(plan.frame_rate, source.frame_rate or plan.frame_rate))
    scaling = _SCALE * (pixels + source.width * source.height)
    if encoder and not encoder.startswith("lib"):
        encoding = _HARDWARE
    elif plan.codec is Codec.H264:
        encoding = _X264.get(preset, _X264_SLOWER)
    else:
        encoding = _ENCODE.get(plan.codec, 15.0)
    return Cost(
        (scaling + encoding * pixels) * rate * 1e-9, pixels * 3 // 2 * _ENCODER_FRAMES.get(plan.codec, 20) + 8 * _MB
    )


class BudgetError(GhostliveError):
    """There is not enough left; the text says what is missing, for viewers and streamers."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A rendition that runs, or is to run."""

    stream: str
    id: str
    name: str
    source: str
    """The track that it is made of; decoding counts once for all claims on it."""
    video: bool
    own: Cost
    decoding: Cost
    lingering_since: float | None = None
    """When its last viewer left; None while it is watched."""


class Budget:
    """The ledger of all streams."""

    def __init__(self, cores: float, memory: int, *, worker_memory: int = 0) -> None:
        """`worker_memory` is what one worker may use at most; 0 for no limit of its own."""
        self.cores = cores
        self.memory = memory
        self._worker_memory = worker_memory
        self._claims: dict[tuple[str, str], Claim] = {}
        self._factors: dict[str, float] = {}
        self._factor = 1.0

    def used(self) -> Cost:
        """Everything that was promised."""
        total = Cost()
        for claims in self._by_stream(self._claims.values()).values():
            total += self._of(claims)
        return total

    def used_by(self, stream: str) -> Cost:
        """What one stream was promised."""
        return self._of([claim for claim in self._claims.values() if claim.stream == stream])

    def impossible(self, claim: Claim) -> str:
        """Why a rendition cannot be made even when nothing else runs; empty when it can."""
        cost = self._of([claim])
        if cost.cores > self.cores:
            return f"it needs about {_cores(cost.cores)} and this server has {_number(self.cores)}"
        most = min(self.memory, self._worker_memory or self.memory)
        if cost.memory > most:
            return f"it needs about {_megabytes(cost.memory)} of memory and a worker may use {_megabytes(most)}"
        return ""

    def admit(self, claim: Claim) -> list[Claim]:
        """Enter a claim; which others are to be stopped for it (they are out of the ledger already).

        Raises `BudgetError`, and then nothing has changed.
        """
        before = dict(self._claims)
        self._claims.pop((claim.stream, claim.id), None)
        given_up: list[Claim] = []
        need = self._more(claim)
        free = Cost(self.cores, self.memory) - self.used()
        while not self._fits(claim):
            victim = self._lingering(claim) or self._over_share(claim)
            if victim is None:
                self._claims = before
                raise BudgetError(f"{claim.name} is not offered: {self._missing(claim, need, free)}")
            del self._claims[victim.stream, victim.id]
            given_up.append(victim)
        # What was given up in vain comes back, the most precious first.
        for victim in reversed(given_up[:-1]):
            self._claims[victim.stream, victim.id] = victim
            if self._fits(claim):
                given_up.remove(victim)
            else:
                del self._claims[victim.stream, victim.id]
        self._claims[claim.stream, claim.id] = claim
        return given_up

    def linger(self, stream: str, rendition: str, since: float | None) -> None:
        """A claim's last viewer left, or one came back (None)."""
        claim = self._claims.get((stream, rendition))
        if claim is not None:
            self._claims[stream, rendition] = replace(claim, lingering_since=since)

    def thin(self, stream: str, rendition: str, own: Cost) -> None:
        """A claim costs something else from now on."""
        claim = self._claims.get((stream, rendition))
        if claim is not None:
            self._claims[stream, rendition] = replace(claim, own=own)

    def release(self, stream: str, rendition: str) -> None:
        """A rendition has ended; harmless for one that has no claim."""
        self._claims.pop((stream, rendition), None)

    def forget(self, stream: str) -> None:
        """A stream has ended."""
        for key in [key for key in self._claims if key[0] == stream]:
            del self._claims[key]
        self._factors.pop(stream, None)

    def fits(self, claim: Claim) -> bool:
        """Whether `admit` would have to stop nothing."""
        return (claim.stream, claim.id) in self._claims or self._fits(claim)

    def estimated(self, stream: str) -> float:
        """Cores that one stream should take by the table alone."""
        return self._estimate(claim for claim in self._claims.values() if claim.stream == stream).cores

    def observe(self, stream: str, cores: float) -> None:
        """What a stream's worker was measured to use while it kept up; corrects this and, a little, all estimates."""
        estimated = self._estimate(claim for claim in self._claims.values() if claim.stream == stream)
        if estimated.cores < 0.02:
            return
        factor = min(max(cores / estimated.cores, 0.4), 4.0)
        self._factors[stream] = _towards(self._factors.get(stream, self._factor), factor, 0.2)
        self._factor = _towards(self._factor, factor, 0.05)

    def share(self, extra: str = "") -> float:
        """Cores that each stream may have, were all to want more; `extra` is one that has none yet."""
        streams = {claim.stream for claim in self._claims.values()} | ({extra} if extra else set())
        return self.cores / max(len(streams), 1)

    def _estimate(self, claims: Iterable[Claim]) -> Cost:
        """Of one stream's claims, uncorrected."""
        total = Cost(0.0, _WORKER_MEMORY)
        decoded: set[str] = set()
        for claim in claims:
            total += claim.own
            if claim.source not in decoded:
                decoded.add(claim.source)
                total += claim.decoding
        return total

    def _of(self, claims: Sequence[Claim]) -> Cost:
        """Of one stream's claims."""
        if not claims:
            return Cost()
        cost = self._estimate(claims)
        return Cost(cost.cores * self._factors.get(claims[0].stream, self._factor), cost.memory)

    def _more(self, claim: Claim) -> Cost:
        """What a claim adds."""
        own = [other for other in self._claims.values() if other.stream == claim.stream]
        return self._of([*own, claim]) - self._of(own)

    def _fits(self, claim: Claim) -> bool:
        after = self.used() + self._more(claim)
        worker = self.used_by(claim.stream).memory + self._more(claim).memory
        most = self._worker_memory or self.memory
        return after.cores <= self.cores and after.memory <= self.memory and worker <= most

    def _missing(self, claim: Claim, need: Cost, free: Cost) -> str:
        if need.cores > free.cores:
            # Rounded apart, so that the sentence is true.
            left = _number(floor(max(free.cores, 0) * 10) / 10)
            return f"it needs about {_cores(need.cores)} and {left} of {_number(self.cores)} are free"
        memory, unused = self.memory, free.memory
        most = self._worker_memory or self.memory
        if (worker := most - self.used_by(claim.stream).memory) < unused:
            memory, unused = most, worker
        return (
            f"it needs about {_megabytes(need.memory)} of memory "
            f"and {_megabytes(unused)} of {_megabytes(memory)} are free"
        )

    def _lingering(self, claim: Claim) -> Claim | None:
        """A rendition that nobody watches: of a stream over its share first, then who has waited longest."""
        share = self.share(claim.stream)

        def order(other: Claim) -> tuple[bool, float]:
            return self.used_by(other.stream).cores <= share, other.lingering_since or 0.0

        found = [other for other in self._claims.values() if other.lingering_since is not None]
        return min(found, key=order, default=None)

    def _over_share(self, claim: Claim) -> Claim | None:
        """The costliest rendition of the stream that is furthest over its share, for another stream's first one."""
        by_stream = self._by_stream(self._claims.values())
        if any(other.video == claim.video for other in by_stream.get(claim.stream, [])):
            return None
        share = self.share(claim.stream)
        over = [
            (self._of(claims).cores, stream)
            for stream, claims in by_stream.items()
            if stream != claim.stream and self._of(claims).cores > share and sum(other.video for other in claims) > 1
        ]
        if not over:
            return None
        _, stream = max(over)
        return max((other for other in by_stream[stream] if other.video), key=lambda other: other.own.cores)

    @staticmethod
    def _by_stream(claims: Iterable[Claim]) -> dict[str, list[Claim]]:
        found: defaultdict[str, list[Claim]] = defaultdict(list)
        for claim in claims:
            found[claim.stream].append(claim)
        return found


def claim_of(stream: str, plan: Plan, source: Track, *, encoder: str = "", preset: str = "superfast") -> Claim:
    """The claim of a rendition."""
    return Claim(
        stream=stream,
        id=plan.id,
        name=plan.name,
        source=plan.source,
        video=isinstance(plan, VideoPlan),
        own=rendition_cost(plan, source, encoder=encoder, preset=preset),
        decoding=decoding_cost(source),
    )


def thinned(cost: Cost, keep_one_in: int) -> Cost:
    """What a rendition costs of which only each so manyth frame is encoded."""
    return Cost(cost.cores / keep_one_in, cost.memory)


def _towards(value: float, aim: float, share: float) -> float:
    return value + (aim - value) * share


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _cores(value: float) -> str:
    number = _number(max(ceil(value * 10) / 10, 0.1))
    return f"{number} core" if number == "1" else f"{number} cores"


def _megabytes(value: int) -> str:
    return f"{value / 1e9:.1f} GB" if value >= 10**9 else f"{max(value, 0) // _MB} MB"
