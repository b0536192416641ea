//! What stands around an object: a prefix, and a message that tells the object's kind.

use crate::{MEDIA_TYPE, ProtobufError, scalar, wire::Reader};

const PREFIX: &[u8] = b"k8s\0";

/// `runtime.Unknown`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Envelope<'a> {
    pub(crate) api_version: &'a str,
    pub(crate) kind: &'a str,
    /// The object's own message.
    pub(crate) raw: &'a [u8],
}

pub(crate) fn read(bytes: &[u8]) -> Result<Envelope<'_>, ProtobufError> {
    let message = bytes.strip_prefix(PREFIX).ok_or(ProtobufError::Prefix)?;
    let mut envelope = Envelope::default();
    let mut reader = Reader::new(message);
    while let Some((number, wire)) = reader.next()? {
        match number {
            1 => {
                let mut meta = Reader::new(scalar::bytes("typeMeta", wire)?);
                while let Some((number, wire)) = meta.next()? {
                    match number {
                        1 => envelope.api_version = scalar::text("apiVersion", wire)?,
                        2 => envelope.kind = scalar::text("kind", wire)?,
                        _ => {}
                    }
                }
            }
            2 => envelope.raw = scalar::bytes("raw", wire)?,
            3 => refuse_unless(&[""], scalar::text("contentEncoding", wire)?)?,
            4 => refuse_unless(&["", MEDIA_TYPE], scalar::text("contentType", wire)?)?,
            _ => {}
        }
    }
    Ok(envelope)
}

fn refuse_unless(supported: &[&str], encoding: &str) -> Result<(), ProtobufError> {
    if supported.contains(&encoding) {
        return Ok(());
    }
    Err(ProtobufError::Encoding {
        encoding: encoding.chars().take(64).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_envelope_tells_the_kind() {
        let bytes = b"k8s\0\x0a\x0f\x0a\x02v1\x12\x09Namespace\x12\x02\x0a\x00\x1a\x00\x22\x00";
        assert_eq!(
            read(bytes).unwrap(),
            Envelope {
                api_version: "v1",
                kind: "Namespace",
                raw: b"\x0a\x00",
            }
        );
        assert_eq!(read(b"k8s\0").unwrap(), Envelope::default());
    }

    #[test]
    fn other_encodings_are_refused() {
        assert_eq!(read(b"{}"), Err(ProtobufError::Prefix));
        let encoding = "gzip".to_owned();
        assert_eq!(
            read(b"k8s\0\x1a\x04gzip"),
            Err(ProtobufError::Encoding { encoding })
        );
    }
}
