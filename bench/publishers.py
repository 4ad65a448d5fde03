"""A process that publishes a clip many times, so that its CPU time is not the server's."""

import asyncio
import pickle
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import uvloop

from bench.clip import Clip, connect
from bench.harness import LOAD_CORE, pinned


@contextmanager
def publishing(clip: Clip, port: int, keys: Sequence[str], folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Publish by each of these keys from the load core; ended as a power cut would. `folder` takes the clip."""
    file = folder / "clip.pickle"
    file.write_bytes(pickle.dumps(clip))
    with pinned(LOAD_CORE):
        process = subprocess.Popen(
            [sys.executable, "-m", "bench.publishers", str(file), str(port), *keys], stdout=subprocess.PIPE
        )
    try:
        assert process.stdout is not None
        if process.stdout.readline() != b"publishing\n":
            raise RuntimeError("the publishers did not start")
        yield process
        if process.poll() is not None:
            raise RuntimeError("a publisher was cut off")
    finally:
        process.kill()
        process.communicate()


async def _publish(clip: Clip, port: int, keys: list[str]) -> None:
    encoders = [await connect(clip, port, key) for key in keys]
    print("publishing", flush=True)
    # Not all at once: their key frames come evenly over two seconds.
    runs = [asyncio.ensure_future(one.run(2 * index / len(encoders))) for index, one in enumerate(encoders)]
    done, _ = await asyncio.wait(runs, return_when=asyncio.FIRST_COMPLETED)
    for run in done:
        run.result()
    raise SystemExit("a publisher was cut off")


if __name__ == "__main__":
    # Written by `publishing`, for this process.
    uvloop.run(_publish(pickle.loads(Path(sys.argv[1]).read_bytes()), int(sys.argv[2]), sys.argv[3:]))
