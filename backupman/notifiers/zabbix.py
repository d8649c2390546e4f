"""Zabbix 7.0 and newer: the value of an item, by `history.push` of its API.

https://www.zabbix.com/documentation/7.0/en/manual/api/reference/history/push. Nearly every fault is answered with 200,
so the body is what counts. The time of the event goes with the value: a second try of it changes nothing.
The library zabbix_utils speaks the API as well, but can refuse no redirect and bound no answer.
"""

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self

import httpx
from pydantic import Field, SecretStr, model_validator

from backupman.errors import NotifyError
from backupman.events import EventKind
from backupman.notifiers import Message, PerState, State, events_of
from backupman.notifiers._fitting import as_json
from backupman.notifiers._http import Address, Answer, BlockEndpoint, HttpEndpoint, HttpNotifier
from backupman.notifiers._network import HeaderKey
from backupman.registry import Settings

_UNREACHED = "Connection to Zabbix server"
"""What the API says where it is there and its server is not: the one error that passes by itself."""
_ALREADY = "Duplicate timestamp found"
"""What it says of a value that it has."""


class Value(Settings):
    """What the item is set to."""

    value: str | None = Field(default=None, description="Text or a number; by default the state: `start`, `fail`, …")


class Zabbix(PerState[Value], HttpNotifier):
    """One item of the type Zabbix trapper, or HTTP agent with trapping."""

    needs = ("server",)
    default_events = events_of(State.FAIL)
    resolves = shows_state = True

    server: Address = Field(default=SecretStr(""), description="The API: `https://…/api_jsonrpc.php`.")
    username: str | None = Field(default=None, description="With `password`.")
    password: SecretStr | None = Field(default=None, description="With `username`.")
    api_key: HeaderKey | None = Field(default=None, description="Instead of both; it goes before them.")
    host: str | None = Field(default=None, description="The *Host name* of the item's host, with `key`.")
    key: str | None = Field(default=None, description="The item's key, with `host`.")
    itemid: str | None = Field(default=None, pattern=r"^\d{1,20}$", description="Instead of both; it goes before them.")

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if self.enabled and not (self.api_key or (self.username is not None and self.password)):
            raise ValueError("api_key is required, or username and password")
        if self.enabled and not (self.itemid or (self.host and self.key)):
            raise ValueError("itemid is required, or host and key")
        return self

    def endpoints(self) -> Sequence["ZabbixItem"]:
        return [ZabbixItem(self.named(), self, self)] if self.enabled else []

    def request(self, message: Message, token: str | None = None) -> httpx.Request:
        """The push, with the API key or the token of a session; a drill asks for the item and changes nothing."""
        token = self.api_key.get_secret_value() if self.api_key else token
        if message.event == EventKind.ALARM_DRILL:
            item = {"itemids": [self.itemid]} if self.itemid else {"host": self.host, "filter": {"key_": self.key}}
            return self.call("item.get", item | {"output": ["itemid", "name"]}, token)
        block = self.block_of(message)
        pushed: dict[str, Any] = {
            "value": block.value if block and block.value is not None else message.state,
            "clock": int(message.time.timestamp()),
            "ns": message.time.microsecond * 1_000,
        }
        pushed |= {"itemid": self.itemid} if self.itemid else {"host": self.host, "key": self.key}
        return self.call("history.push", [pushed], token)

    def call(self, method: str, params: Any, token: str | None) -> httpx.Request:
        """A call of the API."""
        return httpx.Request(
            "POST",
            self.server.get_secret_value(),
            headers={"Content-Type": "application/json-rpc"} | ({"Authorization": f"Bearer {token}"} if token else {}),
            content=as_json({"jsonrpc": "2.0", "method": method, "params": params, "id": 1}),
        )

    def check(self, answer: Answer) -> None:
        result = self.result(answer)
        if result == []:
            hint = "check host, key or itemid, and what the account may see"
            raise NotifyError(f"{self.named()}: the item is not to be seen: {hint}", permanent=True, answer=answer.text)
        pushed = result.get("data") if isinstance(result, dict) else result
        if not isinstance(pushed, list) or not pushed:
            raise NotifyError(f"{self.named()}: the answer is not Zabbix's: check server", answer=answer.text)
        for item in pushed:
            why = item.get("error") if isinstance(item, dict) else "no item"
            if why and _ALREADY not in str(why):
                hint = "check host, key or itemid, the item's type and allowed hosts, and what the account may see"
                raise NotifyError(f"{self.named()}: the item took no value: {hint}", permanent=True, answer=answer.text)

    def result(self, answer: Answer) -> Any:
        """What a call gave. Raises NotifyError where it failed."""
        try:
            said = json.loads(answer.body)
            error, result = said.get("error"), said.get("result")
        except (ValueError, AttributeError):
            error, result = None, None
        if error is not None:
            passing = _UNREACHED in str(error)
            hint = "its server is not reached" if passing else "check how it logs in, and the item"
            raise NotifyError(f"{self.named()}: the API refused: {hint}", permanent=not passing, answer=answer.text)
        if result is None:
            raise NotifyError(
                f"{self.named()}: the answer {answer.status} is not Zabbix's: check server", answer=answer.text
            )
        return result


@dataclass(frozen=True)
class ZabbixItem(BlockEndpoint):
    """The item; with a password there is a session around the push."""

    settings: Zabbix

    def request(self, message: Message) -> httpx.Request | None:
        """None where every value would end a failure that lasts: other copies are right, and a bad one is still bad."""
        lasts = message.event == EventKind.VERIFY_SUCCESS and message.state != State.FINISH
        return None if lasts else super().request(message)

    async def send(self, message: Message) -> str:
        """One attempt, with its own session where there is no API key."""
        block = self.settings
        if block.api_key or block.password is None or self.request(message) is None:
            return await super().send(message)
        login = {"username": block.username, "password": block.password.get_secret_value()}
        token = str(block.result(await self._answer(block.call("user.login", login, None))))
        try:
            answer = await self._answer(block.request(message, token))
        finally:
            with suppress(NotifyError):  # sessions end by themselves
                await self.exchange(block.call("user.logout", [], token))
        block.check(answer)
        return answer.text

    async def _answer(self, request: httpx.Request) -> Answer:
        answer = await self.exchange(request)
        HttpEndpoint.judge(self, answer)
        return answer
