//! Carries out what was planned.

use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::{
    api::{core::v1::Endpoints, discovery::v1::EndpointSlice},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{
    Api,
    api::{DeleteParams, PostParams, Preconditions},
};

use super::{
    ledger::{Object, Versions},
    legacy, slices,
    triggers::version,
};
use crate::{
    context::Context,
    error::{Absent, Result},
    service_accounts::is_terminating,
};

/// How many slices of a service are written at the same time.
const CONCURRENCY: usize = 16;

/// Writes slices, and notes the versions that they have then.
pub(super) async fn slices(
    context: &Context,
    namespace: &str,
    actions: Vec<slices::Action>,
    versions: &mut Versions,
) -> Result<()> {
    let api: Api<EndpointSlice> = Api::namespaced(context.client.clone(), namespace);
    let mut actions = actions.into_iter().peekable();
    while let Some(turn) = actions.peek().map(slices::Action::turn) {
        let mut same_turn = Vec::new();
        while let Some(action) = actions.next_if(|action| action.turn() == turn) {
            same_turn.push(write_slice(&api, action));
        }
        let written: Vec<_> = stream::iter(same_turn)
            .buffer_unordered(CONCURRENCY)
            .try_collect()
            .await?;
        for (name, version) in written.into_iter().flatten() {
            note(versions, Object::Slice(name), version);
        }
    }
    Ok(())
}

async fn write_slice(
    api: &Api<EndpointSlice>,
    action: slices::Action,
) -> Result<Option<(String, Option<u64>)>> {
    let written = match action {
        slices::Action::Create(slice) => {
            unless_terminating(api.create(&PostParams::default(), &slice).await)?
        }
        slices::Action::Update { slice, .. } => {
            let name = slice.metadata.name.clone().unwrap_or_default();
            Some(api.replace(&name, &PostParams::default(), &slice).await?)
        }
        slices::Action::Delete(metadata) => {
            let name = metadata.name.clone().unwrap_or_default();
            api.delete(&name, &this_version(&metadata))
                .await
                .or_absent()?;
            return Ok(Some((name, None)));
        }
    };
    Ok(written.map(|slice| {
        let at = version(&slice.metadata);
        (slice.metadata.name.unwrap_or_default(), Some(at))
    }))
}

/// Writes `Endpoints`, and notes the version that they have then.
pub(super) async fn endpoints(
    context: &Context,
    namespace: &str,
    action: Option<legacy::Action>,
    versions: &mut Versions,
) -> Result<()> {
    let api: Api<Endpoints> = Api::namespaced(context.client.clone(), namespace);
    let written = match action {
        None => return Ok(()),
        Some(legacy::Action::Create(endpoints)) => {
            unless_terminating(api.create(&PostParams::default(), &endpoints).await)?
        }
        Some(legacy::Action::Update(endpoints)) => {
            let name = endpoints.metadata.name.clone().unwrap_or_default();
            Some(
                api.replace(&name, &PostParams::default(), &endpoints)
                    .await?,
            )
        }
        Some(legacy::Action::Delete(metadata)) => {
            let name = metadata.name.clone().unwrap_or_default();
            api.delete(&name, &this_version(&metadata))
                .await
                .or_absent()?;
            None
        }
    };
    let version = written.map(|endpoints| version(&endpoints.metadata));
    note(versions, Object::Endpoints, version);
    Ok(())
}

fn note(versions: &mut Versions, object: Object, version: Option<u64>) {
    match version {
        Some(version) => versions.insert(object, version),
        None => versions.remove(&object),
    };
}

/// In a namespace that is on its way out nothing can be made, and nothing is needed.
fn unless_terminating<T>(result: Result<T, kube::Error>) -> Result<Option<T>> {
    match result {
        Ok(made) => Ok(Some(made)),
        Err(error) if is_terminating(&error) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Deletes the version that was planned for, and no other.
fn this_version(metadata: &ObjectMeta) -> DeleteParams {
    DeleteParams::default().preconditions(Preconditions {
        uid: metadata.uid.clone(),
        resource_version: metadata.resource_version.clone(),
    })
}
