"""config/kubernetes/sipproxy.yaml: its keys are the API's, its parts fit together, and the configuration that
its init container writes is one that the proxy takes.

KEYS are read off the strict schemas of Kubernetes; the file was held against those of 1.27, 1.30 and 1.37.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from sipproxy import config
from sipproxy.config import Settings
from tools.compose_lint import BEYOND_DRAIN_S
from tools.located_yaml import Plain

ROOT = Path(__file__).parents[2]
FILE = ROOT / "config/kubernetes/sipproxy.yaml"
OBJECTS: dict[str, dict[str, Any]] = {one["kind"]: one for one in yaml.safe_load_all(FILE.read_text())}
SPEC = OBJECTS["StatefulSet"]["spec"]
POD = SPEC["template"]["spec"]
[INIT] = POD["initContainers"]
[PROXY] = POD["containers"]

_META = "name namespace labels annotations"
_CONTAINER = (
    "name image command args env envFrom ports resources startupProbe readinessProbe livenessProbe lifecycle "
    "securityContext volumeMounts imagePullPolicy workingDir"
)
KEYS = {
    "ConfigMap": "apiVersion kind metadata data binaryData immutable",
    "Service": "apiVersion kind metadata spec",
    "Service.spec": "clusterIP selector ports type publishNotReadyAddresses",
    "Service.spec.selector": "app.kubernetes.io/name",
    "Service.spec.ports.*": "name port targetPort protocol",
    "PodDisruptionBudget": "apiVersion kind metadata spec",
    "PodDisruptionBudget.spec": "maxUnavailable minAvailable selector",
    "PodDisruptionBudget.spec.selector": "matchLabels",
    "StatefulSet": "apiVersion kind metadata spec",
    "StatefulSet.spec": "replicas serviceName selector updateStrategy podManagementPolicy template "
    "volumeClaimTemplates minReadySeconds",
    "StatefulSet.spec.selector": "matchLabels",
    "StatefulSet.spec.updateStrategy": "type rollingUpdate",
    "StatefulSet.spec.template": "metadata spec",
    "pod": "hostNetwork dnsPolicy automountServiceAccountToken terminationGracePeriodSeconds affinity "
    "securityContext initContainers containers volumes",
    "pod.affinity": "podAntiAffinity",
    "pod.affinity.podAntiAffinity": "requiredDuringSchedulingIgnoredDuringExecution",
    "pod.affinity.podAntiAffinity.*.*": "topologyKey labelSelector",
    "pod.affinity.podAntiAffinity.*.*.labelSelector": "matchLabels",
    "pod.securityContext": "runAsNonRoot runAsUser runAsGroup fsGroup fsGroupChangePolicy seccompProfile",
    "pod.securityContext.seccompProfile": "type localhostProfile",
    "pod.initContainers.*": _CONTAINER,
    "pod.containers.*": _CONTAINER,
    "pod.*.*.env.*": "name value valueFrom",
    "pod.*.*.env.*.valueFrom": "fieldRef secretKeyRef",
    "pod.*.*.env.*.valueFrom.fieldRef": "fieldPath",
    "pod.*.*.env.*.valueFrom.secretKeyRef": "name key optional",
    "pod.*.*.ports.*": "name containerPort protocol",
    "pod.*.*.resources": "requests limits",
    "pod.*.*.resources.*": "cpu memory",
    "pod.*.*.securityContext": "allowPrivilegeEscalation readOnlyRootFilesystem capabilities",
    "pod.*.*.securityContext.capabilities": "drop add",
    "pod.*.*.volumeMounts.*": "name mountPath readOnly",
    "pod.*.*.startupProbe": "httpGet periodSeconds timeoutSeconds failureThreshold",
    "pod.*.*.readinessProbe": "httpGet periodSeconds timeoutSeconds failureThreshold",
    "pod.*.*.livenessProbe": "httpGet periodSeconds timeoutSeconds failureThreshold",
    "pod.*.*.*.httpGet": "path port",
    "pod.volumes.*": "name configMap emptyDir",
    "pod.volumes.*.configMap": "name",
    "pod.volumes.*.emptyDir": "medium sizeLimit",
    "StatefulSet.spec.volumeClaimTemplates.*": "metadata spec",
    "StatefulSet.spec.volumeClaimTemplates.*.spec": "accessModes resources storageClassName",
    "StatefulSet.spec.volumeClaimTemplates.*.spec.resources": "requests",
    "StatefulSet.spec.volumeClaimTemplates.*.spec.resources.requests": "storage",
}
FREE = ("labels", "matchLabels", "annotations", "data")  # names of one's own


def strange_keys(value: Plain, path: tuple[str, ...]) -> list[str]:
    """Paths that the API server would not take."""
    if isinstance(value, list):
        return [found for item in value for found in strange_keys(item, (*path, "*"))]
    if not isinstance(value, dict):
        return []
    known = _META.split() if path[-1] == "metadata" else _known(path)
    found: list[str] = []
    for key, below in value.items():
        if key not in known:
            found.append(".".join((*path, str(key))))
        elif key not in FREE:
            found += strange_keys(below, (*path, str(key)))
    return found


def _known(path: tuple[str, ...]) -> list[str]:
    for place, keys in KEYS.items():
        parts = place.split(".")
        if len(parts) == len(path) and all(a in ("*", b) for a, b in zip(parts, path, strict=True)):
            return keys.split()
    return []


@pytest.mark.parametrize("kind", OBJECTS)
def test_every_key_is_one_of_the_api(kind: str) -> None:
    thing = OBJECTS[kind]
    if kind == "StatefulSet":
        template = {**thing["spec"]["template"], "spec": {}}
        assert strange_keys(POD, ("pod",)) == []
        thing = {**thing, "spec": {**thing["spec"], "template": template}}
    assert strange_keys(thing, (kind,)) == []


def test_a_strange_key_would_be_found() -> None:
    assert strange_keys({"hostNetwrok": True}, ("pod",)) == ["pod.hostNetwrok"]


# The parts fit together


def test_labels_and_names_lead_to_each_other() -> None:
    labels = SPEC["template"]["metadata"]["labels"]
    assert SPEC["selector"]["matchLabels"] == labels == OBJECTS["Service"]["spec"]["selector"]
    assert OBJECTS["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
    assert SPEC["serviceName"] == OBJECTS["Service"]["metadata"]["name"]
    assert OBJECTS["Service"]["spec"]["clusterIP"] == "None"
    assert {one["metadata"]["namespace"] for one in OBJECTS.values()} == {"voice"}


def test_two_proxies_are_never_on_one_node() -> None:
    [rule] = POD["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert POD["hostNetwork"] is True
    assert rule["topologyKey"] == "kubernetes.io/hostname"
    assert rule["labelSelector"]["matchLabels"] == SPEC["template"]["metadata"]["labels"]


def test_what_is_mounted_is_there() -> None:
    volumes = {volume["name"] for volume in POD["volumes"]}
    volumes |= {claim["metadata"]["name"] for claim in SPEC["volumeClaimTemplates"]}
    mounted = {mount["name"] for one in (INIT, PROXY) for mount in one["volumeMounts"]}
    assert mounted == volumes
    assert OBJECTS["ConfigMap"]["metadata"]["name"] == POD["volumes"][0]["configMap"]["name"]


def test_it_runs_as_the_user_of_the_image_and_without_rights() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    user = POD["securityContext"]["runAsUser"]
    assert f"\nUSER {user}:{POD['securityContext']['runAsGroup']}\n" in dockerfile
    assert POD["securityContext"]["fsGroup"] == user
    for container in (INIT, PROXY):
        assert container["image"] == PROXY["image"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


# The configuration that it starts with


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Written by the init container's own command, of which only the two folders are others."""
    place = tmp_path_factory.mktemp("pod")
    template, written = place / "template.yaml", place / "sipproxy.yaml"
    template.write_text(OBJECTS["ConfigMap"]["data"]["sipproxy.yaml"] + '# "^2$" stays\n')
    python, *words = INIT["command"]
    assert python == "python"
    script = (
        words[1]
        .replace("/template/sipproxy.yaml", str(template))
        .replace("/etc/sipproxy/sipproxy.yaml", str(written))
    )
    given = {variable["name"]: "0" for variable in INIT["env"]}
    given |= {"ADDRESS": "192.0.2.10", "ADMIN_TOKEN": "0123456789abcdef"}
    subprocess.run([sys.executable, words[0], script], env=given, check=True, timeout=30)
    assert '"^2$" stays' in written.read_text()
    return config.load(written)


def test_the_proxy_takes_it(settings: Settings) -> None:
    assert settings.listen == ("udp:192.0.2.10:5060", "tcp:192.0.2.10:5060")
    assert settings.admin.listen == "192.0.2.10:8060"
    assert settings.admin.token == "0123456789abcdef"


def test_it_has_the_time_to_drain(settings: Settings) -> None:
    assert POD["terminationGracePeriodSeconds"] >= settings.timeouts.drain_s + BEYOND_DRAIN_S


def test_the_ports_are_those_that_it_listens_on(settings: Settings) -> None:
    listened = {tuple(entry.split(":")[::2]) for entry in settings.listen} | {("tcp", "8060")}
    in_pod = {(port["protocol"].lower(), str(port["containerPort"])) for port in PROXY["ports"]}
    by_name = {(port["protocol"].lower(), str(port["port"])) for port in OBJECTS["Service"]["spec"]["ports"]}
    assert listened == in_pod == by_name
    admin = next(port["name"] for port in PROXY["ports"] if port["containerPort"] == 8060)
    probes = {name: PROXY[f"{name}Probe"]["httpGet"] for name in ("startup", "readiness", "liveness")}
    assert {probe["port"] for probe in probes.values()} == {admin}
    assert [probe["path"] for probe in probes.values()] == ["/readyz", "/readyz", "/healthz"]


def test_the_volume_holds_what_the_store_may_grow_to(settings: Settings) -> None:
    [claim] = SPEC["volumeClaimTemplates"]
    size = re.fullmatch(r"(\d+)Gi", claim["spec"]["resources"]["requests"]["storage"])
    assert size is not None
    assert int(size[1]) * 1024 >= 1.25 * (settings.store.max_mb + settings.store.unsent_mb)
    assert str(settings.store.path) in [mount["mountPath"] for mount in PROXY["volumeMounts"]]
