//! What an error of etcd means for the call that got it.

use etcd_client::Error;

/// What is known after a failed call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The member did not take the call: another member, or the same a little later, may.
    NotTaken(String),
    /// The call may have been carried out, or not.
    Unknown(String),
    /// The revision asked for has been compacted.
    Compacted,
    /// The revision asked for has not been reached.
    Future,
    /// The space quota is used up.
    NoSpace(String),
    /// The answer is larger than is accepted.
    TooLarge(String),
    /// The call was refused for good.
    Refused(String),
}

impl Fault {
    pub(crate) fn text(&self) -> String {
        match self {
            Fault::NotTaken(text)
            | Fault::Unknown(text)
            | Fault::NoSpace(text)
            | Fault::TooLarge(text)
            | Fault::Refused(text) => text.clone(),
            Fault::Compacted => "the revision has been compacted".into(),
            Fault::Future => "the revision is in the future".into(),
        }
    }
}

pub(crate) fn fault(error: &Error) -> Fault {
    match error {
        Error::GRpcStatus(status) => {
            let refused = connection_refused(status);
            of_status(i32::from(status.code()), status.message(), refused)
        }
        Error::TransportError(_) | Error::IoError(_) | Error::WatchError(_) => {
            Fault::Unknown(error.to_string())
        }
        _ => Fault::Refused(error.to_string()),
    }
}

/// gRPC's numbers of the codes that matter here.
mod code {
    pub(super) const CANCELLED: i32 = 1;
    pub(super) const UNKNOWN: i32 = 2;
    pub(super) const INVALID_ARGUMENT: i32 = 3;
    pub(super) const DEADLINE_EXCEEDED: i32 = 4;
    pub(super) const RESOURCE_EXHAUSTED: i32 = 8;
    pub(super) const OUT_OF_RANGE: i32 = 11;
    pub(super) const INTERNAL: i32 = 13;
    pub(super) const UNAVAILABLE: i32 = 14;
}

fn of_status(number: i32, message: &str, connection_refused: bool) -> Fault {
    let text = message.to_owned();
    match number {
        code::OUT_OF_RANGE if message.contains("compacted") => Fault::Compacted,
        code::OUT_OF_RANGE if message.contains("future revision") => Fault::Future,
        code::OUT_OF_RANGE if message.contains("too large") => Fault::TooLarge(text),
        code::RESOURCE_EXHAUSTED if message.contains("space exceeded") => Fault::NoSpace(text),
        code::RESOURCE_EXHAUSTED if message.contains("too many requests") => Fault::NotTaken(text),
        code::RESOURCE_EXHAUSTED if message.contains("larger than max") => Fault::TooLarge(text),
        code::INVALID_ARGUMENT if message.contains("too large") => {
            Fault::TooLarge("it takes requests of up to its --max-request-bytes".into())
        }
        // A member without a leader turns calls away before it proposes them.
        code::UNAVAILABLE if connection_refused || message == "etcdserver: no leader" => {
            Fault::NotTaken(text)
        }
        code::CANCELLED
        | code::UNKNOWN
        | code::DEADLINE_EXCEEDED
        | code::INTERNAL
        | code::UNAVAILABLE => Fault::Unknown(text),
        _ => Fault::Refused(text),
    }
}

/// Whether the connection was never made, so that the call cannot have been sent.
fn connection_refused(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut error = Some(error);
    while let Some(cause) = error {
        if let Some(io) = cause.downcast_ref::<std::io::Error>()
            && io.kind() == std::io::ErrorKind::ConnectionRefused
        {
            return true;
        }
        error = cause.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_surely_not_carried_out_may_be_tried_again() {
        assert_eq!(
            of_status(code::UNAVAILABLE, "etcdserver: no leader", false),
            Fault::NotTaken("etcdserver: no leader".into())
        );
        assert!(matches!(
            of_status(code::UNAVAILABLE, "tcp connect error", true),
            Fault::NotTaken(_)
        ));
        for message in [
            "etcdserver: request timed out",
            "etcdserver: request timed out, possibly due to previous leader failure",
            "transport error",
        ] {
            assert!(matches!(
                of_status(code::UNAVAILABLE, message, false),
                Fault::Unknown(_)
            ));
        }
    }

    #[test]
    fn etcd_tells_what_it_no_longer_has_and_what_it_has_no_room_for() {
        let out_of_range = |message| of_status(code::OUT_OF_RANGE, message, false);
        assert_eq!(
            out_of_range("etcdserver: mvcc: required revision has been compacted"),
            Fault::Compacted
        );
        assert_eq!(
            out_of_range("etcdserver: mvcc: required revision is a future revision"),
            Fault::Future
        );
        assert!(matches!(
            of_status(
                code::RESOURCE_EXHAUSTED,
                "etcdserver: mvcc: database space exceeded",
                false
            ),
            Fault::NoSpace(_)
        ));
        assert!(matches!(
            of_status(3, "etcdserver: request is too large", false),
            Fault::TooLarge(_)
        ));
    }
}
