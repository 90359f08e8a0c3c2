"""Checks Kubernetes manifests: each against the schema of its kind, and what they say of each other."""
import re
import sys
from pathlib import Path

import kubernetes_validate
import yaml

folder = Path(sys.argv[1])
# The oldest version whose pods can sleep before they stop.
VERSION = "1.30"


def need(truth, message):
    if not truth:
        sys.exit(f"{folder}: {message}")


documents = {}
for file in sorted(folder.glob("*.yaml")):
    if file.name == "kustomization.yaml":
        continue
    for document in yaml.safe_load_all(file.read_text()):
        kubernetes_validate.validate(document, VERSION, strict=True)
        documents[document["kind"], document["metadata"]["name"]] = document

proxies = documents["StatefulSet", "howdah"]["spec"]
pod = proxies["template"]
labels = pod["metadata"]["labels"]
(container,) = pod["spec"]["containers"]
ports = {port["name"]: port["containerPort"] for port in container["ports"]}

need(proxies["selector"]["matchLabels"].items() <= labels.items(), "the stateful set does not select its pods")
for (kind, name), document in documents.items():
    spec = document.get("spec", {})
    if kind == "Service":
        need(spec["selector"].items() <= labels.items(), f"service {name} selects no pods")
        need(all(port["targetPort"] in ports for port in spec["ports"]), f"service {name}: there is no such port")
    if kind == "PodDisruptionBudget":
        need(spec["selector"]["matchLabels"].items() <= labels.items(), f"budget {name} selects no pods")
need(("Service", proxies["serviceName"]) in documents, "the stateful set's service is missing")
for probe in ("readinessProbe", "livenessProbe"):
    need(container[probe]["httpGet"]["port"] in ports, f"{probe}: there is no such port")

generated = yaml.safe_load((folder / "kustomization.yaml").read_text())
made = {entry["name"] for kind in ("configMapGenerator", "secretGenerator") for entry in generated[kind]}
sources = [volume.get("configMap") or volume["secret"] for volume in pod["spec"]["volumes"]]
used = {source.get("name") or source["secretName"] for source in sources if not source.get("optional")}
need(used == made, f"generated: {made}, used: {used}")
need(
    {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["spec"]["volumes"]},
    "volumes and their mounts differ",
)
for name in generated["resources"]:
    need((folder / name).exists(), f"there is no {name}")

# The peers are the replicas, by their names in the headless service.
config = (folder / "howdah.toml").read_text()
peers = re.findall(r'"(howdah-\d+\.[^"]*)"', config)
namespace = generated["namespace"]
expected = [
    f"howdah-{n}.{proxies['serviceName']}.{namespace}.svc.cluster.local:{ports['postgresql']}"
    for n in range(proxies["replicas"])
]
need(peers == expected, f"peers: {peers}, expected {expected}")
grace = pod["spec"]["terminationGracePeriodSeconds"]
drain = int(re.search(r'shutdown_timeout = "(\d+)s"', config)[1])
sleep = container["lifecycle"]["preStop"]["sleep"]["seconds"]
need(grace > drain + sleep, f"pods are killed after {grace} s, though draining takes {drain + sleep} s")
mounts = [mount["mountPath"] for mount in container["volumeMounts"]]
for path in re.findall(r'_file = "(/[^"]*)"', config):
    need(any(path.startswith(mount + "/") for mount in mounts), f"howdah.toml: nothing is mounted for {path}")
