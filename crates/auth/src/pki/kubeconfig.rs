//! kubeconfig files.

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::Value;

use super::{Authority, IssuedCertificate, PkiError};
use crate::{groups, users};

/// How long the administrator's certificate holds.
const ADMIN_DAYS: u32 = 365;

/// What the user of a kubeconfig proves itself with.
pub enum KubeconfigUser<'a> {
    /// A client certificate.
    Certificate(&'a IssuedCertificate),
    /// A token.
    Token(&'a str),
}

/// A kubeconfig for the administrator (`kubernetes-admin` in `system:masters`), with a new client
/// certificate of one year inside. It is a secret: see [`write_private`](crate::write_private).
pub fn admin_kubeconfig(authority: &Authority, server_url: &str) -> Result<String, PkiError> {
    let certificate = authority.issue_client(users::ADMIN, &[groups::MASTERS], ADMIN_DAYS)?;
    Ok(kubeconfig(
        server_url,
        &authority.certificate_pem(),
        users::ADMIN,
        &KubeconfigUser::Certificate(&certificate),
    ))
}

/// A kubeconfig with one context, `mosaic`.
pub fn kubeconfig(
    server_url: &str,
    ca_pem: &str,
    user_name: &str,
    user: &KubeconfigUser<'_>,
) -> String {
    let base64 = |text: &str| BASE64_STANDARD.encode(text);
    // A JSON string is a YAML string.
    let quoted = |text: &str| Value::from(text).to_string();
    let credential = match user {
        KubeconfigUser::Certificate(certificate) => format!(
            "    client-certificate-data: {}\n    client-key-data: {}\n",
            base64(&certificate.certificate_pem()),
            base64(&certificate.key_pem()),
        ),
        KubeconfigUser::Token(token) => format!("    token: {}\n", quoted(token)),
    };
    format!(
        "apiVersion: v1\n\
         kind: Config\n\
         clusters:\n\
         - name: mosaic\n  \
           cluster:\n    \
             server: {server}\n    \
             certificate-authority-data: {ca}\n\
         users:\n\
         - name: {user}\n  \
           user:\n{credential}\
         contexts:\n\
         - name: mosaic\n  \
           context:\n    \
             cluster: mosaic\n    \
             user: {user}\n\
         current-context: mosaic\n\
         preferences: {{}}\n",
        server = quoted(server_url),
        ca = base64(ca_pem),
        user = quoted(user_name),
    )
}
