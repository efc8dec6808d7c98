#!/usr/bin/env python3
"""Renders what people apply to Kubernetes, and holds it against Kubernetes' own schemas, strictly.

examples/kubernetes with each of its components, by kustomize; charts/etcd-rejoin, by Helm's library. Applies nothing.
`tests/run.sh manifests` runs it, with the tools that tests/setup/manifests.sh fetches.
"""

import itertools
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import helm_python as helm
import kubernetes_validate
import yaml

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = ROOT / "examples/kubernetes"
CHART = ROOT / "charts/etcd-rejoin"
# The oldest that the chart allows, one between, the newest that is known.
VERSIONS = ["1.25", "1.31", "1.37"]
# These have no schema there.
FOREIGN = "cert-manager.io/v1"

# What the chart renders for a Bitnami user's values, and what it refuses with which words.
ACCEPTED = {
    "nothing set": {},
    "one": {"replicaCount": 1, "initialSize": 1},
    "everything": {
        "image": {"registry": "registry.example", "digest": "sha256:" + "0" * 64, "pullSecrets": ["pull"]},
        "auth": {
            "rbac": {"create": False, "existingSecret": "root"},
            "client": {"secureTransport": True, "enableAuthentication": True, "existingSecret": "client"},
            "peer": {"secureTransport": True, "existingSecret": "peer", "certFilename": "tls.crt", "certKeyFilename": "tls.key"},
        },
        "initialClusterToken": "etcd-cluster-k8s",
        "logLevel": "debug",
        "persistence": {"storageClass": "-", "annotations": {"a": "b"}, "labels": {"a": "b"}},
        "podAnnotations": {"a": "b"},
        "podLabels": {"a": "b"},
        "podAntiAffinityPreset": "soft",
        "nodeSelector": {"a": "b"},
        "tolerations": [{"key": "a", "operator": "Exists"}],
        "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}],
        "priorityClassName": "high",
        "extraEnvVars": [{"name": "ETCD_QUOTA_BACKEND_BYTES", "value": "8589934592"}],
        "extraEnvVarsCM": "more",
        "extraVolumes": [{"name": "more", "emptyDir": {}}],
        "extraVolumeMounts": [{"name": "more", "mountPath": "/more"}],
        "sidecars": [{"name": "beside", "image": "beside"}],
        "initContainers": [{"name": "before", "image": "before"}],
        "service": {"type": "LoadBalancer", "loadBalancerIP": "192.0.2.1", "nodePorts": {"client": 30000}},
        "pdb": {"minAvailable": "51%"},
        "networkPolicy": {"allowExternal": False},
        "metrics": {"enabled": True},
        "disasterRecovery": {"enabled": True, "store": "s3://backups/etcd", "storeSecret": "aws"},
    },
    "by themselves": {
        "auth": {"client": {"secureTransport": True, "useAutoTLS": True}, "peer": {"secureTransport": True, "useAutoTLS": True}},
        "persistence": {"enabled": False},
        "serviceAccount": {"create": False},
        "pdb": {"create": False},
        "networkPolicy": {"enabled": False},
    },
    "one or the other": {
        "pdb": {"maxUnavailable": 0},
        "podSecurityContext": {"enabled": False},
        "containerSecurityContext": {"enabled": False},
        "auth": {"token": {"type": "simple"}},
        "autoCompactionMode": "revision",
        "autoCompactionRetention": 1000,
        "global": {"imageRegistry": "", "security": {"allowInsecureImages": True}},
    },
    "stopped": {"replicaCount": 0},
    "with a long name": {
        "fullnameOverride": "e" * 63,
        "nameOverride": "e" * 63,
        "networkPolicy": {"allowExternal": False},
        "disasterRecovery": {"enabled": True, "store": "s3://backups/etcd"},
    },
    "into a claim": {"disasterRecovery": {"enabled": True, "pvc": {"existingClaim": "snapshots"}}},
}
REFUSED = [
    ({"unheard": 1}, "'unheard' not allowed"),
    ({"replicaCount": 1}, "write initialSize: 1"),
    ({"auth": {"rbac": {"create": True}}}, "auth.rbac.existingSecret"),
    ({"auth": {"rbac": {"rootPassword": "secret"}}}, "auth.rbac.existingSecret"),
    ({"auth": {"token": {"enabled": True}}}, "ETCD_AUTH_TOKEN"),
    ({"auth": {"token": {"type": "jwt"}}}, "ETCD_AUTH_TOKEN"),
    ({"global": {"imageRegistry": "registry.example"}}, "write image.registry"),
    ({"global": {"imagePullSecrets": ["pull"]}}, "write image.pullSecrets"),
    ({"global": {"storageClass": "fast"}}, "write persistence.storageClass"),
    ({"pdb": {"minAvailable": 1, "maxUnavailable": 0}}, "takes one of them"),
    ({"autoCompactionMode": "revision"}, "a number of revisions"),
    ({"startupProbe": {"failureThreshold": 60}}, "at least an hour"),
    ({"auth": {"peer": {"secureTransport": True}}}, "needs auth.peer.existingSecret"),
    ({"auth": {"client": {"enableAuthentication": True}}}, "without it nothing is encrypted"),
    ({"startFromSnapshot": {"enabled": True}}, "etcdutl snapshot restore"),
    ({"defrag": {"enabled": True}}, "etcd-rejoin defrag"),
    ({"volumePermissions": {"enabled": True}}, "fsGroup"),
    ({"disasterRecovery": {"enabled": True}}, "disasterRecovery.store"),
    ({"initialClusterState": "existing"}, "initialClusterState"),
    ({"removeMemberOnContainerTermination": True}, "a stop is not a leave"),
    ({"configuration": "name: x"}, "extraEnvVars"),
    ({"lifecycleHooks": {"preStop": {}}}, "lifecycleHooks"),
    ({"containerPorts": {"client": 12379}}, "2379 and 2380"),
    ({"podManagementPolicy": "OrderedReady"}, "OrderedReady"),
    ({"startupProbe": {"enabled": False}}, "startupProbe.enabled"),
]
# With these the chart renders what the example has.
AS_THE_EXAMPLE = {
    "containerSecurityContext": {"runAsNonRoot": None, "runAsUser": None, "runAsGroup": None},
    "podSecurityContext": {"runAsNonRoot": True, "runAsUser": 1000, "runAsGroup": 1000, "fsGroup": 1000},
    "networkPolicy": {"allowExternal": False},
}
# What Kubernetes takes where nothing is said, and what one cluster in a namespace does not need.
UNSAID = {
    "app.kubernetes.io/component",
    "app.kubernetes.io/instance",
}
DEFAULTS = [
    ("automountServiceAccountToken", True),
    ("initialDelaySeconds", 0),
    ("successThreshold", 1),
    ("type", "ClusterIP"),
    ("updateStrategy", {"type": "RollingUpdate"}),
]

failed = []


def check(what, passed, why=""):
    print(f"{'ok' if passed else 'FAILED'}: {what}{'' if passed else f': {why}'}")
    if not passed:
        failed.append(what)


def objects(text):
    return [found for found in yaml.safe_load_all(text) if found]


def validate(what, found):
    wrong = []
    for one, version in itertools.product(found, VERSIONS):
        try:
            kubernetes_validate.validate(one, version, strict=True)
        except kubernetes_validate.SchemaNotFoundError as error:
            if one["apiVersion"] != FOREIGN:
                wrong.append(str(error))
        except kubernetes_validate.ValidationError as error:
            wrong.append(f"{version}: {one['kind']}: {error.message}")
    check(f"{what}: {len(found)} objects are valid", found and not wrong, "; ".join(wrong))


def kustomized(components):
    """The example with these components."""
    with tempfile.TemporaryDirectory() as temp:
        copy = Path(temp) / "kubernetes"
        shutil.copytree(EXAMPLE, copy)
        if components:
            with open(copy / "kustomization.yaml", "a", encoding="utf-8") as file:
                yaml.safe_dump({"components": components}, file)
        return objects(subprocess.run(["kustomize", "build", copy], check=True, stdout=subprocess.PIPE, text=True).stdout)


def rendered(chart, values, name="etcd"):
    files = chart.render(values, name=name, namespace="default")
    return [one for path, text in files.items() if not path.endswith(".txt") for one in objects(text)]


def plain(value):
    """The value without what means nothing."""
    if isinstance(value, list):
        return [plain(one) for one in value]
    if not isinstance(value, dict):
        return value
    kept = {key: plain(one) for key, one in value.items() if key not in UNSAID}
    if kept.get("failureThreshold") == 3:
        del kept["failureThreshold"]
    return {key: one for key, one in kept.items() if (key, one) not in DEFAULTS}


def by_name(found, names):
    """Each object by kind and name, where `names` says what another is called; its own labels select nothing."""
    all_of = {}
    for one in found:
        kind, name = one["kind"], one["metadata"]["name"]
        one["metadata"] = {"name": names.get((kind, name), name)}
        if kind == "StatefulSet":
            one["spec"]["serviceName"] = names.get(("Service", one["spec"]["serviceName"]), one["spec"]["serviceName"])
        all_of[kind, one["metadata"]["name"]] = plain(one)
    return all_of


def differences(ours, theirs, path=""):
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in sorted({*ours, *theirs}, key=str):
            yield from differences(ours.get(key), theirs.get(key), f"{path}/{key}")
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for place, (one, other) in enumerate(zip(ours, theirs)):
            yield from differences(one, other, f"{path}/{place}")
    elif ours != theirs:
        yield f"{path}: {ours} is {theirs}"


def main():
    parts = sorted(path.parent.name for path in EXAMPLE.glob("*/kustomization.yaml"))
    for components in [[], *([part] for part in parts), [part for part in parts if part != "single"]]:
        validate(f"examples/kubernetes with {' and '.join(components) or 'nothing'}", kustomized(components))
    secured = {one["metadata"]["name"]: one for one in kustomized(["snapshots", "tls"]) if one["kind"] == "CronJob"}
    check("the CronJob asks over https beside tls", "https://" in str(secured["etcd-snapshot"]))

    with helm.Chart.load(str(CHART)) as chart:
        for what, values in ACCEPTED.items():
            validate(f"the chart, {what}", rendered(chart, values))
        for values, words in REFUSED:
            try:
                rendered(chart, values)
                said = "rendered"
            except helm.HelmError as error:
                said = str(error)
            check(f"the chart refuses {values}", words in said, said)
        asked = rendered(chart, ACCEPTED["one or the other"])
        set_, budget = ([one["spec"] for one in asked if one["kind"] == kind][0] for kind in ("StatefulSet", "PodDisruptionBudget"))
        check("no pod is disrupted where that is asked for", budget.get("maxUnavailable") == 0, budget)
        check("a security context that is off is left out", "securityContext" not in str(set_), set_)
        trusts = [str(rendered(chart, {"auth": {"peer": {"secureTransport": True, "existingSecret": "peer", **more}}})) for more in
                  ({}, {"caFilename": "ca.pem"}, {"enableAuthentication": True})]
        check("a CA for peers is named where it is asked for", ["ETCD_PEER_TRUSTED_CA_FILE" in one for one in trusts] == [False, True, True])
        long = rendered(chart, ACCEPTED["with a long name"])
        names = {one["kind"]: one["metadata"]["name"] for one in long}
        check("a CronJob's name is not too long", len(names["CronJob"]) <= 52, names)
        keys = [key for one in long if one["kind"] == "NetworkPolicy" for key in str(one).split("'") if key.endswith("-client")]
        check("a label is not too long", keys and all(len(key) <= 63 for key in keys), keys)
        named = {one["kind"]: one["metadata"]["name"] for one in rendered(chart, {}, "prod") if one["kind"] == "StatefulSet"}
        check("the set is called as Bitnami's chart calls it", named == {"StatefulSet": "prod-etcd"}, named)
        ours = by_name(
            rendered(chart, AS_THE_EXAMPLE),
            {("Service", "etcd-headless"): "etcd", ("Service", "etcd"): "etcd-client"},
        )
    why = "; ".join(differences(ours, by_name(kustomized([]), {})))
    check("chart and example are the same", not why, why)
    errors = helm.lint(str(CHART))["errors"]
    check("Helm's lint has no error", not errors, errors)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
