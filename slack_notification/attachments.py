"""Files in the thread of a delivered message. Whatever goes wrong here, the message is delivered, with its links."""

import asyncio
import tempfile
from typing import List, Optional, Set, Tuple

from .errors import LOG, PROGRESS, Failure, quoted
from .pending import Delivery
from .slack_api import Posted
from .slack_errors import slack_failure
from .workers import Tools

UPLOADS_AT_ONCE = 4  # files are larger than messages, and must not take the network away from them
FILES_WAIT_SECONDS = 120.0  # what the end of a run waits for files that are still on their way; their links are there
GIVE_UP_SECONDS = 5.0  # what it waits then for the calls that it has abandoned
REST_FILE_NAME = "message.txt"


class Attachments:
    """Shares the files of delivered messages in their threads, those of one record in their order."""

    def __init__(self, tools: Tools, scopes: Optional[Set[str]]) -> None:
        """:param scopes: of the app, None where they are unknown"""
        _, self._onevizion, self._slack, _, self._workers = tools
        self._wanted = tools.settings.upload_attachments
        self.scope_is_missing = scopes is not None and "files:write" not in scopes
        self._places = asyncio.Semaphore(UPLOADS_AT_ONCE)
        self._sharing: List[asyncio.Future[None]] = []
        self._left = 0  # files that are not shared yet
        self._said: Set[Tuple[str, str]] = set()

    def share(self, delivery: Delivery) -> None:
        """Begin to share the files of a delivered record, and what of its message was too long for posts."""
        if self._wanted and (delivery.record.blob_ids or delivery.rest):
            self._left += len(delivery.record.blob_ids)
            self._sharing.append(asyncio.ensure_future(self._share_all(delivery)))

    async def finish(self) -> None:
        """Wait until everything that was begun has been shared or has failed, for a limited time."""
        if not self._sharing:
            return
        _, unfinished = await asyncio.wait(self._sharing, timeout=FILES_WAIT_SECONDS)
        if unfinished:
            self._wanted = False
            if self._left:
                LOG.warning("%d file(s) stay links: sharing them took too long", self._left)
            self._workers.interruption.abandon()
            await asyncio.wait(unfinished, timeout=GIVE_UP_SECONDS)

    async def _share_all(self, delivery: Delivery) -> None:
        async with self._places:
            if delivery.rest:
                await self._share(delivery, None)
            for blob_id in delivery.record.blob_ids:
                if self._wanted:
                    await self._share(delivery, blob_id)
                self._left -= 1

    async def _share(self, delivery: Delivery, blob_id: Optional[int]) -> None:
        """Share one file of a record, or (None) what was too long for posts, and tell what became of it."""
        name = REST_FILE_NAME if blob_id is None else "file %d" % blob_id
        try:
            if self.scope_is_missing:
                raise slack_failure("missing_scope", "files:write", posting=False)
            with tempfile.TemporaryFile() as content:
                title = REST_FILE_NAME
                if blob_id is None:
                    content.write(delivery.rest.encode("utf-8", "replace"))
                else:
                    title = await self._workers.in_worker(self._onevizion.fetch_file, blob_id, content)
                    name = "file %s" % quoted(title)
                if content.tell() == 0:
                    raise Failure("it is empty, and Slack accepts no empty files")
                thread = Posted(delivery.begun.channel, delivery.begun.ts)
                await self._workers.in_worker(self._slack.share_file, title, content, thread)
                PROGRESS.info("%s: %s shared in %s", delivery, name, delivery.channel.asked)
                return
        except Failure as error:
            failure = error
        except OSError as error:
            failure = Failure("it cannot be stored in the directory for temporary files (%s)" % error.strerror)
        except Exception as error:  # a bug of ours must not end the sharing without a word
            LOG.exception("%s: a fault in this module: report it to its developers", delivery)
            failure = Failure("a fault in this module (%s)" % type(error).__name__)
        if failure.code != "missing_scope":
            if self._wanted or blob_id is None:
                self._tell(delivery, name, failure)
        elif self._wanted:
            self._wanted = False
            LOG.warning("files stay links in this run: add the scope files:write to the app, and install it again")

    def _tell(self, delivery: Delivery, name: str, failure: Failure) -> None:
        """Say why a file was not shared: in the integration log when the run first meets the reason in a channel."""
        where = (delivery.channel.asked, str(failure))
        log = PROGRESS if where in self._said else LOG
        self._said.add(where)
        text = "%s: %s stays a link in %s: %s"
        if name == REST_FILE_NAME:
            text = "%s: %s not shared in %s, read the rest in OneVizion: %s"
        log.warning(text, delivery, name, *where)
