//! What a user notices of where pods are placed, one behaviour a test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod common;

use common::{
    claim, class, cluster, decided, host, host_for, key, node, owned, placed, plain, pod, set,
    volume, why_not,
};
use mosaic_scheduler::{Cluster, Decision, Event, Pod, Profile, could_help};
use serde_json::{Value, json};

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

#[test]
fn a_pod_takes_what_its_containers_need_at_one_time() {
    let resources =
        |cpu: &str, memory: &str| json!({ "requests": { "cpu": cpu, "memory": memory } });
    let mut object = plain("a", "500m", "1Gi");
    object["spec"]["containers"] = json!([
        { "name": "one", "resources": resources("500m", "1Gi") },
        { "name": "two", "resources": resources("250m", "1Gi") },
    ]);
    let requests = |object: &Value| {
        let requests = pod(object).class.template.requests.clone();
        (requests.cpu_millis, requests.memory >> 20)
    };
    assert_eq!(requests(&object), (750, 2048));
    // A sidecar runs beside everything after it, an init container by itself.
    object["spec"]["initContainers"] = json!([
        { "name": "first", "resources": resources("700m", "128Mi") },
        { "name": "sidecar", "restartPolicy": "Always", "resources": resources("100m", "256Mi") },
        { "name": "last", "resources": resources("2", "64Mi") },
    ]);
    assert_eq!(requests(&object), (2100, 2304));
    object["spec"]["overhead"] = json!({ "cpu": "50m", "memory": "16Mi" });
    assert_eq!(requests(&object), (2150, 2320));
    object["spec"]["resources"] = json!({ "requests": { "cpu": 1 } });
    assert_eq!(requests(&object), (1050, 2320));
}

#[test]
fn a_resized_pod_takes_the_larger_of_what_it_has_and_wants() {
    let mut object = plain("a", "1", "1Gi");
    object["status"] = json!({ "containerStatuses": [{
        "name": "c", "allocatedResources": { "cpu": "500m", "memory": "2Gi" },
    }] });
    let requests = |object: &Value| pod(object).class.template.requests.clone();
    assert_eq!(
        (requests(&object).cpu_millis, requests(&object).memory),
        (1000, 2 << 30)
    );
    object["status"]["conditions"] =
        json!([{ "type": "PodResizePending", "reason": "Infeasible" }]);
    assert_eq!(requests(&object).cpu_millis, 500);
}

#[test]
fn every_resource_a_host_has_is_counted() {
    let mut big = host("big", "a", "8", "32Gi");
    big["status"]["allocatable"]["nvidia.com/gpu"] = json!("2");
    big["status"]["allocatable"]["ephemeral-storage"] = json!("10Gi");
    let mut cluster = cluster(&[big, host("small", "a", "8", "32Gi")]);
    let asking = |name: &str, resource: &str, amount: &str| {
        let mut object = plain(name, "100m", "1Mi");
        object["spec"]["containers"][0]["resources"]["requests"][resource] = json!(amount);
        object
    };
    let first = asking("a", "nvidia.com/gpu", "2");
    assert_eq!(host_for(&cluster, &first), "big");
    placed(&mut cluster, first, "big");
    let why = why_not(&cluster, &asking("b", "nvidia.com/gpu", "1"));
    assert_eq!(
        why.kubernetes(),
        "0/2 nodes are available: 2 Insufficient nvidia.com/gpu."
    );
    assert_eq!(
        host_for(&cluster, &asking("c", "ephemeral-storage", "9Gi")),
        "big"
    );
    assert_eq!(
        why_not(&cluster, &asking("d", "ephemeral-storage", "11Gi")).kubernetes(),
        "0/2 nodes are available: 2 Insufficient ephemeral-storage."
    );
}

#[test]
fn who_cannot_be_placed_says_why_and_what_came_closest() {
    let mut cordoned = host("host-3", "a", "8", "32Gi");
    cordoned["spec"] = json!({ "unschedulable": true });
    let mut tainted = host("host-4", "a", "8", "32Gi");
    tainted["spec"] =
        json!({ "taints": [{ "key": "pool", "value": "db", "effect": "NoSchedule" }] });
    let mut cluster = cluster(&[
        host("host-1", "a", "2", "4Gi"),
        host("host-2", "a", "4", "4Gi"),
        cordoned,
        tainted,
    ]);
    placed(&mut cluster, plain("a", "2800m", "1Gi"), "host-2");
    let why = why_not(&cluster, &plain("b", "2", "8Gi"));
    assert_eq!(
        why.kubernetes(),
        "0/4 nodes are available: 1 Insufficient cpu, 1 node(s) had untolerated taint {pool: db}, \
         1 node(s) were unschedulable, 2 Insufficient memory."
    );
    // Whoever is short of two resources is there with both of them, and one host all the same.
    let words = why.to_string();
    assert!(
        words.contains("2 have too little free (cpu on 1, memory on 2), 1 is cordoned"),
        "{words}"
    );
    assert_eq!(why.failed.values().sum::<usize>(), 4);
    // The cordoned and the tainted one are too small as well, and count once all the same.
    let why = why_not(&cluster, &plain("b", "9", "1Gi"));
    assert_eq!(
        why.kubernetes(),
        "0/4 nodes are available: 1 node(s) had untolerated taint {pool: db}, \
         1 node(s) were unschedulable, 2 Insufficient cpu."
    );
    let why = why_not(&cluster, &plain("b", "2200m", "1Gi"));
    assert_eq!(
        why.to_string(),
        "none of 4 hosts will do: 2 have too little free (cpu on 2), 1 is cordoned, 1 has a taint that \
         the pod does not tolerate ({pool: db} on 1). The nearest: host-2 has 1.2 CPU free of 2.2 needed"
    );
    assert_eq!(
        why_not(&self::cluster(&[]), &plain("b", "1", "1Gi")).kubernetes(),
        "no nodes available to schedule pods"
    );
}

#[test]
fn a_gated_pod_is_not_decided_about() {
    let cluster = cluster(&[host("h", "a", "4", "8Gi")]);
    let mut object = plain("a", "1", "1Gi");
    object["spec"]["schedulingGates"] = json!([{ "name": "quota" }]);
    assert_eq!(
        decided(&cluster, &object),
        Decision::Gated(vec!["quota".into()])
    );
}

#[test]
fn a_pod_of_a_daemon_set_goes_to_its_host_or_nowhere() {
    let mut cluster = cluster(&[host("h1", "a", "1", "8Gi"), host("h2", "a", "4", "8Gi")]);
    let daemon = |name: &str, host: &str| {
        let mut object = owned(plain(name, "500m", "1Gi"), "DaemonSet", "d");
        set(
            &mut object,
            &format!("/spec/affinity/nodeAffinity/{REQUIRED}"),
            json!({ "nodeSelectorTerms": [
            { "matchFields": [{ "key": "metadata.name", "operator": "In", "values": [host] }] },
        ] }),
        );
        object
    };
    assert_eq!(host_for(&cluster, &daemon("a", "h1")), "h1");
    assert_eq!(pod(&daemon("a", "h1")).class, pod(&daemon("b", "h2")).class);
    placed(&mut cluster, plain("x", "1", "1Gi"), "h1");
    let why = why_not(&cluster, &daemon("a", "h1"));
    assert_eq!(
        why.nearest.unwrap().to_string(),
        "h1 has 0 CPU free of 0.5 needed"
    );
}

#[test]
fn pods_of_one_controller_spread_over_zones_and_hosts_by_themselves() {
    let mut cluster = cluster(&[
        host("a1", "a", "8", "32Gi"),
        host("a2", "a", "8", "32Gi"),
        host("b1", "b", "8", "32Gi"),
        host("b2", "b", "8", "32Gi"),
    ]);
    // What else runs must not decide.
    placed(&mut cluster, plain("other", "100m", "128Mi"), "b1");
    let mut hosts = Vec::new();
    for index in 0..4 {
        let object = owned(
            plain(&format!("web-{index}"), "100m", "128Mi"),
            "ReplicaSet",
            "web",
        );
        let host = host_for(&cluster, &object);
        placed(&mut cluster, object, &host);
        hosts.push(host);
    }
    let zones: Vec<&str> = hosts.iter().map(|host| &host[..1]).collect();
    assert_ne!(zones[0], zones[1], "{hosts:?}");
    hosts.sort();
    assert_eq!(hosts, ["a1", "a2", "b1", "b2"]);
}

#[test]
fn with_too_few_zones_the_emptiest_counts_as_empty() {
    let mut cluster = cluster(&[host("a1", "a", "8", "32Gi"), host("b1", "b", "8", "32Gi")]);
    let spread = |name: &str| {
        let mut object = plain(name, "100m", "128Mi");
        object["spec"]["topologySpreadConstraints"] = json!([{
            "maxSkew": 1, "minDomains": 3, "topologyKey": "topology.kubernetes.io/zone",
            "whenUnsatisfiable": "DoNotSchedule", "labelSelector": { "matchLabels": { "app": "web" } },
        }]);
        object
    };
    placed(&mut cluster, spread("a"), "a1");
    assert_eq!(host_for(&cluster, &spread("b")), "b1");
    placed(&mut cluster, spread("b"), "b1");
    assert_eq!(
        why_not(&cluster, &spread("c")).kubernetes(),
        "0/2 nodes are available: 2 node(s) didn't match pod topology spread constraints."
    );
    cluster.upsert_node(node(&host("c1", "c", "8", "32Gi")));
    assert_eq!(host_for(&cluster, &spread("c")), "c1");
}

#[test]
fn memory_bound_services_are_packed_on_hosts_of_their_own() {
    let mut hosts = vec![host("general", "a", "64", "512Gi")];
    for index in 0..3 {
        let mut dedicated = host(&format!("mem-{index}"), "a", "32", "64Gi");
        dedicated["metadata"]["labels"]["pool"] = json!("memory");
        dedicated["spec"] =
            json!({ "taints": [{ "key": "pool", "value": "memory", "effect": "NoSchedule" }] });
        hosts.push(dedicated);
    }
    let mut cluster = cluster(&hosts);
    let service = |name: &str, memory: &str| {
        let mut object = owned(plain(name, "1", memory), "ReplicaSet", "cache");
        object["metadata"]["annotations"] = json!({ "mosaic/profile": "packing-memory" });
        object["spec"]["nodeSelector"] = json!({ "pool": "memory" });
        object["spec"]["tolerations"] =
            json!([{ "key": "pool", "operator": "Equal", "value": "memory" }]);
        object
    };
    // Much processor taken does not attract a service that is packed by memory.
    let mut busy = service("busy", "1Gi");
    busy["spec"]["containers"][0]["resources"]["requests"]["cpu"] = json!("20");
    placed(&mut cluster, busy, "mem-2");
    placed(&mut cluster, service("first", "24Gi"), "mem-1");
    for (name, memory, expected) in [
        ("a", "20Gi", "mem-1"),
        ("b", "12Gi", "mem-1"),
        ("c", "10Gi", "mem-1"),
        ("d", "8Gi", "mem-1"),
    ] {
        let object = service(name, memory);
        let host = host_for(&cluster, &object);
        if name == "c" {
            // 24 + 20 + 12 + 10 do not fit into 64.
            assert_eq!(host, "mem-2");
        } else {
            assert_eq!(host, expected, "{name}");
        }
        placed(&mut cluster, object, &host);
    }
    assert_eq!(
        host_for(&cluster, &plain("ordinary", "1", "1Gi")),
        "general"
    );
}

#[test]
fn preferences_decide_among_hosts_that_would_do() {
    let mut ssd = host("ssd", "a", "8", "32Gi");
    ssd["metadata"]["labels"]["disk"] = json!("ssd");
    let mut imaged = host("imaged", "b", "8", "32Gi");
    imaged["status"]["images"] =
        json!([{ "names": ["docker.io/library/redis:7"], "sizeBytes": 900_000_000u64 }]);
    let mut avoided = host("avoided", "c", "64", "512Gi");
    avoided["spec"] = json!({ "taints": [{ "key": "old", "effect": "PreferNoSchedule" }] });
    let mut cluster = cluster(&[ssd, imaged, avoided]);
    let mut object = plain("a", "1", "1Gi");
    object["spec"]["containers"][0]["image"] = json!("redis:7");
    assert_eq!(host_for(&cluster, &object), "imaged");
    let mut prefers = plain("b", "1", "1Gi");
    set(
        &mut prefers,
        &format!("/spec/affinity/nodeAffinity/{PREFERRED}"),
        json!([
            { "weight": 1, "preference": { "matchExpressions": [{ "key": "disk", "operator": "In", "values": ["ssd"] }] } },
        ]),
    );
    assert_eq!(host_for(&cluster, &prefers), "ssd");
    let mut shy = plain("c", "1", "1Gi");
    set(
        &mut shy,
        &format!("/spec/affinity/podAntiAffinity/{PREFERRED}"),
        json!([
            { "weight": 100, "podAffinityTerm": {
                "topologyKey": "topology.kubernetes.io/zone", "labelSelector": { "matchLabels": { "app": "web" } },
            } },
        ]),
    );
    placed(&mut cluster, shy.clone(), "ssd");
    // Who is there already minds as well.
    assert_eq!(host_for(&cluster, &plain("d", "1", "1Gi")), "imaged");
    shy["metadata"]["name"] = json!("e");
    assert_eq!(host_for(&cluster, &shy), "imaged");
}

#[test]
fn a_volume_that_is_kept_for_a_claim_is_that_claims() {
    let mut cluster = cluster(&[host("a1", "a", "8", "32Gi"), host("b1", "b", "8", "32Gi")]);
    cluster.upsert_storage_class(class(&json!({
        "metadata": { "name": "local" }, "provisioner": "kubernetes.io/no-provisioner",
        "volumeBindingMode": "WaitForFirstConsumer",
    })));
    cluster.upsert_claim(claim(&json!({
        "metadata": { "name": "data", "namespace": "default", "uid": "now" },
        "spec": { "storageClassName": "local", "accessModes": ["ReadWriteOnce"],
            "resources": { "requests": { "storage": "5Gi" } } },
    })));
    let disk = |host: &str, size: &str, uid: Option<&str>| {
        let mut disk = json!({
            "metadata": { "name": format!("disk-{host}") },
            "spec": { "storageClassName": "local", "accessModes": ["ReadWriteOnce"], "capacity": { "storage": size },
                "nodeAffinity": { "required": { "nodeSelectorTerms": [{ "matchExpressions": [
                    { "key": "kubernetes.io/hostname", "operator": "In", "values": [host] }] }] } } },
        });
        if let Some(uid) = uid {
            disk["spec"]["claimRef"] =
                json!({ "namespace": "default", "name": "data", "uid": uid });
        }
        disk
    };
    let mut object = plain("db", "1", "1Gi");
    object["spec"]["volumes"] =
        json!([{ "name": "data", "persistentVolumeClaim": { "claimName": "data" } }]);
    // An earlier claim of the same name had it.
    cluster.upsert_volume(volume(&disk("b1", "10Gi", Some("before"))));
    assert_eq!(
        why_not(&cluster, &object).kubernetes(),
        "0/2 nodes are available: 2 node(s) didn't find available persistent volumes to bind."
    );
    for uid in ["", "now"] {
        let mut kept = disk("b1", "10Gi", Some(uid));
        kept["spec"]["storageClassName"] = json!("another");
        cluster.upsert_volume(volume(&kept));
        assert_eq!(host_for(&cluster, &object), "b1", "{uid:?}");
    }
    // More than what amounts that are summed are bounded by.
    let huge = disk("b1", "1025Ti", None);
    cluster.upsert_volume(volume(&huge));
    cluster.upsert_claim(claim(&json!({
        "metadata": { "name": "data", "namespace": "default" },
        "spec": { "storageClassName": "local", "accessModes": ["ReadWriteOnce"],
            "resources": { "requests": { "storage": "1026Ti" } } },
    })));
    why_not(&cluster, &object);
}

#[test]
fn a_pod_goes_where_its_volumes_are() {
    let mut cluster = cluster(&[host("a1", "a", "8", "32Gi"), host("b1", "b", "8", "32Gi")]);
    let mut object = plain("db", "1", "1Gi");
    object["spec"]["volumes"] =
        json!([{ "name": "data", "persistentVolumeClaim": { "claimName": "data" } }]);
    assert_eq!(
        why_not(&cluster, &object).kubernetes(),
        "0/2 nodes are available: persistentvolumeclaim \"data\" not found."
    );
    let mut data = json!({
        "metadata": { "name": "data", "namespace": "default" },
        "spec": { "storageClassName": "local", "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "5Gi" } } },
    });
    cluster.upsert_claim(claim(&data));
    cluster.upsert_storage_class(class(&json!({ "metadata": { "name": "local" }, "provisioner": "x/y", "volumeBindingMode": "Immediate" })));
    assert_eq!(
        why_not(&cluster, &object).kubernetes(),
        "0/2 nodes are available: pod has unbound immediate PersistentVolumeClaims: default/data (class local) has no volume."
    );
    // Made where the pod will be, if it can be made there.
    cluster.upsert_storage_class(class(&json!({
        "metadata": { "name": "local" }, "provisioner": "x/y", "volumeBindingMode": "WaitForFirstConsumer",
        "allowedTopologies": [{ "matchLabelExpressions": [{ "key": "topology.kubernetes.io/zone", "values": ["b"] }] }],
    })));
    assert_eq!(host_for(&cluster, &object), "b1");
    // Nothing is made, but a volume that is there and free is taken.
    cluster.upsert_storage_class(class(&json!({
        "metadata": { "name": "local" }, "provisioner": "kubernetes.io/no-provisioner", "volumeBindingMode": "WaitForFirstConsumer",
    })));
    assert_eq!(
        why_not(&cluster, &object).kubernetes(),
        "0/2 nodes are available: 2 node(s) didn't find available persistent volumes to bind."
    );
    let mut disk = json!({
        "metadata": { "name": "disk" },
        "spec": {
            "storageClassName": "local", "accessModes": ["ReadWriteOnce"], "capacity": { "storage": "10Gi" },
            "nodeAffinity": { "required": { "nodeSelectorTerms": [
                { "matchExpressions": [{ "key": "kubernetes.io/hostname", "operator": "In", "values": ["a1"] }] },
            ] } },
        },
    });
    cluster.upsert_volume(volume(&disk));
    assert_eq!(host_for(&cluster, &object), "a1");
    // Bound, the volume alone decides.
    data["spec"]["volumeName"] = json!("disk");
    data["status"] = json!({ "phase": "Bound" });
    disk["spec"]["claimRef"] = json!({ "namespace": "default", "name": "data" });
    disk["status"] = json!({ "phase": "Bound" });
    cluster.upsert_claim(claim(&data));
    cluster.upsert_volume(volume(&disk));
    assert_eq!(host_for(&cluster, &object), "a1");
    cluster.remove_node("a1");
    assert_eq!(
        why_not(&cluster, &object).nearest.unwrap().to_string(),
        "b1 cannot reach volume disk of claim data"
    );
}

#[test]
fn odd_objects_are_refused_or_read_but_never_break_anything() {
    for text in [
        "",
        "null",
        "[]",
        "{}",
        r#"{"metadata":{}}"#,
        r#"{"metadata":{"name":"a"},"spec":{"containers":7}}"#,
        r#"{"metadata":{"name":"a"},"spec":{"containers":[{"resources":{"requests":{"cpu":"lots"}}}]}}"#,
    ] {
        assert!(Pod::from_json(text.as_bytes()).is_err(), "{text}");
    }
    let mut odd = plain("a", "9e99", "-5");
    odd["metadata"]["labels"] = Value::Null;
    odd["spec"]["tolerations"] = json!([{ "operator": "Sometimes" }]);
    odd["spec"]["nodeSelector"] = Value::Null;
    odd["spec"]["topologySpreadConstraints"] = json!([{ "maxSkew": -3, "labelSelector": { "matchExpressions": [{ "key": "/", "operator": "?" }] } }]);
    odd["spec"]["containers"][0]["ports"] = json!([{ "hostPort": 99999999 }, { "hostPort": -1 }]);
    odd["spec"]["affinity"] = json!({ "nodeAffinity": { REQUIRED: { "nodeSelectorTerms": [{}] } }, "podAffinity": { REQUIRED: [{}] } });
    let mut cluster = cluster(&[
        json!({ "metadata": { "name": "bare" } }),
        host("h", "a", "9e99", "1Ei"),
    ]);
    let why = why_not(&cluster, &odd);
    assert_eq!(why.failed.values().sum::<usize>(), 2);
    for index in 0..20 {
        odd["metadata"]["name"] = json!(format!("odd-{index}"));
        placed(&mut cluster, odd.clone(), "h");
    }
    cluster.verify().unwrap();
    (0..20).for_each(|index| cluster.remove_pod(&key(&format!("odd-{index}"))));
    cluster.verify().unwrap();
    assert_eq!(host_for(&cluster, &plain("b", "1", "1Gi")), "h");
}

#[test]
fn a_pod_that_did_not_fit_fits_when_one_of_several_alike_is_gone() {
    let mut cluster = cluster(&[host("h", "a", "2", "8Gi")]);
    placed(&mut cluster, plain("one", "1", "1Gi"), "h");
    placed(&mut cluster, plain("two", "1", "1Gi"), "h");
    let waiting = plain("waiting", "1", "1Gi");
    cluster.upsert_pod(pod(&waiting));
    let first = why_not(&cluster, &waiting);
    assert_eq!(why_not(&cluster, &waiting), first);
    cluster.remove_pod(&key("one"));
    assert_eq!(host_for(&cluster, &waiting), "h");
}

#[test]
fn a_pod_is_woken_by_others_only_if_they_can_help() {
    let mut cluster = cluster(&[host("a1", "a", "2", "8Gi"), host("b1", "b", "1", "8Gi")]);
    let mut spread = plain("spread", "1", "1Gi");
    spread["spec"]["topologySpreadConstraints"] = json!([{
        "maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone",
        "whenUnsatisfiable": "DoNotSchedule", "labelSelector": { "matchLabels": { "app": "web" } },
    }]);
    placed(&mut cluster, plain("web-1", "1", "1Gi"), "a1");
    let mut large = plain("large", "2", "1Gi");
    large["metadata"]["labels"]["app"] = json!("other");
    let helps = |cluster: &Cluster, event: &Event<'_>, object: &Value| {
        could_help(event, &pod(object), &why_not(cluster, object))
    };
    let other = pod(&plain("web-2", "1", "1Gi"));
    // Nothing but a pod in the other zone lets this one come.
    placed(&mut cluster, large.clone(), "b1");
    assert!(helps(&cluster, &Event::PodPlaced(&other), &spread));
    // This one has too little room, of which a pod that comes makes no more.
    assert!(!helps(&cluster, &Event::PodPlaced(&other), &large));
    assert!(!helps(&cluster, &Event::VolumesChanged, &large));
    assert!(helps(&cluster, &Event::PodRemoved, &large));
    assert!(!helps(
        &cluster,
        &Event::NodeChanged(&node(&host("c1", "c", "1", "8Gi"))),
        &large
    ));
    assert!(helps(
        &cluster,
        &Event::NodeChanged(&node(&host("c1", "c", "2", "8Gi"))),
        &large
    ));
}

#[test]
fn the_state_can_be_handed_from_thread_to_thread() {
    fn is_send<T: Send>(_: &T) {}
    is_send(&Cluster::new());
}

#[test]
fn a_pod_chooses_its_profile_by_annotation_or_scheduler_name() {
    let mut object = plain("a", "1", "1Gi");
    assert_eq!(Profile::of(&pod(&object)).name, "spreading");
    assert!(Profile::is_ours(&pod(&object)));
    object["spec"]["schedulerName"] = json!("mosaic-packing");
    assert_eq!(Profile::of(&pod(&object)).name, "packing");
    object["metadata"]["annotations"] = json!({ "mosaic/profile": "packing-memory" });
    assert_eq!(Profile::of(&pod(&object)).name, "packing-memory");
    assert_eq!(Profile::unknown(&pod(&object)), None);
    object["metadata"]["annotations"] = json!({ "mosaic/profile": "stacking" });
    assert_eq!(Profile::unknown(&pod(&object)), Some("stacking"));
    object["spec"]["schedulerName"] = json!("somebody-else");
    assert!(!Profile::is_ours(&pod(&object)));
}
