//! Where in an object a walk stands. Kept on the stack, and made into text only for a message.

use std::fmt;

/// A place in an object.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Path<'a> {
    /// The object itself.
    Root,
    /// A field of an object with known fields.
    Field(&'a Path<'a>, &'a str),
    /// An item of a list.
    Index(&'a Path<'a>, usize),
}

impl Path<'_> {
    /// The fields' names without indexes, as Go's decoder tells them.
    pub(crate) fn fields(&self) -> String {
        match self {
            Self::Root => String::new(),
            Self::Index(parent, _) => parent.fields(),
            Self::Field(parent, name) => {
                let mut text = parent.fields();
                if !text.is_empty() {
                    text.push('.');
                }
                text.push_str(name);
                text
            }
        }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Field(Self::Root, name) => f.write_str(name),
            Self::Field(parent, name) => write!(f, "{parent}.{name}"),
            Self::Index(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_read_as_kubernetes_writes_them() {
        let spec = Path::Field(&Path::Root, "spec");
        let containers = Path::Field(&spec, "containers");
        let first = Path::Index(&containers, 0);
        let limits = Path::Field(&first, "limits");
        assert_eq!(limits.to_string(), "spec.containers[0].limits");
        assert_eq!(limits.fields(), "spec.containers.limits");
    }
}
