#!/usr/bin/env python3
"""Writes crates/schema/src/builtin/merge_keys.rs: how lists and maps of built-in kinds merge.

k8s-openapi's JSON schemas leave the merge rules out, but its `DeepMerge` impls were generated from
them, so the rules are read back from there. What those impls cannot tell (atomic objects, strategic
merge patches, keys that differ between the two ways of merging) is written by hand below.
"""

import json
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
TARGET = ROOT / "crates/schema/src/builtin/merge_keys.rs"
VERSION = "v1_37"

CORE = "io.k8s.api.core.v1."
META = "io.k8s.apimachinery.pkg.apis.meta.v1."
ADMISSION = "io.k8s.api.admissionregistration.v1."

# Fields whose rule under server-side apply is another one than `DeepMerge` shows: where Kubernetes
# gives a patch merge key as well, the impls follow that one.
LISTS = {
    (CORE + "Container", "ports"): ["containerPort", "protocol"],
    (CORE + "EphemeralContainer", "ports"): ["containerPort", "protocol"],
    (CORE + "ServiceSpec", "ports"): ["port", "protocol"],
    (CORE + "PodSpec", "topologySpreadConstraints"): ["topologyKey", "whenUnsatisfiable"],
    (CORE + "PodStatus", "hostIPs"): None,
    ("io.k8s.api.batch.v1.JobStatus", "conditions"): None,
    ("io.k8s.api.apps.v1.StatefulSetSpec", "volumeClaimTemplates"): None,
}

# Lists with keys that a strategic merge patch replaces all the same.
NOT_PATCHED = {
    (ADMISSION + "ValidatingAdmissionPolicyStatus", "conditions"),
    ("io.k8s.api.apps.v1.StatefulSetSpec", "volumeClaimTemplates"),
    ("io.k8s.api.batch.v1.JobSchedulingConfiguration", "resourceClaims"),
    ("io.k8s.api.certificates.v1.CertificateSigningRequestStatus", "conditions"),
    ("io.k8s.api.certificates.v1.PodCertificateRequestStatus", "conditions"),
    ("io.k8s.api.storage.v1.CSINodeStatus", "storageHealth"),
    ("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinitionStatus", "conditions"),
    (CORE + "NodeAllocatableResourceClaimStatus", "mapping"),
    (CORE + "NodeAllocatableResourceClaimStatus", "overhead"),
    (CORE + "PodStatus", "nodeAllocatableResourceClaimStatuses"),
    (CORE + "PodStatus", "volumeHealth"),
    (CORE + "PodVolumeHealth", "healthConditions"),
    (CORE + "ResourceRequirements", "claims"),
    (CORE + "ResourceStatus", "resources"),
    (CORE + "VolumeHealthStatus", "healthConditions"),
}

# Strategies that do not follow from a list with keys.
PATCHES = {
    (META + "ObjectMeta", "finalizers"): "MERGE",
    (CORE + "NodeSpec", "podCIDRs"): "MERGE",
    (CORE + "PodSpec", "volumes"): "MERGE | RETAIN_KEYS",
    (CORE + "PodSpec", "resourceClaims"): "MERGE | RETAIN_KEYS",
    (CORE + "PodStatus", "resourceClaimStatuses"): "MERGE | RETAIN_KEYS",
    ("io.k8s.api.apps.v1.DeploymentSpec", "strategy"): "RETAIN_KEYS",
    ("io.k8s.api.policy.v1.PodDisruptionBudgetSpec", "selector"): "REPLACE",
}

# Objects that are owned as a whole.
ATOMIC = [
    ADMISSION + "MatchResources",
    ADMISSION + "NamedRuleWithOperations",
    ADMISSION + "ParamKind",
    ADMISSION + "ParamRef",
    ADMISSION + "Variable",
    "io.k8s.api.autoscaling.v1.CrossVersionObjectReference",
    CORE + "ConfigMapKeySelector",
    CORE + "EndpointAddress",
    CORE + "EndpointPort",
    CORE + "FileKeySelector",
    CORE + "LocalObjectReference",
    CORE + "NodeSelector",
    CORE + "NodeSelectorTerm",
    CORE + "ObjectFieldSelector",
    CORE + "ObjectReference",
    CORE + "ResourceFieldSelector",
    CORE + "ScopeSelector",
    CORE + "ScopedResourceSelectorRequirement",
    CORE + "SecretKeySelector",
    CORE + "SecretReference",
    CORE + "TopologySelectorTerm",
    CORE + "TypedLocalObjectReference",
    "io.k8s.api.discovery.v1.EndpointPort",
    "io.k8s.api.networking.v1.ServiceBackendPort",
    "io.k8s.api.rbac.v1.RoleRef",
    "io.k8s.api.rbac.v1.Subject",
    META + "LabelSelector",
    META + "OwnerReference",
]

# Defaults that the schema itself gives; server-side apply needs those of list keys.
DEFAULTS = {
    (CORE + "ContainerPort", "protocol"): '"TCP"',
    (CORE + "ServicePort", "protocol"): '"TCP"',
    (CORE + "AzureDiskVolumeSource", "cachingMode"): '"ReadWrite"',
    (CORE + "AzureDiskVolumeSource", "fsType"): '"ext4"',
    (CORE + "AzureDiskVolumeSource", "kind"): '"Shared"',
    (CORE + "AzureDiskVolumeSource", "readOnly"): "false",
    (CORE + "ISCSIVolumeSource", "iscsiInterface"): '"default"',
    (CORE + "ISCSIPersistentVolumeSource", "iscsiInterface"): '"default"',
    (CORE + "RBDVolumeSource", "keyring"): '"/etc/ceph/keyring"',
    (CORE + "RBDVolumeSource", "pool"): '"rbd"',
    (CORE + "RBDVolumeSource", "user"): '"admin"',
    (CORE + "RBDPersistentVolumeSource", "keyring"): '"/etc/ceph/keyring"',
    (CORE + "RBDPersistentVolumeSource", "pool"): '"rbd"',
    (CORE + "RBDPersistentVolumeSource", "user"): '"admin"',
    (CORE + "ScaleIOVolumeSource", "fsType"): '"xfs"',
    (CORE + "ScaleIOVolumeSource", "storageMode"): '"ThinProvisioned"',
    (CORE + "ScaleIOPersistentVolumeSource", "fsType"): '"xfs"',
    (CORE + "ScaleIOPersistentVolumeSource", "storageMode"): '"ThinProvisioned"',
    (CORE + "GRPCAction", "service"): '""',
}


def sources():
    """The folder of the generated types."""
    metadata = subprocess.run(
        ["cargo", "metadata", "--format-version", "1", "--locked"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    )
    for package in json.loads(metadata.stdout)["packages"]:
        if package["name"] == "k8s-openapi":
            return pathlib.Path(package["manifest_path"]).parent / "src" / VERSION
    sys.exit("k8s-openapi is not among the dependencies")


def served(definition):
    """Whether the definition belongs to a stable version."""
    return not re.search(r"\.v\d+(alpha|beta)\d+\.|\.api\.resource\.", definition)


def read(folder):
    """(definition, field) → keys of a list; [] for a set, "atomic" for a map owned as a whole."""
    facts, known = {}, set()
    for path in sorted(folder.rglob("*.rs")):
        text = path.read_text()
        definition = re.match(r"// Generated from definition (\S+)", text)
        if not definition or not served(definition[1]):
            continue
        known.add(definition[1])
        names = {rust: json_name for json_name, rust in re.findall(r'"([^"]+)" => Field::Key_(\w+)', text)}
        body = re.search(r"impl crate::DeepMerge for .*?\n}\n", text, re.S)
        if not body:
            continue
        calls = re.split(r"crate::(?=merge_strategies|DeepMerge::merge_from\(&mut self)", body[0])
        for call in calls:
            head = re.match(r"merge_strategies::(list::map|list::set|map::atomic)\(\s*&mut self\.(\w+)", call)
            if not head:
                continue
            fact = {"list::set": [], "map::atomic": "atomic"}.get(head[1])
            if fact is None:
                keys = re.findall(r"lhs\.(\w+) == rhs\.\w+", call)
                fact = [camel(key) for key in keys]
            facts[(definition[1], names.get(head[2], head[2]))] = fact
    return facts, known


def camel(rust):
    """The JSON name of a key field."""
    known = {"type_": "type", "resource_id": "resourceID"}
    return known.get(rust) or re.sub(r"_(\w)", lambda m: m[1].upper(), rust)


def main():
    facts, known = read(sources())
    hand = {key[0] for table in (LISTS, PATCHES, DEFAULTS) for key in table}
    hand |= {key[0] for key in NOT_PATCHED} | set(ATOMIC)
    if missing := sorted(hand - known):
        sys.exit(f"no such definitions any more: {', '.join(missing)}")

    rows = []
    for key in sorted(facts.keys() | PATCHES.keys() | DEFAULTS.keys() | LISTS.keys()):
        fact = facts.get(key)
        patch, patch_key = PATCHES.get(key, "0"), ""
        if isinstance(fact, list) and fact and key not in NOT_PATCHED:
            patch_key = fact[0]
            patch = patch if patch != "0" else "MERGE"
        fact = LISTS.get(key, fact)
        if fact == "atomic":
            merge = "AtomicMap"
        elif fact is None:
            merge = "Plain"
        elif fact:
            merge = "Map(&[" + ", ".join(f'"{k}"' for k in fact) + "])"
        else:
            merge = "Set"
        if (merge, patch) == ("Plain", "0") and key not in DEFAULTS:
            continue
        default = json.dumps(DEFAULTS.get(key, ""))
        cells = [json.dumps(key[0]), json.dumps(key[1]), merge, patch, json.dumps(patch_key), default]
        rows.append(f"    row({', '.join(cells)}),")

    lines = [
        "//! How lists and maps of built-in kinds merge. Written by `scripts/merge-keys.py`; edit that.",
        "",
        "use super::facts::{MERGE, Merge::*, REPLACE, RETAIN_KEYS, Row, row};",
        "",
        "/// Fields that are more than their JSON type, ordered by definition and field.",
        "#[rustfmt::skip]",
        f"pub(super) static FIELDS: [Row; {len(rows)}] = [",
        *rows,
        "];",
        "",
        "/// Objects that are owned as a whole, in order.",
        f"pub(super) static ATOMIC: [&str; {len(ATOMIC)}] = [",
        *(f'    "{name}",' for name in sorted(ATOMIC)),
        "];",
    ]
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
