"""Files in the thread of a delivered message. Whatever goes wrong here, the message is delivered, with its links."""

import asyncio
import functools
import io
import tempfile
from typing import Callable, List, Optional, Sequence, Set, Tuple

from .calls import Interruption
from .channels import Delivery
from .delivery import DeliveryRun
from .errors import LOG, PROGRESS, Failure, quoted
from .onevizion_api import File, OneVizion
from .slack_api import Posted, Slack

UPLOADS_AT_ONCE = 4  # files are larger than messages, and must not take the network away from them
FILES_WAIT_SECONDS = 120.0  # what the end of a run waits for files that are still on their way; their links are there
GIVE_UP_SECONDS = 5.0  # what it waits then for the calls that it has abandoned
REST_FILE_NAME = "message.txt"


class Attachments:
    """Shares the files of delivered messages in their threads, those of one record in their order."""

    def __init__(
        self,
        onevizion: OneVizion,
        slack_api: Slack,
        interruption: Interruption,
        wanted: bool,
        scopes: Optional[Set[str]],
    ) -> None:
        """:param wanted: whether the settings ask for files; :param scopes: of the app, None where they are unknown"""
        self._onevizion = onevizion
        self._slack = slack_api
        self._interruption = interruption
        self._wanted = wanted
        self.scope_is_missing = scopes is not None and "files:write" not in scopes
        self._places: Optional[asyncio.Semaphore] = None
        self._left = 0  # files that are not shared yet
        self._said: Set[Tuple[str, str]] = set()

    async def share(self, run: DeliveryRun, delivery: Delivery) -> None:
        """Share the files of a delivered record, and what of a message was too long for posts."""
        files = delivery.record.blob_ids
        if not self._wanted or not (files or delivery.rest):
            return
        if self.scope_is_missing:
            self._turn_off()
            return
        self._left += len(files)
        # Made here: before Python 3.10 it belongs to the loop that is there when it is made.
        self._places = self._places or asyncio.Semaphore(UPLOADS_AT_ONCE)
        async with self._places:
            if delivery.rest:
                await self._try(run, delivery, [REST_FILE_NAME], self._share_rest)
            for blob_id in files:
                if self._wanted:
                    share = functools.partial(self._share_file, blob_id=blob_id)
                    await self._try(run, delivery, ["file %d" % blob_id], share)
                self._left -= 1

    async def finish(self, sharing: Sequence["asyncio.Future[None]"]) -> None:
        """Wait until everything that was begun has been shared or has failed, for a limited time."""
        if not sharing:
            return
        _, unfinished = await asyncio.wait(sharing, timeout=FILES_WAIT_SECONDS)
        if unfinished:
            self._wanted = False
            if self._left:
                LOG.warning("%d file(s) stay links: sharing them took too long", self._left)
            self._interruption.abandon()
            await asyncio.wait(sharing, timeout=GIVE_UP_SECONDS)

    def _turn_off(self) -> None:
        """Share no more files in this run, since the app lacks the scope for it."""
        self._wanted = False
        if self._is_new("", "files:write"):
            LOG.warning("files stay links in this run: add the scope files:write to the app, and install it again")

    async def _try(
        self, run: DeliveryRun, delivery: Delivery, name: List[str], share: Callable[[Delivery, List[str]], None]
    ) -> None:
        """Share one file, and tell what became of it. `share` puts the file's own name, once known, into `name`."""
        try:
            await run.workers.in_worker(share, delivery, name)
        except Failure as failure:
            if failure.code == "missing_scope":
                self._turn_off()
            elif self._wanted or name[0] == REST_FILE_NAME:
                self._tell(delivery, name[0], failure)
        except Exception as error:  # a bug of ours must not end the sharing without a word
            LOG.exception("%s: a fault in this module: report it to its developers", delivery)
            self._tell(delivery, name[0], error)
        else:
            PROGRESS.info("%s: %s shared in %s", delivery, name[0], delivery.channel.asked)

    def _tell(self, delivery: Delivery, name: str, error: Exception) -> None:
        channel = delivery.channel.asked
        reason = str(error) if isinstance(error, Failure) else "a fault in this module (%s)" % type(error).__name__
        log = LOG if self._is_new(channel, reason) else PROGRESS
        text = "%s: %s stays a link in %s: %s"
        if name == REST_FILE_NAME:
            text = "%s: %s not shared in %s, read the rest in OneVizion: %s"
        log.warning(text, delivery, name, channel, reason)

    def _share_rest(self, delivery: Delivery, name: List[str]) -> None:
        content = delivery.rest.encode("utf-8", "replace")
        self._slack.share_file(File(REST_FILE_NAME, len(content)), io.BytesIO(content), posted_of(delivery))

    def _share_file(self, delivery: Delivery, name: List[str], blob_id: int) -> None:
        """Take a file from OneVizion to Slack by way of a temporary file."""
        if self._interruption.requested():
            raise Failure("the run was interrupted")
        try:
            with tempfile.TemporaryFile() as content:
                file = self._onevizion.fetch_file(blob_id, content)
                name[0] = "file %s" % quoted(file.name)
                if file.size_bytes == 0:
                    raise Failure("it is empty, and Slack accepts no empty files")
                content.seek(0)
                self._slack.share_file(file, content, posted_of(delivery))
        except OSError as error:
            reason = "it cannot be stored in the directory for temporary files (%s)" % error.strerror
            raise Failure(reason) from error

    def _is_new(self, channel: str, reason: str) -> bool:
        """Tell whether this is the first time that the run meets a reason in a channel."""
        new = (channel, reason) not in self._said
        self._said.add((channel, reason))
        return new


def posted_of(delivery: Delivery) -> Posted:
    """Return where a delivered record's thread is."""
    assert delivery.thread is not None
    return delivery.thread
