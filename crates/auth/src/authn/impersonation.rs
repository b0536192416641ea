//! Acting as somebody else, by `Impersonate-…` headers.

use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;

use crate::{Attributes, User, groups, user::split_service_account, users};

/// More headers than this are refused.
const MAX_HEADERS: usize = 256;
const AUTHENTICATION_GROUP: &str = "authentication.k8s.io";

/// Whom a request wants to act as.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Impersonation {
    name: String,
    uid: String,
    groups: Vec<String>,
    extra: BTreeMap<String, Vec<String>>,
}

/// Why impersonation headers are refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ImpersonationError {
    /// There are groups, a uid or extra values and no user.
    #[error("requested impersonation without impersonating a user")]
    NoUser,
    /// There are more headers than anyone needs.
    #[error("too many impersonation headers")]
    TooMany,
    /// A header is there twice that may be there once.
    #[error("the header {0} is given more than once")]
    Twice(&'static str),
}

/// A right that the impersonator must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImpersonationCheck {
    group: &'static str,
    resource: &'static str,
    subresource: String,
    namespace: String,
    name: String,
}

impl ImpersonationCheck {
    /// What to ask the authorizer about the impersonator.
    pub fn attributes<'a>(&'a self, impersonator: &'a User) -> Attributes<'a> {
        Attributes {
            subresource: &self.subresource,
            namespace: &self.namespace,
            name: &self.name,
            ..Attributes::resource(impersonator, "impersonate", self.group, self.resource)
        }
    }
}

impl Impersonation {
    /// Reads the headers of a request, names in any case; none if none is about impersonation.
    pub fn parse<'a>(
        headers: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Option<Self>, ImpersonationError> {
        let mut found = Self::default();
        let mut count = 0;
        for (name, value) in headers {
            let lower = name.to_ascii_lowercase();
            let Some(what) = lower.strip_prefix("impersonate-") else {
                continue;
            };
            let known = match what {
                "user" => set_once(&mut found.name, value, "Impersonate-User")?,
                "uid" => set_once(&mut found.uid, value, "Impersonate-Uid")?,
                "group" => {
                    found.groups.push(value.to_owned());
                    true
                }
                _ => match what.strip_prefix("extra-") {
                    Some(key) => {
                        // A key that is not UTF-8 after decoding is taken as it was written.
                        let key = percent_decode_str(key)
                            .decode_utf8()
                            .map_or_else(|_| key.to_owned(), |key| key.to_lowercase());
                        found.extra.entry(key).or_default().push(value.to_owned());
                        true
                    }
                    None => false,
                },
            };
            count += usize::from(known);
            if count > MAX_HEADERS {
                return Err(ImpersonationError::TooMany);
            }
        }
        if count == 0 {
            return Ok(None);
        }
        if found.name.is_empty() {
            return Err(ImpersonationError::NoUser);
        }
        Ok(Some(found))
    }

    /// The rights that the impersonator must have, every one of them.
    pub fn checks(&self) -> Vec<ImpersonationCheck> {
        let check = |group, resource, name: &str| ImpersonationCheck {
            group,
            resource,
            subresource: String::new(),
            namespace: String::new(),
            name: name.to_owned(),
        };
        let mut checks = vec![match split_service_account(&self.name) {
            Some((namespace, name)) => ImpersonationCheck {
                namespace: namespace.to_owned(),
                ..check("", "serviceaccounts", name)
            },
            None => check("", "users", &self.name),
        }];
        checks.extend(self.groups.iter().map(|group| check("", "groups", group)));
        if !self.uid.is_empty() {
            checks.push(check(AUTHENTICATION_GROUP, "uids", &self.uid));
        }
        for (key, values) in &self.extra {
            checks.extend(values.iter().map(|value| ImpersonationCheck {
                subresource: key.clone(),
                ..check(AUTHENTICATION_GROUP, "userextras", value)
            }));
        }
        checks
    }

    /// The user that the request goes on as.
    pub fn user(&self) -> User {
        let mut user = User {
            name: self.name.clone(),
            uid: self.uid.clone(),
            groups: self.groups.clone(),
            extra: self.extra.clone(),
        };
        if let (Some((namespace, name)), true) =
            (split_service_account(&self.name), self.groups.is_empty())
        {
            user.groups = User::service_account(namespace, name).groups;
        }
        let implied = if self.name == users::ANONYMOUS {
            groups::UNAUTHENTICATED
        } else {
            groups::AUTHENTICATED
        };
        if !user.in_group(groups::AUTHENTICATED) && !user.in_group(groups::UNAUTHENTICATED) {
            user.groups.push(implied.to_owned());
        }
        user
    }
}

fn set_once(
    field: &mut String,
    value: &str,
    header: &'static str,
) -> Result<bool, ImpersonationError> {
    if !field.is_empty() {
        return Err(ImpersonationError::Twice(header));
    }
    value.clone_into(field);
    Ok(true)
}
