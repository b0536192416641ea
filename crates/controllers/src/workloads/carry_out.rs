//! Plans become writes.

use std::sync::Arc;

use futures::{StreamExt, future::BoxFuture, stream};
use k8s_openapi::{
    Metadata, NamespaceResourceScope,
    api::{
        apps::v1::{ControllerRevision, Deployment, ReplicaSet},
        batch::v1::Job,
        core::v1::{ObjectReference, PersistentVolumeClaim, Pod},
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{
    Client, Resource,
    api::{
        DeleteParams, GetParams, Patch, PatchParams, PostParams, Preconditions, PropagationPolicy,
    },
    core::{Request, Status},
};
use mosaic_workloads::{
    Action, Change, Event, Failure, Kind, Object, Plan, Target, plan::Propagation,
};
use serde::Serialize;
use serde_json::{Value, json};

use super::{Caches, Pending};
use crate::{
    error::{Absent, Error, code},
    events::{self, Events},
    informer::{Key, controller_of},
    views::MetadataView,
};

/// How many actions of one plan are under way at the same time.
const CONCURRENCY: usize = 64;

/// Why a plan could not be carried out as a whole.
#[derive(Debug)]
pub(super) struct Failed {
    creating: bool,
    error: Error,
}

impl Failed {
    fn new(action: Option<&Action>, error: impl Into<Error>) -> Self {
        Self {
            creating: matches!(action, Some(Action::Create { .. })),
            error: error.into(),
        }
    }

    fn refusal(&self) -> Option<&Status> {
        match &self.error {
            Error::Api(kube::Error::Api(status)) => Some(status),
            _ => None,
        }
    }

    /// Whether the namespace is being deleted, so that nothing can be created in it.
    pub(super) fn namespace_goes(&self) -> bool {
        let details = self.refusal().and_then(|status| status.details.as_ref());
        let causes = details.map(|details| details.causes.as_slice());
        causes
            .unwrap_or_default()
            .iter()
            .any(|cause| cause.reason == "NamespaceTerminating")
    }

    /// What people and the next plan should know of it: that somebody else wrote at the same time is nothing to tell.
    pub(super) fn failure(&self) -> Option<Failure> {
        (!self.error.is_conflict()).then(|| Failure {
            creating: self.creating,
            message: self.message(),
        })
    }

    /// Whether the API would not have a child created: to ask again at once is of no use.
    pub(super) fn is_refused_creation(&self) -> bool {
        let refused = |status: &Status| (400..500).contains(&status.code) && status.code != 429;
        self.creating && !self.error.is_conflict() && self.refusal().is_some_and(refused)
    }

    /// What was answered.
    pub(super) fn message(&self) -> String {
        match self.refusal() {
            Some(status) => status.message.clone(),
            None => self.error.to_string(),
        }
    }

    /// Whether it may have been done all the same: there was no answer, or none that says.
    fn may_be_done(&self) -> bool {
        match &self.error {
            Error::Api(error) => code(error).is_none_or(|code| code >= 500),
            Error::Other(_) => false,
        }
    }
}

impl From<Failed> for Error {
    fn from(failed: Failed) -> Self {
        failed.error
    }
}

/// What carrying out a plan has left to wait for.
#[derive(Debug, Default)]
pub(super) struct Done {
    /// Writes to children.
    pub(super) pending: Pending,
    /// The version of the object itself if it was written; none in it if nobody knows.
    pub(super) version: Option<Option<String>>,
    /// Names of children that are there already and belong to others.
    pub(super) taken: Vec<(Kind, Key)>,
    /// Whether something was to be created, and was not as creations rest.
    pub(super) held: bool,
}

/// What one action has done.
enum Effect {
    Nothing,
    Wrote(Kind, Box<MetadataView>),
    Deleted(Target),
    Taken(Kind, String),
}

/// Carries out a plan for one object.
pub(super) struct CarryOut<'a, O> {
    client: &'a Client,
    caches: &'a Caches,
    events: &'a Events,
    object: &'a O,
    /// Names of children of which earlier plans have found that others have them.
    taken: &'a [(Kind, Key)],
    /// Whether nothing is created, as it was refused a moment ago.
    rests: bool,
    done: Done,
}

impl<'a, O> CarryOut<'a, O>
where
    O: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + k8s_openapi::Resource
        + Metadata<Ty = ObjectMeta>
        + Sync,
{
    pub(super) fn new(
        client: &'a Client,
        caches: &'a Caches,
        events: &'a Events,
        object: &'a O,
        taken: &'a [(Kind, Key)],
        rests: bool,
    ) -> Self {
        Self {
            client,
            caches,
            events,
            object,
            taken,
            rests,
            done: Done::default(),
        }
    }

    /// What there is to wait for.
    pub(super) fn done(self) -> Done {
        self.done
    }

    /// Carries out the actions up to the first that fails, and writes the status.
    pub(super) async fn carry_out<S: Serialize>(&mut self, plan: &Plan<S>) -> Result<(), Failed> {
        let acted = self.act(plan).await;
        if let Err(failed) = &acted
            && (plan.status_needs_success || failed.namespace_goes())
        {
            return acted;
        }
        if self.done.held && plan.status_needs_success {
            return acted;
        }
        let written = match &plan.status {
            Some(status) => self.write_status(status).await,
            None => Ok(()),
        };
        acted.and(written)
    }

    async fn act<S>(&mut self, plan: &Plan<S>) -> Result<(), Failed> {
        self.may_adopt(plan).await?;
        for batch in plan.batches() {
            let actions = plan.actions.get(batch.actions).unwrap_or_default();
            let creates = |action: &Action| matches!(action, Action::Create { .. });
            if self.rests && actions.iter().any(creates) {
                self.done.held = true;
                return Ok(());
            }
            let mut results = Vec::with_capacity(actions.len());
            {
                let mut running = Vec::with_capacity(actions.len());
                for action in actions {
                    running.push(self.one(action));
                }
                let mut running = stream::iter(running).buffer_unordered(CONCURRENCY);
                while let Some(result) = running.next().await {
                    results.push(result);
                }
            }
            let mut first = None;
            for (action, result) in results {
                match result {
                    Ok(effect) => self.note(action, effect),
                    Err(failed) => {
                        self.note_failure(action, &failed, first.is_none());
                        first.get_or_insert(failed);
                    }
                }
            }
            if let Some(failed) = first {
                return Err(failed);
            }
        }
        Ok(())
    }

    /// An object adopts only while it is there and stays: what is in memory may be old, and a child adopted by an owner
    /// that is gone would be taken for garbage.
    async fn may_adopt<S>(&self, plan: &Plan<S>) -> Result<(), Failed> {
        let adoption = plan.actions.iter().find(|action| {
            matches!(
                action,
                Action::Patch {
                    change: Change::Adopt { .. },
                    ..
                }
            )
        });
        let Some(adoption) = adoption else {
            return Ok(());
        };
        let failed = |error: Error| Failed::new(Some(adoption), error);
        let url = O::url_path(&(), self.namespace());
        let request = Request::new(url).get(self.name(), &GetParams::default());
        let request = request.map_err(|error| failed(kube::Error::BuildRequest(error).into()))?;
        let answer = self.client.request::<MetadataView>(request).await;
        let now = answer.or_absent().map_err(failed)?;
        let stays = now.is_some_and(|now| {
            now.metadata.uid == self.metadata().uid && now.metadata.deletion_timestamp.is_none()
        });
        if stays {
            Ok(())
        } else {
            let text = format!(
                "{} {} goes: it adopts nothing any more",
                O::KIND,
                self.name()
            );
            Err(failed(Error::Other(text)))
        }
    }

    fn metadata(&self) -> &'a ObjectMeta {
        Metadata::metadata(self.object)
    }

    fn name(&self) -> &'a str {
        self.metadata().name.as_deref().unwrap_or_default()
    }

    fn namespace(&self) -> Option<&'a str> {
        self.metadata().namespace.as_deref()
    }

    fn about(&self) -> ObjectReference {
        events::about(O::API_VERSION, O::KIND, self.metadata())
    }

    fn tell(&self, event: &Event, action: &Action) {
        let (about, note) = (self.about(), event.message.clone());
        let related = related(action, self.namespace());
        self.events
            .tell_of(event.is_warning, about, related, event.reason, note);
    }

    fn note(&mut self, action: &Action, effect: Effect) {
        match effect {
            Effect::Taken(kind, name) => {
                let namespace = self.namespace().unwrap_or_default();
                let key = (Arc::from(namespace), Arc::from(name));
                self.done.taken.push((kind, key));
                return;
            }
            Effect::Nothing => {}
            Effect::Wrote(kind, written) => {
                let version = written.metadata.resource_version;
                if written.metadata.uid == self.metadata().uid {
                    self.done.version = Some(version.clone());
                }
                let fence = self.caches.fence(kind, version.as_deref());
                self.done.pending.wrote(kind, fence);
            }
            Effect::Deleted(target) => {
                let namespace = self.namespace().unwrap_or_default();
                let key = (Arc::from(namespace), Arc::from(target.name.as_str()));
                self.done.pending.deleted(target.kind, key, target.uid);
            }
        }
        if let Some(event) = action.succeeded() {
            self.tell(event, action);
        }
    }

    fn note_failure(&mut self, action: &Action, failed: &Failed, first: bool) {
        if failed.may_be_done()
            && let Some(kind) = kind_of(action)
        {
            let fence = self.caches.fence(kind, None);
            self.done.pending.wrote(kind, fence);
        }
        // What fails together fails for the same reason: told once.
        if !first || failed.error.is_conflict() || failed.namespace_goes() {
            return;
        }
        if let Some(event) = action.failed(&failed.message()) {
            let (about, note) = (self.about(), event.message);
            // Told once for all that failed for the same reason.
            self.events.tell_of(true, about, None, event.reason, note);
        }
    }

    fn one<'s, 'p: 's>(
        &'s self,
        action: &'p Action,
    ) -> BoxFuture<'s, (&'p Action, Result<Effect, Failed>)> {
        Box::pin(async move {
            let result = match action {
                Action::Event(_) => Ok(Effect::Nothing),
                Action::Create { object, .. } => self.create(object).await,
                Action::Delete {
                    target,
                    propagation,
                    ..
                } => self.delete(target, *propagation).await,
                Action::Patch { target, change, .. } => self.patch(target, change).await,
            };
            (
                action,
                result.map_err(|error| Failed::new(Some(action), error)),
            )
        })
    }

    async fn create(&self, object: &Object) -> Result<Effect, Error> {
        let kind = object.kind();
        let data = match object {
            Object::Pod(pod) => serde_json::to_vec(pod),
            Object::ReplicaSet(set) => serde_json::to_vec(set),
            Object::Revision(revision) => serde_json::to_vec(revision),
            Object::Claim(claim) => serde_json::to_vec(claim),
            Object::Job(job) => serde_json::to_vec(job),
        };
        let data = data.map_err(kube::Error::SerdeError)?;
        let url = url_of(kind, self.namespace());
        let request = Request::new(url)
            .create(&PostParams::default(), data)
            .map_err(kube::Error::BuildRequest)?;
        match self.client.request::<MetadataView>(request).await {
            Ok(created) => Ok(Effect::Wrote(kind, Box::new(created))),
            Err(error) if is_already_there(&error) => {
                let name = object.metadata().name.as_deref().unwrap_or_default();
                self.is_ours(kind, name).await
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Whether what is there already is what was to be created: an earlier plan's creation that got no answer.
    async fn is_ours(&self, kind: Kind, name: &str) -> Result<Effect, Error> {
        let request = Request::new(url_of(kind, self.namespace()))
            .get(name, &GetParams::default())
            .map_err(kube::Error::BuildRequest)?;
        let Some(found) = self
            .client
            .request::<MetadataView>(request)
            .await
            .or_absent()?
        else {
            // It was there a moment ago: the next plan sees what is there then.
            return Ok(Effect::Taken(kind, name.to_owned()));
        };
        let owner = controller_of(&found.metadata).map(|owner| owner.uid.as_str());
        // Nobody controls claims: they outlive their sets.
        if kind == Kind::PersistentVolumeClaim || owner == self.metadata().uid.as_deref() {
            return Ok(Effect::Wrote(kind, Box::new(found)));
        }
        // The next plan chooses another name. One that has no other, as that of a StatefulSet's pod, has failed.
        let is_known = |(of, key): &(Kind, Key)| *of == kind && &*key.1 == name;
        if (kind == Kind::Pod || kind == Kind::Job) && self.taken.iter().any(is_known) {
            let text = format!("{kind} {name} is there already and belongs to somebody else");
            return Err(Error::Other(text));
        }
        Ok(Effect::Taken(kind, name.to_owned()))
    }

    async fn delete(&self, target: &Target, propagation: Propagation) -> Result<Effect, Error> {
        let params = DeleteParams {
            preconditions: Some(Preconditions {
                uid: Some(target.uid.clone()),
                resource_version: target.resource_version.clone(),
            }),
            propagation_policy: Some(match propagation {
                Propagation::Background => PropagationPolicy::Background,
                Propagation::Foreground => PropagationPolicy::Foreground,
            }),
            ..DeleteParams::default()
        };
        let request = Request::new(url_of(target.kind, self.namespace()))
            .delete(&target.name, &params)
            .map_err(kube::Error::BuildRequest)?;
        // The answer is the object or a status.
        let answer = self.client.request::<serde::de::IgnoredAny>(request).await;
        match answer.or_absent() {
            Ok(_) => Ok(Effect::Deleted(target.clone())),
            // Another one has its name: this one is gone.
            Err(error) if error.is_conflict() && target.resource_version.is_none() => {
                Ok(Effect::Deleted(target.clone()))
            }
            Err(error) => Err(error),
        }
    }

    async fn patch(&self, target: &Target, change: &Change) -> Result<Effect, Error> {
        let patch = Patch::Strategic(change.patch(target));
        let request = Request::new(url_of(target.kind, self.namespace()))
            .patch(&target.name, &PatchParams::default(), &patch)
            .map_err(kube::Error::BuildRequest)?;
        let patched = self.client.request::<MetadataView>(request).await;
        match patched {
            Ok(patched) => Ok(Effect::Wrote(target.kind, Box::new(patched))),
            // What was to be let go is gone.
            Err(error) if code(&error) == Some(404) && !matches!(change, Change::Adopt { .. }) => {
                Ok(Effect::Nothing)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Writes the status for the version that the plan was made from, or that it has led to.
    async fn write_status(&mut self, status: &impl Serialize) -> Result<(), Failed> {
        let failed = |error: kube::Error| Failed::new(None, error);
        let mut status =
            serde_json::to_value(status).map_err(|error| failed(kube::Error::SerdeError(error)))?;
        if let Some(fields) = status.as_object_mut() {
            // Fields that are no longer there go, too.
            fields.insert("$patch".to_owned(), Value::from("replace"));
        }
        let version = match &self.done.version {
            Some(version) => version.clone(),
            None => self.metadata().resource_version.clone(),
        };
        let patch = json!({
            "metadata": { "uid": self.metadata().uid, "resourceVersion": version },
            "status": status,
        });
        let request = Request::new(O::url_path(&(), self.namespace()))
            .patch_subresource(
                "status",
                self.name(),
                &PatchParams::default(),
                &Patch::Strategic(patch),
            )
            .map_err(|error| failed(kube::Error::BuildRequest(error)))?;
        match self.client.request::<MetadataView>(request).await {
            Ok(written) => {
                self.done.version = Some(written.metadata.resource_version);
                Ok(())
            }
            Err(error) if code(&error) == Some(404) => Ok(()),
            Err(error) => {
                let failed = failed(error);
                if failed.may_be_done() {
                    self.done.version = Some(None);
                }
                Err(failed)
            }
        }
    }
}

/// The object that an action was about.
fn related(action: &Action, namespace: Option<&str>) -> Option<ObjectReference> {
    let (kind, name) = match action {
        Action::Create { object, .. } => (object.kind(), object.metadata().name.clone()),
        Action::Delete { target, .. } => (target.kind, Some(target.name.clone())),
        Action::Patch { .. } | Action::Event(_) => return None,
    };
    Some(ObjectReference {
        kind: Some(kind.to_string()),
        namespace: namespace.map(str::to_owned),
        name,
        ..ObjectReference::default()
    })
}

fn kind_of(action: &Action) -> Option<Kind> {
    match action {
        Action::Create { object, .. } => Some(object.kind()),
        Action::Delete { target, .. } | Action::Patch { target, .. } => Some(target.kind),
        Action::Event(_) => None,
    }
}

fn url_of(kind: Kind, namespace: Option<&str>) -> String {
    match kind {
        Kind::Pod => Pod::url_path(&(), namespace),
        Kind::ReplicaSet => ReplicaSet::url_path(&(), namespace),
        Kind::Deployment => Deployment::url_path(&(), namespace),
        Kind::ControllerRevision => ControllerRevision::url_path(&(), namespace),
        Kind::PersistentVolumeClaim => PersistentVolumeClaim::url_path(&(), namespace),
        Kind::Job => Job::url_path(&(), namespace),
    }
}

fn is_already_there(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.reason == "AlreadyExists")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: u16, reason: &str, cause: Option<&str>) -> Failed {
        let status = serde_json::from_value(json!({
            "kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": "no",
            "details": { "causes": cause.map(|reason| json!([{ "reason": reason }])).unwrap_or(json!([])) },
        }));
        Failed::new(None, kube::Error::Api(Box::new(status.unwrap())))
    }

    #[test]
    fn only_what_is_wrong_is_told() {
        let quota = refused(403, "Forbidden", None);
        assert!(!quota.namespace_goes() && !quota.may_be_done());
        let failure = quota.failure().unwrap();
        assert_eq!((failure.creating, failure.message.as_str()), (false, "no"));
        assert!(refused(403, "Forbidden", Some("NamespaceTerminating")).namespace_goes());
        assert_eq!(refused(409, "Conflict", None).failure(), None);
        assert!(refused(504, "Timeout", None).may_be_done());
    }
}
