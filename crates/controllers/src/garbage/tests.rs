use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time},
    jiff::Timestamp,
};
use kube::discovery::ApiResource;
use proptest::prelude::*;

use super::graph::{FOREGROUND, Graph, KindId, ORPHAN, Uid};
use crate::discovery::Kind;

fn kind(name: &str) -> Kind {
    let resource = ApiResource {
        group: String::new(),
        version: "v1".into(),
        api_version: "v1".into(),
        kind: name.into(),
        plural: format!("{}s", name.to_lowercase()),
    };
    Kind {
        resource,
        namespaced: true,
        verbs: Vec::new(),
    }
}

fn uid_text(number: u8) -> String {
    format!("{number:08x}-0000-4000-8000-000000000000")
}

fn uid(number: u8) -> Uid {
    Uid::new(&uid_text(number))
}

fn object(number: u8, owners: &[u8]) -> ObjectMeta {
    let owner = |number: &u8| OwnerReference {
        api_version: "v1".into(),
        kind: "ConfigMap".into(),
        name: format!("n{number}"),
        uid: uid_text(*number),
        block_owner_deletion: Some(true),
        controller: None,
    };
    ObjectMeta {
        name: Some(format!("n{number}")),
        namespace: Some("default".into()),
        uid: Some(uid_text(number)),
        owner_references: Some(owners.iter().map(owner).collect()),
        ..ObjectMeta::default()
    }
}

fn deleting(mut object: ObjectMeta, finalizer: &str) -> ObjectMeta {
    object.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
    object.finalizers = Some(vec![finalizer.to_owned()]);
    object
}

fn graph() -> (Graph, KindId) {
    let mut graph = Graph::default();
    let id = graph.kind(&kind("ConfigMap")).unwrap();
    (graph, id)
}

#[test]
fn owners_that_are_there_need_no_look_and_others_do() {
    let (mut graph, id) = graph();
    assert_eq!(graph.apply(id, &object(1, &[])), []);
    assert_eq!(graph.apply(id, &object(2, &[1])), []);
    assert_eq!(graph.apply(id, &object(3, &[9])), [uid(3)]);
    let mut elsewhere = object(4, &[1]);
    elsewhere.namespace = Some("other".into());
    assert_eq!(
        graph.apply(id, &elsewhere),
        [uid(4)],
        "the owner is in another namespace"
    );
}

#[test]
fn what_an_object_owns_is_looked_at_when_it_goes() {
    let (mut graph, id) = graph();
    for (number, owners) in [(1, &[][..]), (2, &[1]), (3, &[1])] {
        graph.apply(id, &object(number, owners));
    }
    assert_eq!(graph.remove(uid(1)), [uid(2), uid(3)]);
    assert!(graph.is_absent(uid(1)));
    assert_eq!(graph.remove(uid(2)), []);
    assert!(!graph.is_absent(uid(2)), "nobody will ask for it");
}

#[test]
fn a_listing_tells_what_is_gone() {
    let (mut graph, id) = graph();
    graph.begin(id);
    graph.apply(id, &object(1, &[]));
    graph.apply(id, &object(2, &[1]));
    assert_eq!(graph.complete(id), []);
    graph.begin(id);
    graph.apply(id, &object(2, &[1]));
    assert_eq!(graph.complete(id), [uid(2)]);
    assert_eq!(graph.len(), 1);
}

#[test]
fn foreground_deletion_looks_at_both_sides() {
    let (mut graph, id) = graph();
    graph.apply(id, &object(1, &[]));
    graph.apply(id, &object(2, &[1]));
    assert_eq!(
        graph.apply(id, &deleting(object(1, &[]), FOREGROUND)),
        [uid(1), uid(2)]
    );
    assert_eq!(graph.blocking(uid(1)), [uid(2)]);
    assert_eq!(
        graph.remove(uid(2)),
        [uid(1)],
        "the owner waits for nobody any more"
    );
    assert_eq!(graph.blocking(uid(1)), []);
}

#[test]
fn orphaning_looks_at_the_owner() {
    let (mut graph, id) = graph();
    graph.apply(id, &object(1, &[]));
    assert_eq!(graph.apply(id, &deleting(object(1, &[]), ORPHAN)), [uid(1)]);
}

#[test]
fn a_kind_that_is_no_longer_served_says_nothing_about_its_objects() {
    let (mut graph, id) = graph();
    let other = graph.kind(&kind("Secret")).unwrap();
    graph.apply(id, &object(1, &[]));
    graph.apply(other, &object(2, &[1]));
    graph.forget(id);
    assert!(!graph.is_absent(uid(1)));
    assert_eq!(graph.dependents(uid(1)), [uid(2)]);
    assert_eq!(graph.len(), 1);
}

proptest! {
    #[test]
    fn uids_are_told_apart_by_their_text(a in "[0-9a-f-]{0,40}", b in "[0-9a-fA-F-]{0,40}") {
        prop_assert_eq!(a == b, Uid::new(&a) == Uid::new(&b));
    }

    #[test]
    fn the_index_of_dependents_is_that_of_the_objects(
        steps in prop::collection::vec((0_u8..8, prop::collection::vec(0_u8..8, 0..3), any::<bool>()), 0..60)
    ) {
        let (mut graph, id) = graph();
        let mut model: std::collections::BTreeMap<u8, Vec<u8>> = Default::default();
        for (number, owners, remove) in steps {
            let mut is_news = false;
            let looked_at = if remove {
                model.remove(&number);
                graph.remove(uid(number))
            } else {
                is_news = model.insert(number, owners.clone()).as_ref() != Some(&owners);
                graph.apply(id, &object(number, &owners))
            };
            for owner in 0..8 {
                let mut wanted: Vec<Uid> = model
                    .iter()
                    .filter(|(_, owners)| owners.contains(&owner))
                    .map(|(number, _)| uid(*number))
                    .collect();
                let mut found = graph.dependents(uid(owner));
                wanted.sort_by_key(|uid| format!("{uid:?}"));
                found.sort_by_key(|uid| format!("{uid:?}"));
                prop_assert_eq!(&wanted, &found);
                if remove && owner == number {
                    prop_assert!(wanted.iter().all(|uid| looked_at.contains(uid)));
                }
            }
            // Whoever comes to have an owner that is not there is looked at.
            if is_news && model[&number].iter().any(|owner| !model.contains_key(owner)) {
                prop_assert!(looked_at.contains(&uid(number)));
            }
        }
    }
}
