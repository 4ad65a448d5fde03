"""`python -m bench [NAME …]`: run all benchmarks, or those named."""

import runpy
import sys

NAMES = (
    "startup",
    "ingest",
    "llhls_delivery",
    "latency",
    "chat_fanout",
    "chat_matrix",
    "chat_post",
    "chat_outbox",
    "chat_incoming",
    "policy_lists",
    "chat_page",
    "transcode",
    "rendition_start",
    "fanout_kernel",
    "webrtc_fanout",
    "webrtc_latency",
)


def main() -> None:
    """Run them one after the other, with their own defaults."""
    names = sys.argv[1:] or NAMES
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        raise SystemExit(f"no benchmark is called {unknown[0]}; there are {', '.join(NAMES)}")
    sys.argv[1:] = []
    for name in names:
        runpy.run_module(f"bench.{name}", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
