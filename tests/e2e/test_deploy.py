# SPDX-License-Identifier: Apache-2.0
"""What lies in deploy/ fits the program: the dashboard's metrics exist, the service's configuration is understood."""

import json
import re
import signal
import subprocess
import unittest
from pathlib import Path

from veloz_cli import BINARY, MODELS, files_of
from veloz_server import ServeTest

ROOT = MODELS.parent
DEPLOY = ROOT / "deploy"
UNIT = DEPLOY / "veloz.service"
README = ROOT / "README.md"
DOCKERFILE = DEPLOY / "Dockerfile"
PACKAGES_OF_EVERY_IMAGE = {"libc6", "libgcc-s1"}  # apt itself needs them
LLAMA = MODELS / "tiny-llama"
STEP_END_S = 10  # what a last step gets once its requests are cancelled
DOCKER_STOP_S = 10  # what `docker stop` waits for


def packages_of_libraries(binary: Path) -> set[str]:
    """The packages that hold the libraries which the program itself names; apt adds what those need."""

    def output(*command: str | Path) -> str:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    named = set(re.findall(r"\(NEEDED\).*\[(.+)\]", output("readelf", "-d", binary)))
    libraries = {
        Path(path).resolve(): name
        for name, path in re.findall(r"(?m)^\s*(\S+) => (/\S+)", output("ldd", binary))
        if name in named and not re.match(r"lib(a|t|ub)san\b", name)  # what a sanitized build adds
    }
    owners = re.findall(r"(?m)^([^:,\s]+)(?::\w+)?: (/.*)$", output("dpkg", "-S", *libraries.values()))
    return {package for package, path in owners if Path(path).resolve() in libraries}


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

    def service_config(self) -> Path:
        """The service's configuration, of a model that is there and on a port that is free."""
        text = (DEPLOY / "veloz.yaml").read_text()
        for ours, its in [("model: /srv/models/llama ", f"model: {LLAMA} "), ("port: 8000\n", "port: 0\n")]:
            self.assertIn(ours, text)
            text = text.replace(ours, its)
        config = self.dir / "veloz.yaml"
        config.write_text(text)
        return config

    def test_the_service_starts_with_its_configuration_alone(self) -> None:
        server = self.serve_as("--config", str(self.service_config()))
        self.assertEqual(server.complete()[0], 200)
        self.assertEqual(server.stop(), 0)
        events = [json.loads(line) for line in server.log]
        self.assertEqual(next(event["timeout_s"] for event in events if event["event"] == "shutting down"), 45)

    def test_the_unit_starts_a_server_that_writes_its_cache_directory_only(self) -> None:
        unit = UNIT.read_text()
        places = {"%C": self.dir / "cache", "%d": self.dir / "credentials"}
        for place in places.values():
            place.mkdir()
        (places["%d"] / "api-keys").write_text("secret\n")
        replaced = {**places, "/etc/veloz/veloz.yaml": self.service_config()}
        for name, value in replaced.items():
            self.assertIn(name, unit)
            unit = unit.replace(name, str(value))
        # With what is commented out. systemd gives a service no directory of its own but those that it names.
        variables = dict(line.split("=", 1) for line in re.findall(r"(?m)^#?Environment=(.*)$", unit))
        del self.env["XDG_CACHE_HOME"]
        before = files_of(self.dir)
        command = self.only(r"(?m)^ExecStart=/usr/local/bin/veloz serve (.*)$", unit).split()
        server = self.serve_as(*command, env=variables | {"HOME": str(self.dir), "TMPDIR": str(self.dir)})
        self.assertEqual(server.complete()[0], 401)
        self.assertEqual(server.complete({"Authorization": "Bearer secret"})[0], 200)
        self.only(r"(?m)^ExecReload=/bin/kill -(HUP) \$MAINPID$", unit)
        server.process.send_signal(signal.SIGHUP)
        server.wait_for_log("reloaded")
        self.assertEqual(server.stop(), 0)
        own = f"cache/{self.only(r'(?m)^CacheDirectory=(.*)$', unit)}/"
        after = files_of(self.dir)
        self.assertTrue(any(path.startswith(own) for path in after))
        self.assertEqual({path: data for path, data in after.items() if not path.startswith(own)}, before)

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

    def test_the_image_is_built_by_the_steps_of_the_readme(self) -> None:
        steps = re.findall(r"(?m)^RUN (make \w+)", DOCKERFILE.read_text())
        self.assertEqual(steps, ["make setup", "make build"])
        section = self.only(r"(?s)\n## Deploying\n(.*?)\n## ", README.read_text())
        self.assertEqual(re.findall(r"(?m)^make \w+", section), steps)
        for step in steps:
            self.assertRegex((ROOT / "Makefile").read_text(), rf"(?m)^{step.split()[1]}:")

    def test_the_image_is_of_one_supported_release(self) -> None:
        images = re.findall(r"(?m)^FROM debian:(\d+)(-slim)?\b", DOCKERFILE.read_text())
        self.assertEqual(len(images), len(re.findall(r"(?m)^FROM ", DOCKERFILE.read_text())))
        (release,) = {release for release, _ in images}
        self.assertRegex(README.read_text(), rf"\bDebian {release}\b")

    def test_the_image_has_the_libraries_that_the_program_needs_and_no_others(self) -> None:
        last_stage = DOCKERFILE.read_text().split("\nFROM ")[-1]
        words = self.only(r"apt-get install ((?:[^&\\]|\\\n)*)", last_stage).replace("\\\n", " ").split()
        installed = {word for word in words if word.startswith("lib")}
        needed = packages_of_libraries(BINARY) - PACKAGES_OF_EVERY_IMAGE
        os_release = Path("/etc/os-release").read_text()
        if "\nID=debian\n" not in os_release or 'VERSION_ID="12"' not in os_release:
            # Another release's packages have other versions in their names.
            installed, needed = (
                {re.sub(r"[-.\d]+(t64)?$", "", name) for name in names} for names in (installed, needed)
            )
        self.assertEqual(needed, installed)

    def test_the_image_ends_its_answers_before_docker_kills_it(self) -> None:
        drain_s = self.only(r"(?m)^ENV VELOZ_SHUTDOWN_TIMEOUT=(\d+)$", DOCKERFILE.read_text())
        self.assertLess(int(drain_s), DOCKER_STOP_S)

    def only(self, pattern: str, text: str) -> str:
        found = re.findall(pattern, text)
        self.assertEqual(len(found), 1, pattern)
        return str(found[0])

    def test_the_image_sets_variables_that_exist(self) -> None:
        dockerfile = DOCKERFILE.read_text()
        variables = re.findall(r"\b(VELOZ_[A-Z_]+)=", dockerfile)
        self.assertGreater(len(variables), 3)
        text = self.succeed("serve", "--help").out
        for variable in variables:
            self.assertIn(variable, text)


if __name__ == "__main__":
    unittest.main()
