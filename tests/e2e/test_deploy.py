# SPDX-License-Identifier: Apache-2.0
"""What lies in deploy/ fits the program: the dashboard's metrics exist, the service's configuration is understood."""

import json
import re
import subprocess
import unittest

from veloz_cli import BINARY, MODELS
from veloz_server import ServeTest

ROOT = MODELS.parent
DEPLOY = ROOT / "deploy"
UNIT = DEPLOY / "veloz.service"
LLAMA = MODELS / "tiny-llama"
STEP_END_S = 10  # what a last step gets once its requests are cancelled
DOCKER_STOP_S = 10  # what `docker stop` waits for


class DeployTest(ServeTest):
    def test_every_metric_of_the_dashboard_exists(self) -> None:
        expressions = [
            target["expr"]
            for panel in json.loads((DEPLOY / "grafana.json").read_text())["panels"]
            for target in panel["targets"]
        ]
        names = {name for expression in expressions for name in re.findall(r"\$\{prefix\}(\w+)", expression)}
        self.assertGreater(len(names), 15)
        server = self.serve(LLAMA, "--metrics-prefix", "vllm:")
        self.assertEqual(server.complete()[0], 200)
        metrics = server.request("GET", "/metrics")[2].decode()
        for name in names:
            self.assertRegex(metrics, rf"(?m)^vllm:{name}\{{", name)

    def test_the_service_starts_with_its_configuration_alone(self) -> None:
        text = (DEPLOY / "veloz.yaml").read_text()
        for ours, its in [("model: /srv/models/llama ", f"model: {LLAMA} "), ("port: 8000\n", "port: 0\n")]:
            self.assertIn(ours, text)
            text = text.replace(ours, its)
        config = self.dir / "veloz.yaml"
        config.write_text(text)
        server = self.serve_as("--config", str(config))
        self.assertEqual(server.complete()[0], 200)
        self.assertEqual(server.stop(), 0)
        events = [json.loads(line) for line in server.log]
        self.assertEqual(next(event["timeout_s"] for event in events if event["event"] == "shutting down"), 45)

    def test_the_service_gives_running_answers_their_time_and_calls_flags_that_exist(self) -> None:
        unit = UNIT.read_text()
        command = self.only(r"(?m)^ExecStart=(.*)$", unit).split()
        self.assertEqual(command[:2], ["/usr/local/bin/veloz", "serve"])
        text = self.succeed("serve", "--help").out
        for flag in (word for word in command if word.startswith("--")):
            self.assertIn(f"\n  {flag} ", text)
        for variable in re.findall(r"\b(VELOZ_[A-Z_]+)=", unit):
            self.assertIn(f"{variable})", text)
        drain_s = int(self.only(r"(?m)^shutdown-timeout: (\d+)$", (DEPLOY / "veloz.yaml").read_text()))
        self.assertGreater(int(self.only(r"(?m)^TimeoutStopSec=(\d+)$", unit)), drain_s + STEP_END_S)

    def test_systemd_understands_the_unit(self) -> None:
        unit = self.dir / "veloz.service"
        # With what is commented out, and a program that is there.
        text = re.sub(r"(?m)^#(LoadCredential|Environment)=", r"\1=", UNIT.read_text())
        unit.write_text(text.replace("/usr/local/bin/veloz", str(BINARY)))
        run = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True)
        self.assertNotIn("veloz.service", run.stderr)
        self.assertEqual(run.returncode, 0, run.stderr)

    def test_the_image_is_built_by_the_projects_commands(self) -> None:
        makefile = (ROOT / "Makefile").read_text()
        targets = re.findall(r"(?m)^RUN make (\w+)", (DEPLOY / "Dockerfile").read_text())
        self.assertEqual(targets, ["setup", "build"])
        for target in targets:
            self.assertRegex(makefile, rf"(?m)^{target}:")

    def test_the_image_ends_its_answers_before_docker_kills_it(self) -> None:
        drain_s = self.only(r"(?m)^ENV VELOZ_SHUTDOWN_TIMEOUT=(\d+)$", (DEPLOY / "Dockerfile").read_text())
        self.assertLess(int(drain_s), DOCKER_STOP_S)

    def only(self, pattern: str, text: str) -> str:
        found = re.findall(pattern, text)
        self.assertEqual(len(found), 1, pattern)
        return str(found[0])

    def test_the_image_sets_variables_that_exist(self) -> None:
        dockerfile = (DEPLOY / "Dockerfile").read_text()
        variables = re.findall(r"\b(VELOZ_[A-Z_]+)=", dockerfile)
        self.assertGreater(len(variables), 3)
        text = self.succeed("serve", "--help").out
        for variable in variables:
            self.assertIn(variable, text)


if __name__ == "__main__":
    unittest.main()
