# SPDX-License-Identifier: Apache-2.0
"""Every request of bad_requests.json gets its status and an error of OpenAI's form, and the server goes on."""

import json
import socket
from typing import Any

from bad_requests import CORPUS, huge_requests, payload
from served import ClientTest


class BadRequests(ClientTest):
    def send(self, entry: dict[str, Any]) -> tuple[int, bytes]:
        if "wire" in entry:
            with socket.create_connection(("127.0.0.1", self.server.port), timeout=30) as connection:
                connection.sendall(entry["wire"].encode())
                answer = b"".join(iter(lambda: connection.recv(65536), b""))
            head, _, body = answer.partition(b"\r\n\r\n")
            return int(head.split(b" ", 2)[1]), body
        body = payload(entry)
        headers = {"Content-Type": entry.get("content_type", "application/json")}
        status, _, answer = self.server.request(entry.get("method", "POST"), entry["path"], body, headers)
        return status, answer

    def check_error(self, entry: dict[str, Any], status: int, answer: bytes) -> None:
        self.assertEqual(status, entry["status"], answer[:300])
        error = json.loads(answer)["error"]
        self.assertEqual(set(error), {"message", "type", "param", "code"})
        self.assertTrue(error["message"])
        self.assertLess(len(error["message"]), 2000)
        if entry.get("param"):
            self.assertEqual(error["param"], entry["param"], error)

    def test_each_gets_its_status(self) -> None:
        self.assertGreaterEqual(len(CORPUS), 100)
        for entry in [*CORPUS, *huge_requests()]:
            with self.subTest(entry["name"]):
                self.check_error(entry, *self.send(entry))
        self.assertIn("Berlin", self.chat().choices[0].message.content)
