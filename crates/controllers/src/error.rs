//! Why a reconciliation failed, and what to make of it.

use kube::Error as ClientError;

/// Why a reconciliation failed; it is tried again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The API refused or could not be reached.
    #[error("{}", describe(.0))]
    Api(#[from] ClientError),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

impl Error {
    /// Whether somebody else wrote at the same time: nothing to tell anyone about.
    pub(crate) fn is_conflict(&self) -> bool {
        matches!(self, Self::Api(error) if code(error) == Some(409))
    }
}

/// The result of a step.
pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

/// The HTTP status code of the API's answer, if there was one.
pub(crate) fn code(error: &ClientError) -> Option<u16> {
    match error {
        ClientError::Api(status) => Some(status.code),
        _ => None,
    }
}

fn describe(error: &ClientError) -> String {
    match error {
        ClientError::Api(status) => format!("{} ({})", status.message, status.code),
        other => other.to_string(),
    }
}

/// Answers that mean that the object is not there.
pub(crate) trait Absent<T> {
    /// Nothing, if the object (or its kind) is not there.
    fn or_absent(self) -> Result<Option<T>>;
}

impl<T> Absent<T> for Result<T, ClientError> {
    fn or_absent(self) -> Result<Option<T>> {
        match self {
            Ok(value) => Ok(Some(value)),
            Err(error) if code(&error) == Some(404) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}
