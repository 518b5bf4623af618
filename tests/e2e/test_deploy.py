# SPDX-License-Identifier: Apache-2.0
"""What lies in deploy/ fits the program: the dashboard's metrics exist, the service's configuration is understood."""

import json
import re
import unittest

from veloz_cli import MODELS
from veloz_server import ServeTest

DEPLOY = MODELS.parent / "deploy"
LLAMA = MODELS / "tiny-llama"


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

    def test_the_service_starts_with_its_configuration(self) -> None:
        text = (DEPLOY / "veloz.yaml").read_text()
        self.assertIn("model: /srv/models/llama", text)
        config = self.dir / "veloz.yaml"
        config.write_text(text.replace("/srv/models/llama", str(LLAMA)))
        self.serve(LLAMA, "--config", str(config))

    def test_the_image_sets_variables_that_exist(self) -> None:
        dockerfile = (DEPLOY / "Dockerfile").read_text()
        variables = re.findall(r"\b(VELOZ_[A-Z_]+)=", dockerfile)
        self.assertGreater(len(variables), 3)
        text = self.succeed("serve", "--help").out
        for variable in variables:
            self.assertIn(variable, text)


if __name__ == "__main__":
    unittest.main()
