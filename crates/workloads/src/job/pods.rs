//! The pods of a job.

use k8s_openapi::api::core::v1::{Container, EnvVar, EnvVarSource, ObjectFieldSelector, Pod};

use super::{
    Planner, TRACKING,
    annotations::{COMPLETION_INDEX, INDEX_FAILURES, INDEX_IGNORED_FAILURES},
    manage::Failures,
};
use crate::template::{self, set_annotation, set_label};

/// The variable with the pod's index.
const INDEX_VARIABLE: &str = "JOB_COMPLETION_INDEX";

impl Planner<'_> {
    /// A pod of this name, which has to be counted.
    pub(super) fn new_pod(&self, name: String) -> Pod {
        let mut pod = template::pod(&self.owner, &self.spec.template, name);
        let finalizers = pod.metadata.finalizers.get_or_insert_default();
        if !finalizers.iter().any(|known| known == TRACKING) {
            finalizers.push(TRACKING.to_owned());
        }
        pod
    }

    /// A pod for an index. It knows its index by an annotation, a label, a variable and its host name.
    pub(super) fn new_indexed_pod(&self, name: String, index: i32, failures: Failures) -> Pod {
        let mut pod = self.new_pod(name);
        let job = self.owner.name();
        pod.metadata.generate_name = Some(format!("{job}-{index}-"));
        set_annotation(&mut pod.metadata, COMPLETION_INDEX, index.to_string());
        set_label(&mut pod.metadata, COMPLETION_INDEX, index.to_string());
        if self.limit_per_index().is_some() {
            let Failures { counted, ignored } = failures;
            set_annotation(&mut pod.metadata, INDEX_FAILURES, counted.to_string());
            if ignored > 0 {
                set_annotation(
                    &mut pod.metadata,
                    INDEX_IGNORED_FAILURES,
                    ignored.to_string(),
                );
            }
        }
        let spec = pod.spec.get_or_insert_default();
        spec.hostname = Some(format!("{job}-{index}"));
        let init = spec.init_containers.iter_mut().flatten();
        init.chain(&mut spec.containers).for_each(add_variable);
        pod
    }
}

fn add_variable(container: &mut Container) {
    let variables = container.env.get_or_insert_default();
    if variables
        .iter()
        .any(|variable| variable.name == INDEX_VARIABLE)
    {
        return;
    }
    variables.push(EnvVar {
        name: INDEX_VARIABLE.to_owned(),
        value: None,
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector {
                api_version: None,
                field_path: format!("metadata.labels['{COMPLETION_INDEX}']"),
            }),
            ..EnvVarSource::default()
        }),
    });
}
