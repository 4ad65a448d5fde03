"""Settings of the chat."""

from dataclasses import dataclass

from ghostlive.core.settings import setting


@dataclass(frozen=True, slots=True)
class ChatConfig:
    """The chat beside each stream: how much people may write, and how long it is kept."""

    enabled: bool = setting(True, "Whether streams have a chat.")
    message_length: int = setting(500, "Longest message, in characters.")
    name_length: int = setting(32, "Longest name of a guest, in characters.")
    history: int = setting(100, "How many of the last messages somebody sees who opens the chat.")
    burst: int = setting(5, "How many messages one person may send at once. 0 means no limit.")
    interval: float = setting(1.5, "Seconds until a person who has sent so many may send one more.")
    address_burst: int = setting(
        20, "How many messages may come at once from one address (of IPv6 from one /64). 0 means no limit."
    )
    address_interval: float = setting(0.25, "Seconds until an address from which so many came may send one more.")
    guests_per_address: int = setting(
        50, "How many new guests may come at once from one address, and one more every 5 seconds. 0 means no limit."
    )
    connections_per_address: int = setting(
        50, "How many people may have the chat open from one address at once. 0 means no limit."
    )
    connections: int = setting(20_000, "Most people who have a chat open at once; more are answered with 503.")
    waiting_bytes: int = setting(
        256 * 1024, "How much may wait for one viewer who does not read before the connection is closed."
    )
    keep_days: int = setting(
        90, "Days after which messages, and guests who did not come again, are deleted. 0 means never."
    )
