"""nats-py's client, made to outlive whatever the server, or a peer through it, may send."""
# pyright: reportUnknownMemberType=false
# nats-py is typed in parts only.

import re

import structlog

from relaymd.bus.nats_py import Client, errors, parser

log = structlog.get_logger()

DENIED = "permissions violation"
"""What the server says of a subject that this role may not use."""

# To nats-py a vertical tab, a form feed or a carriage return ends a subject, which to the server
# are letters like any other; it would drop the connection at the line that it cannot read. Of its
# own messages the server writes two spaces where others have a reply.
parser.MSG_RE = re.compile(  # pyright: ignore[reportConstantRedefinition]
    rb"\AMSG +([^ \n]+) +(\d+) +(([^ \n]+) +)?(\d+) *\r\n"
)
parser.HMSG_RE = re.compile(  # pyright: ignore[reportConstantRedefinition]
    rb"\AHMSG +([^ \n]+) +(\d+) +(([^ \n]+) +)?(\d+) +(\d+) *\r\n"
)


class SturdyClient(Client):
    """nats-py's client closes for good at most errors the server names; ours comes back.

    And it stops reading for good at a message whose subject or headers it cannot decode, which
    any peer may send; ours passes over it.
    """

    unreadable = 0
    """Messages that were passed over."""

    async def _process_msg(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes
    ) -> None:
        try:
            await super()._process_msg(sid, subject, reply, data, headers)
        except (ValueError, LookupError) as error:
            self.unreadable += 1
            if self.unreadable.bit_count() == 1:  # the 1st, 2nd, 4th …: nobody can fill the log
                where, reason = repr(subject)[:200], str(error)
                log.warning("nats.unreadable", times=self.unreadable, subject=where, reason=reason)

    async def _process_err(self, err_msg: str) -> None:
        if DENIED in err_msg:
            await super()._process_err(err_msg)
        else:
            await self._process_op_err(errors.Error(err_msg))
