//! Every kind that is served, with the smallest object of each that is valid.

use serde_json::{Value, json};

/// A kind of the matrix.
#[derive(Debug, Clone)]
pub struct Kind {
    /// Its name, such as `Deployment`.
    pub kind: &'static str,
    /// What kubectl calls it, such as `deployments.apps`.
    pub resource: &'static str,
    /// Its group and version, such as `apps/v1`.
    pub api_version: &'static str,
    /// Whether its objects are in namespaces.
    pub namespaced: bool,
    /// Whether it is one that the user defined, or made like those.
    pub custom: bool,
    /// What an object has besides its type and metadata.
    pub content: Value,
}

impl Kind {
    /// The name that an object gets for this suffix.
    pub fn name(&self, suffix: &str) -> String {
        match self.kind {
            "CustomResourceDefinition" => format!("gadgets{suffix}.matrix.example.com"),
            _ => format!("matrix-{suffix}"),
        }
    }

    /// The plural alone, without its group.
    pub fn plural(&self) -> &'static str {
        self.resource.split('.').next().unwrap_or(self.resource)
    }

    /// An object of this kind.
    pub fn object(&self, name: &str, namespace: &str) -> Value {
        let mut object = self.content.clone();
        object["apiVersion"] = self.api_version.into();
        object["kind"] = self.kind.into();
        object["metadata"] = json!({"name": name, "labels": {"app": "matrix"}});
        if self.namespaced {
            object["metadata"]["namespace"] = namespace.into();
        }
        match self.kind {
            "CustomResourceDefinition" => {
                let plural = name.split('.').next().unwrap_or(name);
                object["spec"]["names"] =
                    json!({"plural": plural, "kind": plural.replace("gadgets", "Gadget")});
            }
            "Event" => {
                let field = if self.api_version == "v1" {
                    "involvedObject"
                } else {
                    "regarding"
                };
                object[field] = json!({"apiVersion": "v1", "kind": "Pod", "name": "none", "namespace": namespace});
            }
            _ => {}
        }
        object
    }

    /// The path of its objects in the API.
    pub fn path(&self, namespace: &str) -> String {
        let plural = self.plural();
        let root = if self.api_version.contains('/') {
            "apis"
        } else {
            "api"
        };
        let version = self.api_version;
        if self.namespaced {
            format!("/{root}/{version}/namespaces/{namespace}/{plural}")
        } else {
            format!("/{root}/{version}/{plural}")
        }
    }
}

/// The definition of the custom kind of the matrix.
pub fn widget_definition() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.matrix.example.com"},
        "spec": {
            "group": "matrix.example.com",
            "scope": "Namespaced",
            "names": {"plural": "widgets", "singular": "widget", "kind": "Widget", "shortNames": ["wd"]},
            "versions": [{
                "name": "v1",
                "served": true,
                "storage": true,
                "subresources": {
                    "status": {},
                    "scale": {
                        "specReplicasPath": ".spec.replicas",
                        "statusReplicasPath": ".status.replicas",
                        "labelSelectorPath": ".status.selector",
                    },
                },
                "additionalPrinterColumns": [
                    {"name": "Size", "type": "string", "jsonPath": ".spec.size"},
                    {"name": "Replicas", "type": "integer", "jsonPath": ".spec.replicas"},
                ],
                "schema": {"openAPIV3Schema": {
                    "type": "object",
                    "description": "A Widget is what the matrix makes.",
                    "properties": {
                        "spec": {
                            "type": "object",
                            "required": ["size"],
                            "properties": {
                                "size": {
                                    "type": "string",
                                    "enum": ["small", "large"],
                                    "description": "How large it is.",
                                },
                                "replicas": {"type": "integer", "minimum": 0, "maximum": 9, "default": 1},
                                "colour": {"type": "string", "maxLength": 20},
                            },
                        },
                        "status": {
                            "type": "object",
                            "properties": {
                                "replicas": {"type": "integer"},
                                "selector": {"type": "string"},
                                "phase": {"type": "string"},
                            },
                        },
                    },
                }},
            }],
        },
    })
}

/// A request for a client certificate, as `openssl req` makes it (base64 of the PEM).
pub const CERTIFICATE_REQUEST: &str = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0KTUlIYk1JR0NBZ0VBTUNBeER6QU5CZ05WQkFvTUJuUmxZVzB0WVRFTk1Bc0dBMVVFQXd3RWFtRnVaVEJaTUJNRwpCeXFHU000OUFnRUdDQ3FHU000OUF3RUhBMElBQkVYdUlnTUt1b2hMTW15RTVGVHdDTHNmbTVnWUkvRDhhM1M3CjB6SktDSXJhZ2VIRUI0WFkrYk85bE9SM21XeUdHYWJ1TTkzM3lJSVROUGVDZTJVanVXaWdBREFLQmdncWhrak8KUFFRREFnTklBREJGQWlFQTZHUmh4MnBOZm1XY3lFVjI2Y3Y2cjlhcG52NXI3RDRTYzJkTmdvVXVqYjBDSUIzQQp2cmRMeWNWZXVpK0NlSk5ESUpuSmRFSWlLYmpDYWtnVTFNWG5pZDl1Ci0tLS0tRU5EIENFUlRJRklDQVRFIFJFUVVFU1QtLS0tLQo=";

/// A template of pods with one container.
pub fn pod_template() -> Value {
    json!({
        "metadata": {"labels": {"app": "matrix"}},
        "spec": {"containers": [{"name": "main", "image": "example.com/app:1"}]},
    })
}

/// Every kind that is served and has objects which can be read again.
pub fn kinds() -> Vec<Kind> {
    let cluster = |kind, resource, api_version, content| Kind {
        kind,
        resource,
        api_version,
        namespaced: false,
        custom: false,
        content,
    };
    let namespaced = |kind, resource, api_version, content| Kind {
        namespaced: true,
        ..cluster(kind, resource, api_version, content)
    };
    let selector = json!({"matchLabels": {"app": "matrix"}});
    let read_pods = json!([{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]);
    let jane = json!([{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "jane"}]);
    let mut pod_of_job = pod_template()["spec"].clone();
    pod_of_job["restartPolicy"] = "Never".into();

    vec![
        cluster("Namespace", "namespaces", "v1", json!({})),
        cluster("Node", "nodes", "v1", json!({})),
        // Made as custom kinds are, and patched like them.
        Kind {
            custom: true,
            ..cluster(
                "Rebalance",
                "rebalances.mosaic",
                "mosaic/v1",
                json!({"spec": {"goal": "Packing", "dryRun": true}}),
            )
        },
        namespaced("Pod", "pods", "v1", json!({"spec": pod_template()["spec"]})),
        namespaced(
            "PodTemplate",
            "podtemplates",
            "v1",
            json!({"template": pod_template()}),
        ),
        namespaced(
            "ReplicationController",
            "replicationcontrollers",
            "v1",
            json!({"spec": {"replicas": 0, "selector": {"app": "matrix"}, "template": pod_template()}}),
        ),
        // Before the service of that name, with which they would go.
        namespaced("Endpoints", "endpoints", "v1", json!({"subsets": []})),
        namespaced(
            "Service",
            "services",
            "v1",
            json!({"spec": {"selector": {"app": "matrix"}, "ports": [{"name": "http", "port": 80}]}}),
        ),
        namespaced(
            "EndpointSlice",
            "endpointslices.discovery.k8s.io",
            "discovery.k8s.io/v1",
            json!({"addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"]}], "ports": []}),
        ),
        namespaced(
            "ConfigMap",
            "configmaps",
            "v1",
            json!({"data": {"colour": "blue"}}),
        ),
        namespaced(
            "Secret",
            "secrets",
            "v1",
            json!({"data": {"password": "bm90LWEtc2VjcmV0"}}),
        ),
        namespaced("ServiceAccount", "serviceaccounts", "v1", json!({})),
        namespaced(
            "Event",
            "events",
            "v1",
            json!({"reason": "Tried", "message": "somebody tried the matrix", "type": "Normal"}),
        ),
        namespaced(
            "Event",
            "events.events.k8s.io",
            "events.k8s.io/v1",
            json!({
                "eventTime": "2030-01-01T00:00:00.000000Z",
                "action": "Try",
                "reason": "Tried",
                "note": "somebody tried the matrix",
                "type": "Normal",
                "reportingController": "example.com/matrix",
                "reportingInstance": "matrix-1",
            }),
        ),
        cluster(
            "PersistentVolume",
            "persistentvolumes",
            "v1",
            json!({"spec": {
                "capacity": {"storage": "1Gi"},
                "accessModes": ["ReadWriteOnce"],
                "storageClassName": "none",
                "hostPath": {"path": "/nowhere"},
            }}),
        ),
        namespaced(
            "PersistentVolumeClaim",
            "persistentvolumeclaims",
            "v1",
            json!({"spec": {
                "accessModes": ["ReadWriteOnce"],
                "storageClassName": "none",
                "resources": {"requests": {"storage": "1Gi"}},
            }}),
        ),
        namespaced(
            "ResourceQuota",
            "resourcequotas",
            "v1",
            json!({"spec": {"hard": {"secrets": "100"}}}),
        ),
        namespaced(
            "LimitRange",
            "limitranges",
            "v1",
            json!({"spec": {"limits": [{"type": "PersistentVolumeClaim", "max": {"storage": "9Ti"}}]}}),
        ),
        namespaced(
            "Lease",
            "leases.coordination.k8s.io",
            "coordination.k8s.io/v1",
            json!({"spec": {"holderIdentity": "nobody", "leaseDurationSeconds": 10}}),
        ),
        namespaced(
            "Deployment",
            "deployments.apps",
            "apps/v1",
            json!({"spec": {"replicas": 1, "selector": selector, "template": pod_template()}}),
        ),
        namespaced(
            "ReplicaSet",
            "replicasets.apps",
            "apps/v1",
            json!({"spec": {"replicas": 1, "selector": selector, "template": pod_template()}}),
        ),
        namespaced(
            "StatefulSet",
            "statefulsets.apps",
            "apps/v1",
            json!({"spec": {
                "replicas": 1,
                "serviceName": "none",
                "selector": selector,
                "template": pod_template(),
            }}),
        ),
        namespaced(
            "DaemonSet",
            "daemonsets.apps",
            "apps/v1",
            json!({"spec": {"selector": selector, "template": pod_template()}}),
        ),
        namespaced(
            "ControllerRevision",
            "controllerrevisions.apps",
            "apps/v1",
            json!({"revision": 1, "data": {"spec": {}}}),
        ),
        namespaced(
            "Job",
            "jobs.batch",
            "batch/v1",
            json!({"spec": {"suspend": true, "template": {"spec": pod_of_job}}}),
        ),
        namespaced(
            "CronJob",
            "cronjobs.batch",
            "batch/v1",
            json!({"spec": {
                "schedule": "0 0 1 1 *",
                "jobTemplate": {"spec": {"template": {"spec": pod_of_job}}},
            }}),
        ),
        namespaced(
            "HorizontalPodAutoscaler",
            "horizontalpodautoscalers.autoscaling",
            "autoscaling/v2",
            json!({"spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "none"},
                "maxReplicas": 3,
            }}),
        ),
        namespaced(
            "PodDisruptionBudget",
            "poddisruptionbudgets.policy",
            "policy/v1",
            json!({"spec": {"minAvailable": 0, "selector": {"matchLabels": {"app": "none"}}}}),
        ),
        namespaced(
            "NetworkPolicy",
            "networkpolicies.networking.k8s.io",
            "networking.k8s.io/v1",
            json!({"spec": {"podSelector": {}, "policyTypes": ["Ingress"]}}),
        ),
        namespaced(
            "Ingress",
            "ingresses.networking.k8s.io",
            "networking.k8s.io/v1",
            json!({"spec": {"defaultBackend": {"service": {"name": "web", "port": {"number": 80}}}}}),
        ),
        cluster(
            "IngressClass",
            "ingressclasses.networking.k8s.io",
            "networking.k8s.io/v1",
            json!({"spec": {"controller": "example.com/none"}}),
        ),
        cluster(
            "StorageClass",
            "storageclasses.storage.k8s.io",
            "storage.k8s.io/v1",
            json!({"provisioner": "example.com/none"}),
        ),
        cluster(
            "CSIDriver",
            "csidrivers.storage.k8s.io",
            "storage.k8s.io/v1",
            json!({"spec": {}}),
        ),
        cluster(
            "CSINode",
            "csinodes.storage.k8s.io",
            "storage.k8s.io/v1",
            json!({"spec": {"drivers": []}}),
        ),
        cluster(
            "VolumeAttachment",
            "volumeattachments.storage.k8s.io",
            "storage.k8s.io/v1",
            json!({"spec": {
                "attacher": "example.com/none",
                "nodeName": "none",
                "source": {"persistentVolumeName": "none"},
            }}),
        ),
        cluster(
            "PriorityClass",
            "priorityclasses.scheduling.k8s.io",
            "scheduling.k8s.io/v1",
            json!({"value": 100}),
        ),
        cluster(
            "RuntimeClass",
            "runtimeclasses.node.k8s.io",
            "node.k8s.io/v1",
            json!({"handler": "none"}),
        ),
        cluster(
            "ClusterRole",
            "clusterroles.rbac.authorization.k8s.io",
            "rbac.authorization.k8s.io/v1",
            json!({"rules": read_pods}),
        ),
        cluster(
            "ClusterRoleBinding",
            "clusterrolebindings.rbac.authorization.k8s.io",
            "rbac.authorization.k8s.io/v1",
            json!({
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "none"},
                "subjects": jane,
            }),
        ),
        namespaced(
            "Role",
            "roles.rbac.authorization.k8s.io",
            "rbac.authorization.k8s.io/v1",
            json!({"rules": read_pods}),
        ),
        namespaced(
            "RoleBinding",
            "rolebindings.rbac.authorization.k8s.io",
            "rbac.authorization.k8s.io/v1",
            json!({
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "none"},
                "subjects": jane,
            }),
        ),
        cluster(
            "CertificateSigningRequest",
            "certificatesigningrequests.certificates.k8s.io",
            "certificates.k8s.io/v1",
            json!({"spec": {
                "signerName": "kubernetes.io/kube-apiserver-client",
                "usages": ["client auth"],
                "request": CERTIFICATE_REQUEST,
            }}),
        ),
        cluster(
            "CustomResourceDefinition",
            "customresourcedefinitions.apiextensions.k8s.io",
            "apiextensions.k8s.io/v1",
            json!({"spec": {
                "group": "matrix.example.com",
                "scope": "Namespaced",
                "versions": [{
                    "name": "v1",
                    "served": true,
                    "storage": true,
                    "schema": {"openAPIV3Schema": {
                        "type": "object",
                        "x-kubernetes-preserve-unknown-fields": true,
                    }},
                }],
            }}),
        ),
        Kind {
            custom: true,
            ..namespaced(
                "Widget",
                "widgets.matrix.example.com",
                "matrix.example.com/v1",
                json!({"spec": {"size": "small"}}),
            )
        },
    ]
}
