"""The Helm chart: lints, renders what Kubernetes' own schemas accept, and says the same as the programs' options.

Run by ctest and by `scripts/check chart`, with the Python of build/tools (scripts/install-tools).
"""

import base64
import json
import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

try:
    import kubernetes_validate
    import yaml
except ImportError as error:
    sys.exit(f"{error}: run scripts/install-tools, and this file with build/tools/python/bin/python")

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "helm" / "dotagent"
HELM = ROOT / "build" / "tools" / "bin" / "helm"
# The oldest that Chart.yaml allows, and a recent one.
KUBERNETES = ("1.28.0", "1.33.0")
SERVICES = ("resolver", "identity", "relay", "gateway")
EVERYTHING = {
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "prometheusRule": {"enabled": True},
    "grafanaDashboard": {"enabled": True},
    "network": {
        "namePolicy": "registrar",
        "registrars": ["12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN"],
        "puzzleStaticBits": 12,
        "puzzleDynamicBits": 16,
    },
    "relay": {"replicas": 2, "service": {"type": "LoadBalancer", "annotations": {"a": "b"}}},
    "resolver": {
        "bootstrap": ["/dns/elsewhere.example/tcp/4001"],
        "advertise": ["/dns/$(POD_NAME).example/tcp/4001"],
        "storage": {"storageClassName": "fast"},
    },
    "gateway": {
        "extraEnv": [{"name": "DOTAGENT_LOG_FORMAT", "value": "text"}],
        "tolerations": [{"operator": "Exists"}],
        "cluster": {"enabled": True, "drainSeconds": 60},
    },
    "imagePullSecrets": [{"name": "registry"}],
}


def helm(*arguments: str, values: dict | None = None) -> subprocess.CompletedProcess:
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(values or {}, file)
        file.flush()
        return subprocess.run(
            [HELM, *arguments, "--values", file.name], capture_output=True, text=True, stdin=subprocess.DEVNULL
        )


def render(values: dict | None = None) -> list[dict]:
    run = helm("template", "agents", str(CHART), "--namespace", "net", "--kube-version", "1.33", values=values)
    if run.returncode != 0:
        raise AssertionError(run.stderr)
    return [document for document in yaml.safe_load_all(run.stdout) if document]


def of_kind(documents: list[dict], kind: str) -> dict[str, dict]:
    return {d["metadata"]["name"]: d for d in documents if d["kind"] == kind}


def environment(stateful_set: dict) -> dict[str, str]:
    container = stateful_set["spec"]["template"]["spec"]["containers"][0]
    return {variable["name"]: variable.get("value", "") for variable in container["env"]}


def options_of(service: str) -> set[str]:
    """DOTAGENT_* variables that the program takes, by its source."""
    names = set()
    for folder in ("host", service):
        for source in (ROOT / "services" / folder).glob("*.cc"):
            names |= set(re.findall(r'\bAdd\(\s*"([a-z0-9-]+)"', source.read_text()))
    return {"DOTAGENT_" + name.upper().replace("-", "_") for name in names}


def ask_relays(documents: list[dict], answers: dict[str, str]) -> str:
    """Runs the gateways' first container with a `dotagent` that knows these ids, and returns what it wrote."""
    pod = of_kind(documents, "StatefulSet")["agents-dotagent-gateway"]["spec"]["template"]["spec"]
    container = pod["initContainers"][0]
    variables = {variable["name"]: variable["value"] for variable in container["env"]}
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "dotagent"
        lines = "".join(
            f"""  *" --relay {target}") echo '{{"services": [{{"peer_id": ""}}, {{"peer_id": "{peer}"}}]}}' ;;\n"""
            for target, peer in answers.items()
        )
        program.write_text(f'#!/bin/sh\ncase "$*" in\n{lines}esac\nexit 5\n')
        program.chmod(0o755)
        path, config = f"{folder}:/usr/bin:/bin", Path(folder) / "gateway.toml"
        subprocess.run(
            container["command"] + container["args"],
            env={**variables, "PATH": path, "CONFIG": str(config), "ATTEMPTS": "1"},
            check=True,
            capture_output=True,
            timeout=30,
        )
        return config.read_text()


class ChartTest(unittest.TestCase):
    def test_lints(self):
        for values in ({}, EVERYTHING):
            run = helm("lint", "--strict", str(CHART), values=values)
            self.assertEqual(run.returncode, 0, run.stdout + run.stderr)

    def test_renders_what_kubernetes_accepts(self):
        for values in ({}, EVERYTHING):
            for document in render(values):
                if document["apiVersion"].startswith("monitoring.coreos.com/"):
                    continue  # the operator's, not Kubernetes' own
                for version in KUBERNETES:
                    with self.subTest(kind=document["kind"], name=document["metadata"]["name"], version=version):
                        kubernetes_validate.validate(document, version, strict=True)

    def test_gateways_of_a_cluster_find_each_other_and_share_a_secret(self):
        documents = render({"gateway": {"cluster": {"enabled": True}}})
        gateway = of_kind(documents, "StatefulSet")["agents-dotagent-gateway"]
        variables, pod = environment(gateway), gateway["spec"]["template"]["spec"]
        self.assertEqual(variables["DOTAGENT_CLUSTER_PEER"], "/dns/agents-dotagent-gateway-headless.net.svc/tcp/4001")
        mount = next(m for m in pod["containers"][0]["volumeMounts"] if m["name"] == "cluster")
        self.assertEqual(variables["DOTAGENT_CLUSTER_SECRET_FILE"], mount["mountPath"] + "/secret")
        volume = next(v for v in pod["volumes"] if v["name"] == "cluster")["secret"]
        self.assertEqual(volume["defaultMode"], 0o440)
        secret = of_kind(documents, "Secret")[volume["secretName"]]
        self.assertGreaterEqual(len(base64.b64decode(secret["data"]["secret"])), 32)
        # It has the time that it is told to take.
        self.assertEqual(variables["DOTAGENT_CLUSTER_DRAIN_TIMEOUT"], "30s")
        self.assertEqual(pod["terminationGracePeriodSeconds"], 5 + 10 + 30 + 5)
        resolver = of_kind(documents, "StatefulSet")["agents-dotagent-resolver"]
        self.assertEqual(resolver["spec"]["template"]["spec"]["terminationGracePeriodSeconds"], 5 + 10 + 5)
        self.assertNotIn("DOTAGENT_CLUSTER_PEER", environment(resolver))

        own = render({"gateway": {"cluster": {"enabled": True, "existingSecret": "ours"}}})
        volumes = of_kind(own, "StatefulSet")["agents-dotagent-gateway"]["spec"]["template"]["spec"]["volumes"]
        self.assertIn("ours", [v["secret"]["secretName"] for v in volumes if v["name"] == "cluster"])
        self.assertEqual(of_kind(own, "Secret"), {})
        alone = of_kind(render(), "StatefulSet")["agents-dotagent-gateway"]
        self.assertNotIn("DOTAGENT_CLUSTER_SECRET_FILE", environment(alone))

    def test_names_are_unique(self):
        names = [(d["kind"], d["metadata"]["name"]) for d in render(EVERYTHING)]
        self.assertEqual(len(names), len(set(names)))

    def test_each_service_has_its_parts(self):
        documents = render()
        sets = of_kind(documents, "StatefulSet")
        self.assertEqual(set(sets), {f"agents-dotagent-{service}" for service in SERVICES})
        services = of_kind(documents, "Service")
        for name, stateful_set in sets.items():
            spec = stateful_set["spec"]
            labels = spec["template"]["metadata"]["labels"]
            ports = {port["name"] for port in spec["template"]["spec"]["containers"][0]["ports"]}
            self.assertTrue(spec["selector"]["matchLabels"].items() <= labels.items())
            self.assertEqual(spec["volumeClaimTemplates"][0]["metadata"]["name"], "data")
            for service in (services[name], services[spec["serviceName"]]):
                self.assertTrue(service["spec"]["selector"].items() <= labels.items())
                self.assertTrue({port["targetPort"] for port in service["spec"]["ports"]} <= ports)
            self.assertEqual(services[spec["serviceName"]]["spec"]["clusterIP"], "None")

    def test_variables_are_options_of_the_program(self):
        for name, stateful_set in of_kind(render(EVERYTHING), "StatefulSet").items():
            service = name.rsplit("-", 1)[1]
            given = {variable for variable in environment(stateful_set) if variable.startswith("DOTAGENT_")}
            self.assertLessEqual(given, options_of(service), name)

    def test_nodes_find_each_other(self):
        documents = render(EVERYTHING)
        sets, services = of_kind(documents, "StatefulSet"), of_kind(documents, "Service")
        resolver = environment(sets["agents-dotagent-resolver"])
        self.assertEqual(
            resolver["DOTAGENT_BOOTSTRAP"],
            "/dns/agents-dotagent-resolver-headless.net.svc/tcp/4001,/dns/elsewhere.example/tcp/4001",
        )
        self.assertTrue(services["agents-dotagent-resolver-headless"]["spec"]["publishNotReadyAddresses"])
        self.assertEqual(resolver["DOTAGENT_P2P_ADVERTISE"], "/dns/$(POD_NAME).example/tcp/4001")
        gateway = environment(sets["agents-dotagent-gateway"])
        self.assertEqual(gateway["DOTAGENT_P2P_ADVERTISE"], "/ip4/$(POD_IP)/tcp/4001")
        host, port = gateway["DOTAGENT_IDENTITY"].split(":")
        pod, service = host.split(".")[:2]
        self.assertEqual(pod, "agents-dotagent-identity-0")
        self.assertIn(int(port), [each["port"] for each in services[service]["spec"]["ports"]])
        # A pod of its own, with a key that stays the same, and not a service that leads to a different key each time.
        self.assertEqual(
            gateway["DOTAGENT_RESOLVER"],
            "agents-dotagent-resolver-$(POD_INDEX).agents-dotagent-resolver-headless.net.svc:7443",
        )

    def test_the_networks_rules_reach_resolvers_and_identity(self):
        sets = of_kind(render(EVERYTHING), "StatefulSet")
        resolver = environment(sets["agents-dotagent-resolver"])
        rules = EVERYTHING["network"]
        self.assertEqual(resolver["DOTAGENT_NAME_POLICY"], "registrar")
        self.assertEqual(resolver["DOTAGENT_REGISTRAR"], rules["registrars"][0])
        self.assertEqual(resolver["DOTAGENT_PUZZLE_STATIC_BITS"], "12")
        self.assertEqual(resolver["DOTAGENT_PUZZLE_DYNAMIC_BITS"], "16")
        self.assertEqual(environment(sets["agents-dotagent-identity"])["DOTAGENT_NAME_POLICY"], "registrar")
        sets = of_kind(render({"resolver": {"disjointPaths": 4, "maxNodesPerIpGroupInTable": 0}}), "StatefulSet")
        resolver = environment(sets["agents-dotagent-resolver"])
        self.assertEqual(resolver["DOTAGENT_NAME_POLICY"], "first-claim")
        self.assertNotIn("DOTAGENT_REGISTRAR", resolver)
        self.assertEqual(resolver["DOTAGENT_DISJOINT_PATHS"], "4")
        self.assertEqual(resolver["DOTAGENT_MAX_NODES_PER_IP_GROUP_IN_TABLE"], "0")
        self.assertEqual(resolver["DOTAGENT_MAX_NODES_PER_IP_GROUP_IN_BUCKET"], "2")

    def test_what_one_party_may_do_reaches_the_gateways(self):
        gateway = environment(of_kind(render({"gateway": {"limits": {"addressRate": 0, "agentRate": 1000000}}}), "StatefulSet")["agents-dotagent-gateway"])
        self.assertEqual(gateway["DOTAGENT_ADDRESS_RATE"], "0")
        self.assertEqual(gateway["DOTAGENT_AGENT_RATE"], "1000000")
        self.assertEqual(gateway["DOTAGENT_QUARANTINE_TIME"], "1m")

    def test_registrars_need_their_policy(self):
        run = helm("template", "agents", str(CHART), values={"network": {"registrars": EVERYTHING["network"]["registrars"]}})
        self.assertNotEqual(run.returncode, 0)
        self.assertIn("network.registrars count only with network.namePolicy registrar", run.stderr)

    def test_stops_within_its_grace(self):
        for stateful_set in of_kind(render({"drainGraceSeconds": 42, "preStopSeconds": 7}), "StatefulSet").values():
            pod = stateful_set["spec"]["template"]["spec"]
            container = pod["containers"][0]
            self.assertEqual(environment(stateful_set)["DOTAGENT_DRAIN_GRACE"], "42s")
            self.assertEqual(container["lifecycle"]["preStop"]["exec"]["command"], ["sleep", "7"])
            self.assertGreater(pod["terminationGracePeriodSeconds"], 42 + 7)

    def test_probes(self):
        for stateful_set in of_kind(render(), "StatefulSet").values():
            container = stateful_set["spec"]["template"]["spec"]["containers"][0]
            paths = {probe: container[probe]["httpGet"]["path"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")}
            self.assertEqual(
                paths, {"startupProbe": "/livez", "livenessProbe": "/livez", "readinessProbe": "/readyz"}
            )

    def test_pods_have_no_more_rights_than_they_need(self):
        documents = render()
        pods = [s["spec"]["template"]["spec"] for s in of_kind(documents, "StatefulSet").values()]
        pods += [pod["spec"] for pod in of_kind(documents, "Pod").values()]
        self.assertEqual(len(pods), 5)
        for pod in pods:
            self.assertTrue(pod["securityContext"]["runAsNonRoot"])
            self.assertFalse(pod["automountServiceAccountToken"])
            for container in pod["containers"] + pod.get("initContainers", []):
                context = container["securityContext"]
                self.assertTrue(context["readOnlyRootFilesystem"])
                self.assertFalse(context["allowPrivilegeEscalation"])
                self.assertEqual(context["capabilities"], {"drop": ["ALL"]})
                self.assertIn("memory", container["resources"]["limits"])

    def test_only_the_public_port_is_open_to_everyone(self):
        policies = of_kind(render(), "NetworkPolicy")
        self.assertEqual(set(policies), {f"agents-dotagent-{service}" for service in SERVICES})
        for policy in policies.values():
            for rule in policy["spec"]["ingress"]:
                self.assertEqual("from" not in rule, rule["ports"] == [{"port": "p2p"}])

    def test_relay_can_be_off(self):
        documents = render({"relay": {"enabled": False}})
        self.assertFalse([d for d in documents if "relay" in d["metadata"]["name"]])
        self.assertEqual(ask_relays(documents, answers={}), "relay = []\n")

    def test_gateways_ask_the_relays_for_their_ids(self):
        documents = render({"relay": {"replicas": 2}, "gateway": {"relays": ["/dns/r.example/tcp/4001/p2p/Qm"]}})
        host = "agents-dotagent-relay-{}.agents-dotagent-relay-headless.net.svc"
        self.assertEqual(
            ask_relays(documents, answers={host.format(0) + ":7443": "12D3", host.format(1) + ":7443": ""}),
            f'relay = ["/dns/r.example/tcp/4001/p2p/Qm", "/dns/{host.format(0)}/tcp/4001/p2p/12D3"]\n',
        )
        for stateful_set in of_kind(documents, "StatefulSet").values():
            self.assertNotIn("DOTAGENT_RELAY", environment(stateful_set))  # it would win over the file

    def test_monitoring_carries_the_files(self):
        documents = render(EVERYTHING)
        rules = of_kind(documents, "PrometheusRule")["agents-dotagent"]["spec"]
        self.assertEqual(rules, yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text()))
        board = of_kind(documents, "ConfigMap")["agents-dotagent-dashboard"]["data"]["dotagent.json"]
        self.assertEqual(json.loads(board), json.loads((ROOT / "deploy/grafana/dashboards/dotagent.json").read_text()))
        monitor = of_kind(documents, "ServiceMonitor")["agents-dotagent"]["spec"]
        scraped = [
            service
            for service in of_kind(documents, "Service").values()
            if "http" in [port["name"] for port in service["spec"]["ports"]]
            and monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
        ]
        self.assertEqual(len(scraped), len(SERVICES))

    def test_wrong_values_are_refused(self):
        wrong = (
            {"resolver": {"replicas": "many"}},
            {"resolver": {"replicas": 0}},
            {"resolver": {"bootstrap": ["elsewhere.example:4001"]}},
            {"identity": {"replicas": 2}},
            {"network": {"namePolicy": "auction"}},
            {"network": {"namePolicy": "registrar", "registrars": ["bob"]}},
            {"network": {"puzzleStaticBits": 33}},
            {"resolver": {"disjointPaths": 0}},
            {"logLevel": "loud"},
            {"ports": {"grpc": 443}},
            {"gateways": {}},
        )
        for values in wrong:
            with self.subTest(values=values):
                run = helm("template", "agents", str(CHART), values=values)
                self.assertNotEqual(run.returncode, 0)
                self.assertIn("values don't meet the specifications of the schema", run.stderr)

    def test_every_gateway_needs_a_resolver(self):
        run = helm("template", "agents", str(CHART), values={"gateway": {"replicas": 6}, "resolver": {"replicas": 5}})
        self.assertNotEqual(run.returncode, 0)
        self.assertIn("gateway.replicas must not be over resolver.replicas", run.stderr)


if __name__ == "__main__":
    unittest.main()
