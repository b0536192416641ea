//! What a plan is made of.

mod change;

use std::{fmt, ops::Range};

use jiff::Timestamp;
use k8s_openapi::{
    api::{
        apps::v1::{ControllerRevision, ReplicaSet},
        batch::v1::Job,
        core::v1::{PersistentVolumeClaim, Pod},
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};

pub use change::Change;

/// The most pods that one plan creates, and the most that it deletes. A plan that stops there asks to be made again
/// at once.
pub const BURST: usize = 500;

/// What is to be done about an object, so that it becomes what was asked for.
///
/// A loop carries out the actions in their order (see [`Plan::batches`]), stops at the first that fails, and then
/// writes the status, if there is one. It looks again when something changes, when an action failed or conflicted, and
/// at [`Plan::again`].
#[derive(Debug, Clone, PartialEq)]
pub struct Plan<S> {
    /// What to do, in this order.
    pub actions: Vec<Action>,
    /// The status to write; none if it is right. It is written for the version of the object that the snapshot had, or
    /// that a patch of the object by this plan has led to.
    pub status: Option<S>,
    /// Whether the status may be written only if every action worked. It otherwise tells what is there,
    /// which is true whatever becomes of the actions.
    pub status_needs_success: bool,
    /// When to look again without a reason: the snapshot's own moment, or earlier, means as soon as this plan was carried
    /// out. After a failure the loop's own back-off counts.
    pub again: Option<Timestamp>,
}

impl<S> Default for Plan<S> {
    fn default() -> Self {
        Self {
            actions: Vec::new(),
            status: None,
            status_needs_success: false,
            again: None,
        }
    }
}

impl<S> Plan<S> {
    /// Whether there is nothing to do now, except to tell people something.
    pub fn is_done(&self) -> bool {
        let is_told = |action: &Action| matches!(action, Action::Event(_));
        self.actions.iter().all(is_told) && self.status.is_none()
    }

    /// Asks to look again at this moment, or earlier if that is planned already.
    pub(crate) fn look_again(&mut self, moment: Option<Timestamp>) {
        self.again = crate::counts::earlier(self.again, moment);
    }

    pub(crate) fn event(&mut self, event: Event) {
        self.actions.push(Action::Event(event));
    }

    /// The actions in groups that may be carried out at the same time, one group after the other.
    ///
    /// Pods are created in groups of 1, 2, 4 and so on: if all creations fail for the same reason, such as a quota,
    /// few are tried. Pods that are changed, or deleted, are so all together. Everything else goes one
    /// by one.
    pub fn batches(&self) -> Vec<Batch> {
        let mut batches: Vec<Batch> = Vec::new();
        for (index, action) in self.actions.iter().enumerate() {
            let how = action.how();
            if let Some(last) = batches.last_mut()
                && last.how == how
                && last.actions.len() < last.limit
            {
                last.actions.end = index + 1;
                continue;
            }
            let limit = match (how, batches.last()) {
                (How::Creation, Some(last)) if last.how == how => last.limit.saturating_mul(2),
                (How::Change | How::Deletion, _) => usize::MAX,
                _ => 1,
            };
            batches.push(Batch {
                actions: index..index + 1,
                how,
                limit,
            });
        }
        batches
    }
}

/// Actions that may be carried out at the same time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Which of the plan's actions.
    pub actions: Range<usize>,
    how: How,
    limit: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    Creation,
    Change,
    Deletion,
    Single,
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Create this object. If one of that name is there already, it counts as created if the same owner controls it.
    Create {
        /// The object, with its name.
        object: Object,
        /// What to tell about it once it is done.
        event: Option<Event>,
    },
    /// Delete this object, if it still has that UID (and version, where given). One that is gone counts as deleted.
    Delete {
        /// Which one.
        target: Target,
        /// What becomes of what it owns.
        propagation: Propagation,
        /// Why, for logs.
        why: &'static str,
        /// What to tell about it once it is done.
        event: Option<Event>,
    },
    /// Change this object by the strategic merge patch that [`Change::patch`] makes.
    Patch {
        /// Which one.
        target: Target,
        /// The change.
        change: Change,
        /// What to tell about it once it is done.
        event: Option<Event>,
    },
    /// Tell people something about the object that the plan is for.
    Event(Event),
}

impl Action {
    fn how(&self) -> How {
        match self {
            Self::Create {
                object: Object::Pod(_),
                ..
            } => How::Creation,
            Self::Patch { target, .. } if target.kind == Kind::Pod => How::Change,
            Self::Delete { target, .. } if target.kind == Kind::Pod => How::Deletion,
            _ => How::Single,
        }
    }

    pub(crate) fn create_pod(pod: Pod) -> Self {
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        let event = Event::normal("SuccessfulCreate", format!("Created pod: {name}"));
        Self::Create {
            object: Object::Pod(Box::new(pod)),
            event: Some(event),
        }
    }

    pub(crate) fn delete_pod(pod: &crate::Pod, why: &'static str) -> Self {
        let event = Event::normal("SuccessfulDelete", format!("Deleted pod: {}", pod.name()));
        Self::Delete {
            target: Target::any_version(Kind::Pod, &pod.metadata),
            propagation: Propagation::Background,
            why,
            event: Some(event),
        }
    }

    pub(crate) fn patch(target: Target, change: Change) -> Self {
        Self::Patch {
            target,
            change,
            event: None,
        }
    }

    /// What to tell people when it was done.
    pub fn succeeded(&self) -> Option<&Event> {
        match self {
            Self::Create { event, .. } | Self::Delete { event, .. } | Self::Patch { event, .. } => {
                event.as_ref()
            }
            Self::Event(event) => Some(event),
        }
    }

    /// What to tell people when it was refused, and why.
    pub fn failed(&self, why: &str) -> Option<Event> {
        match self {
            Self::Create { .. } => Some(Event::warning(
                "FailedCreate",
                format!("Error creating: {why}"),
            )),
            Self::Delete { .. } => Some(Event::warning(
                "FailedDelete",
                format!("Error deleting: {why}"),
            )),
            Self::Patch { target, .. } => Some(Event::warning(
                "FailedUpdate",
                format!("Error updating {}: {why}", target.name),
            )),
            Self::Event(_) => None,
        }
    }
}

/// An object to create.
#[derive(Debug, Clone, PartialEq)]
pub enum Object {
    /// A pod.
    Pod(Box<Pod>),
    /// A replica set.
    ReplicaSet(Box<ReplicaSet>),
    /// A revision of a template.
    Revision(Box<ControllerRevision>),
    /// A claim for a volume.
    Claim(Box<PersistentVolumeClaim>),
    /// A job.
    Job(Box<Job>),
}

impl Object {
    /// Its kind.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Pod(_) => Kind::Pod,
            Self::ReplicaSet(_) => Kind::ReplicaSet,
            Self::Revision(_) => Kind::ControllerRevision,
            Self::Claim(_) => Kind::PersistentVolumeClaim,
            Self::Job(_) => Kind::Job,
        }
    }

    /// Its metadata.
    pub fn metadata(&self) -> &ObjectMeta {
        match self {
            Self::Pod(pod) => &pod.metadata,
            Self::ReplicaSet(set) => &set.metadata,
            Self::Revision(revision) => &revision.metadata,
            Self::Claim(claim) => &claim.metadata,
            Self::Job(job) => &job.metadata,
        }
    }
}

/// The kinds that plans create, change and delete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `v1`
    Pod,
    /// `apps/v1`
    ReplicaSet,
    /// `apps/v1`
    Deployment,
    /// `apps/v1`
    ControllerRevision,
    /// `v1`
    PersistentVolumeClaim,
    /// `batch/v1`
    Job,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// An object to change or to delete, in the namespace of the plan's own object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// It must have this UID.
    pub uid: String,
    /// It must have this version, if one is given.
    pub resource_version: Option<String>,
}

impl Target {
    /// The object with this metadata, whatever became of it since.
    pub(crate) fn any_version(kind: Kind, metadata: &ObjectMeta) -> Self {
        Self {
            kind,
            name: metadata.name.clone().unwrap_or_default(),
            uid: metadata.uid.clone().unwrap_or_default(),
            resource_version: None,
        }
    }

    /// The object with this metadata, as long as it stays as it is.
    pub(crate) fn unchanged(kind: Kind, metadata: &ObjectMeta) -> Self {
        Self {
            resource_version: metadata.resource_version.clone(),
            ..Self::any_version(kind, metadata)
        }
    }
}

/// What becomes of what a deleted object owns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Propagation {
    /// It goes afterwards.
    Background,
    /// It goes first.
    Foreground,
}

/// Something that people should know about the object that a plan is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Whether it is a `Warning`.
    pub is_warning: bool,
    /// One word for programs.
    pub reason: &'static str,
    /// A sentence for people.
    pub message: String,
}

impl Event {
    pub(crate) fn normal(reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            is_warning: false,
            reason,
            message: message.into(),
        }
    }

    pub(crate) fn warning(reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            is_warning: true,
            reason,
            message: message.into(),
        }
    }
}

/// Why carrying out the last plan for an object failed. A loop keeps it until a plan was carried out as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Whether something could not be created; otherwise something could not be deleted or changed.
    pub creating: bool,
    /// What the API answered.
    pub message: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn create() -> Action {
        Action::create_pod(Pod::default())
    }

    fn delete() -> Action {
        Action::delete_pod(&crate::Pod::default(), "for a test")
    }

    #[test]
    fn creations_start_slowly_and_deletions_go_together() {
        let event = Action::Event(Event::normal("Reason", "message"));
        let mut actions = vec![event.clone(), event];
        actions.extend((0..9).map(|_| create()));
        actions.extend((0..5).map(|_| delete()));
        actions.push(create());
        let plan: Plan<()> = Plan {
            actions,
            ..Plan::default()
        };
        let ranges: Vec<_> = plan.batches().into_iter().map(|b| b.actions).collect();
        assert_eq!(
            ranges,
            [0..1, 1..2, 2..3, 3..5, 5..9, 9..11, 11..16, 16..17]
        );
    }
}
