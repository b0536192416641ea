//! What a pod needs of a host, as Kubernetes computes it.

use mosaic_api::peak::{Amounts as _, peak};
use serde::Deserialize;

use super::{
    Amounts,
    read::{Amount, ResourceList},
};

/// What a container without a request counts for when hosts are compared, so that such pods spread.
const UNSAID_CPU_MILLIS: i64 = 100;
const UNSAID_MEMORY: i64 = 200 << 20;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawContainer<'a> {
    #[serde(default)]
    pub name: String,
    pub image: Option<String>,
    #[serde(borrow)]
    pub resources: Option<Resources<'a>>,
    pub restart_policy: Option<String>,
    pub ports: Option<Vec<RawPort>>,
}

#[derive(Deserialize, Default, Clone)]
pub(super) struct Resources<'a> {
    #[serde(borrow)]
    pub requests: Option<ResourceList<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawPort {
    pub host_port: Option<i64>,
    #[serde(rename = "hostIP")]
    pub host_ip: Option<String>,
    pub protocol: Option<String>,
}

/// What the host says that a container has.
#[derive(Deserialize, Clone)]
#[serde(rename_all = "camelCase")]
pub(super) struct ContainerStatus<'a> {
    #[serde(default)]
    name: String,
    #[serde(borrow)]
    allocated_resources: Option<ResourceList<'a>>,
    #[serde(borrow)]
    resources: Option<Resources<'a>>,
}

/// All that requests are computed from.
pub(super) struct Needs<'a> {
    pub containers: &'a [RawContainer<'a>],
    pub init_containers: &'a [RawContainer<'a>],
    pub statuses: &'a [ContainerStatus<'a>],
    pub pod_level: Option<&'a ResourceList<'a>>,
    pub overhead: Option<&'a ResourceList<'a>>,
    /// The host said that it can never grant what the pod now asks for.
    pub resize_infeasible: bool,
}

impl RawContainer<'_> {
    pub(super) fn is_sidecar(&self) -> bool {
        self.restart_policy.as_deref() == Some("Always")
    }
}

impl Needs<'_> {
    /// What the pod takes of a host.
    pub(super) fn requests(&self) -> Amounts {
        self.total(|container| self.of(container))
    }

    /// Processor and memory that the pod counts for when hosts are compared.
    pub(super) fn weight(&self) -> (i64, i64) {
        let total = self.total(|container| {
            let mut amounts = self.of(container);
            let given = container
                .resources
                .as_ref()
                .and_then(|r| r.requests.as_ref());
            let mentions = |name: &str| given.is_some_and(|list| list.contains_key(name));
            if amounts.cpu_millis == 0 && !mentions("cpu") {
                amounts.cpu_millis = UNSAID_CPU_MILLIS;
            }
            if amounts.memory == 0 && !mentions("memory") {
                amounts.memory = UNSAID_MEMORY;
            }
            amounts
        });
        (total.cpu_millis, total.memory)
    }

    fn total(&self, of: impl Fn(&RawContainer<'_>) -> Amounts) -> Amounts {
        let together = self.containers.iter().map(&of);
        let starting = self.init_containers.iter();
        let starting = starting.map(|container| (container.is_sidecar(), of(container)));
        let mut sum = peak(together, starting);
        if let Some(list) = self.pod_level {
            sum.set_mentioned(list);
        }
        if let Some(list) = self.overhead {
            sum.add(&Amounts::read(list));
        }
        sum
    }

    /// A container counts for what it asks for and for what it still has, whichever is more.
    fn of(&self, container: &RawContainer<'_>) -> Amounts {
        let read = |list: Option<&std::collections::BTreeMap<_, Amount>>| {
            list.map(Amounts::read).unwrap_or_default()
        };
        let asked = read(
            container
                .resources
                .as_ref()
                .and_then(|r| r.requests.as_ref()),
        );
        let status = self
            .statuses
            .iter()
            .find(|status| status.name == container.name);
        let Some(status) = status else {
            return asked;
        };
        let mut most = read(status.allocated_resources.as_ref());
        most.max(&read(
            status.resources.as_ref().and_then(|r| r.requests.as_ref()),
        ));
        let has_something = most != Amounts::default();
        if !(self.resize_infeasible && has_something) {
            most.max(&asked);
        }
        most
    }
}
