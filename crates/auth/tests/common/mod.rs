//! What the tests of rights have in common.

use mosaic_auth::{Attributes, User};

/// What `verb group/resource[/subresource] [namespace] [name]` asks for, with `-` for nothing.
pub fn attributes<'a>(user: &'a User, request: &'a str) -> Attributes<'a> {
    let words: Vec<&str> = request
        .split(' ')
        .map(|word| if word == "-" { "" } else { word })
        .collect();
    let mut what = words[1].splitn(3, '/');
    let (group, resource) = (what.next().unwrap(), what.next().unwrap());
    Attributes {
        subresource: what.next().unwrap_or_default(),
        namespace: words.get(2).copied().unwrap_or_default(),
        name: words.get(3).copied().unwrap_or_default(),
        ..Attributes::resource(user, words[0], group, resource)
    }
}
