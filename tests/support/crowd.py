"""A module of Synapse that lets thousands of people join a room in minutes; `synapse.gather(room, names)` calls it.

A join by the client API costs a homeserver a tenth of a second, so ten thousand take half an hour. When Synapse
upgrades a room it moves its people in batches (`EventCreationHandler.create_and_send_new_client_events`); this does
the same with people who have an account and are in no room yet. So each join is an event like any other: made, allowed
by the room's rules, signed, stored and sent on by Synapse itself. Only the questions before (rate limits, invitations,
other servers) are left out.
"""

from typing import Any, Final

from synapse.http.server import DirectServeJsonResource
from synapse.http.servlet import parse_json_object_from_request
from synapse.http.site import SynapseRequest
from synapse.module_api import ModuleApi
from synapse.types import UserID, create_requester

PATH: Final = "/_test/gather"


class Crowd:
    """The module, as a homeserver's configuration names it."""

    def __init__(self, config: dict[str, Any], api: ModuleApi) -> None:
        api.register_web_resource(PATH, _Resource(api))


class _Resource(DirectServeJsonResource):
    def __init__(self, api: ModuleApi) -> None:
        super().__init__(clock=api._hs.get_clock())
        self._hs = api._hs

    async def _async_render_POST(  # noqa: N802 - Synapse's name for it
        self, request: SynapseRequest
    ) -> tuple[int, dict[str, Any]]:
        body = parse_json_object_from_request(request)
        room, store = body["room"], self._hs.get_datastores().main
        *users, last = [UserID(name, self._hs.hostname) for name in body["names"]]
        for user in (*users, last):
            await store.register_user(user.to_string(), password_hash=None)
        joins = [
            {
                "type": "m.room.member",
                "state_key": user.to_string(),
                "sender": user.to_string(),
                "room_id": room,
                "content": {"membership": "join", "displayname": user.localpart.title()},
            }
            for user in users
        ]
        await self._hs.get_event_creation_handler().create_and_send_new_client_events(
            create_requester(users[0]), room, None, joins, ratelimit=False
        )
        # Such a batch is a chain of differences of the room's state, however long; an ordinary join cuts it off.
        await self._hs.get_room_member_handler().update_membership(
            create_requester(last), last, room, "join", ratelimit=False
        )
        return 200, {}
