//! Why a body cannot be read.

/// A body that is not the protobuf form of an object of a built-in kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProtobufError {
    /// The body does not start with the four bytes that all such bodies start with.
    #[error("the body does not start with the prefix of Kubernetes' protobuf")]
    Prefix,
    /// The body has more bytes than are read.
    #[error("the body is longer than {limit} bytes")]
    TooLong {
        /// The most bytes that are read.
        limit: usize,
    },
    /// The body holds more values than are read.
    #[error("the body holds more than {limit} values")]
    TooMany {
        /// The most values that are read.
        limit: usize,
    },
    /// Messages are nested deeper than is read.
    #[error("messages are nested more than {limit} deep")]
    TooDeep {
        /// The most levels that are read.
        limit: usize,
    },
    /// The bytes end within a field.
    #[error("unexpected end of the bytes")]
    Truncated,
    /// A varint has more than 64 bits.
    #[error("a varint has more than 64 bits")]
    Overflow,
    /// A field's tag is not one of the wire format's (groups are not read).
    #[error("illegal tag {tag:#x}")]
    Tag {
        /// The tag: number and wire type.
        tag: u64,
    },
    /// The envelope says that the object is compressed or of another media type.
    #[error("the object is encoded as {encoding:?}, which is not supported")]
    Encoding {
        /// What it says.
        encoding: String,
    },
    /// There is no built-in kind of that name.
    #[error("no kind {kind:?} is registered for version {api_version:?}")]
    UnknownKind {
        /// The API version, such as `apps/v1`.
        api_version: String,
        /// The kind.
        kind: String,
    },
    /// A field's bytes are not of the field's type.
    #[error("field {field:?}: {problem}")]
    Field {
        /// The field's name in JSON.
        field: String,
        /// What is wrong with it.
        problem: Problem,
    },
}

/// What is wrong with a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The field is written as another wire type than its own.
    #[error("wrong wire type")]
    WireType,
    /// A string is not UTF-8.
    #[error("not UTF-8 text")]
    Utf8,
    /// A time is not in the years 0 to 9999.
    #[error("not a time")]
    Time,
    /// A number is infinite or none.
    #[error("not a number that JSON has")]
    Number,
    /// Bytes that should be JSON are not.
    #[error("not JSON")]
    Json,
}
