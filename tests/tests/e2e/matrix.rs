//! Every kubectl verb against every kind that is served.

use std::collections::BTreeSet;

use mosaic_tests::matrix::{
    COMMANDS, Kind, Stage, VERBS, failures, kinds, run_commands, run_verbs,
};
use mosaic_tests::{KubectlVersion, Server};

fn verbs_with(version: KubectlVersion, kinds: Vec<Kind>) {
    let server = Server::shared();
    let stage = Stage::new(&server, version, "v");
    let columns: Vec<_> = VERBS.iter().map(|verb| verb.name).collect();
    let failures = failures(&columns, &run_verbs(&stage, kinds));
    assert!(
        failures.is_empty(),
        "{} checks failed\n{}",
        failures.len(),
        failures.join("\n")
    );
}

fn commands_with(version: KubectlVersion) {
    let server = Server::shared();
    let stage = Stage::new(&server, version, "c");
    let failures = failures(&[""], &run_commands(&stage));
    assert!(
        failures.is_empty(),
        "{} of {} failed\n{}",
        failures.len(),
        COMMANDS.len(),
        failures.join("\n")
    );
}

#[test]
fn every_verb_on_every_kind_with_the_newest_kubectl() {
    verbs_with(KubectlVersion::NEWEST, kinds());
}

/// The other kinds take the same way through kubectl; `make compatibility` tries all of them.
#[test]
fn every_verb_on_kinds_of_each_sort_with_kubectl_1_34() {
    let sorts = [
        "Namespace",
        "Pod",
        "Secret",
        "Deployment",
        "CustomResourceDefinition",
        "Widget",
    ];
    let mut kinds = kinds();
    kinds.retain(|kind| sorts.contains(&kind.kind));
    verbs_with(KubectlVersion::V1_34, kinds);
}

#[test]
fn every_other_command_with_kubectl_1_34() {
    commands_with(KubectlVersion::V1_34);
}

#[test]
fn every_other_command_with_kubectl_1_37() {
    commands_with(KubectlVersion::V1_37);
}

#[test]
fn no_kind_that_is_served_is_missing_from_the_matrix() {
    let server = Server::start();
    let kubectl = server.kubectl();
    let served = kubectl.run("api-resources --verbs=get,create,delete -o name");
    let served: BTreeSet<_> = served.ok().lines().map(str::to_owned).collect();
    let tried: BTreeSet<_> = kinds()
        .iter()
        .map(|kind| kind.resource.to_owned())
        .collect();
    let missing: Vec<_> = served.difference(&tried).collect();
    assert!(missing.is_empty(), "served but not tried: {missing:?}");
}
