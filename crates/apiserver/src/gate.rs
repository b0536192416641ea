//! The API's identities and rights, for other doors of the same process: the registry asks here who comes to it and
//! what they may.

use std::sync::Arc;

use http::HeaderMap;
use jiff::Timestamp;
use mosaic_api::{Status, meta};
use mosaic_auth::{Attributes, User, authn::client_identity};
use serde_json::Value;
use tokio_rustls::rustls::{ServerConfig, pki_types::CertificateDer};

use crate::{app::App, identity::Certificate};

/// Who may come in by another door than the API's.
#[derive(Clone)]
pub struct Gate {
    app: Arc<App>,
    tls: Arc<ServerConfig>,
}

impl Gate {
    pub(crate) fn new(app: Arc<App>, tls: Arc<ServerConfig>) -> Self {
        Self { app, tls }
    }

    /// TLS as the API speaks it: with the same certificate, which is renewed, and asking for certificates of the
    /// same authority.
    pub fn tls(&self) -> Arc<ServerConfig> {
        self.tls.clone()
    }

    /// What a connection's client certificate is worth; found once a connection.
    pub fn certificate(&self, chain: &[CertificateDer<'static>]) -> Certificate {
        let now = Timestamp::now().as_second();
        Arc::new(client_identity(&self.app.identity.authority, chain, now))
    }

    /// Whose credential comes with a request. Besides what the API takes, a token may stand as the password of a
    /// user of any name (RFC 7617), and may be for one audience more.
    ///
    /// # Errors
    /// 401 for a credential that is wrong.
    pub fn authenticate(
        &self,
        certificate: Option<&Certificate>,
        headers: &HeaderMap,
        audience: &str,
    ) -> Result<Arc<User>, Status> {
        let identity = &self.app.identity;
        identity.authenticate_for(&self.app.cache, certificate, headers, audience)
    }

    /// Whether a user may do a verb with an object of the group `mosaic`.
    pub fn allows(
        &self,
        user: &User,
        verb: &str,
        resource: &str,
        namespace: &str,
        name: &str,
    ) -> bool {
        let attributes = Attributes {
            user,
            verb,
            group: "mosaic",
            resource,
            subresource: "",
            namespace,
            name,
            path: "",
            selected_node: None,
        };
        self.app.identity.authorizer.authorize(&attributes).allowed
    }

    /// A namespace as it is now; none if there is none, or it is being deleted.
    pub fn namespace(&self, name: &str) -> Option<Arc<Value>> {
        self.app
            .kept_object("", "Namespace", "", name)
            .filter(|namespace| !meta::is_being_deleted(namespace))
    }

    /// The objects of a core kind in a namespace.
    pub fn objects(&self, kind: &str, namespace: &str) -> Vec<Arc<Value>> {
        self.app.kept_objects("", kind, namespace)
    }
}
