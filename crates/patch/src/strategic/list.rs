//! Merging of lists.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use super::{FieldRule, PATCH, item_type, malformed, merge_object, unknown_directive};
use crate::PatchError;

/// What tells two items of a list apart.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Identity(String);

impl Identity {
    fn of_value(value: &Value) -> Self {
        Self(value.to_string())
    }
}

/// How the items of a list are told apart.
enum Items<'a> {
    /// Objects, by this field.
    Keyed(&'a str),
    /// Scalars, by what they are.
    Scalars,
}

impl Items<'_> {
    fn identity(&self, item: &Value) -> Result<Identity, PatchError> {
        match self {
            Self::Scalars => Ok(Identity::of_value(item)),
            Self::Keyed(key) => match item.get(key) {
                Some(value) => Ok(Identity::of_value(value)),
                None => Err(no_merge_key(item, key)),
            },
        }
    }

    fn identities(&self, items: &[Value]) -> Result<Vec<Identity>, PatchError> {
        items.iter().map(|item| self.identity(item)).collect()
    }
}

/// Finds out what a list's items are. All must be of one kind.
fn kind_of<'rule, 'list>(
    mut items: impl Iterator<Item = &'list Value>,
    rule: &'rule FieldRule<'_>,
) -> Result<Option<Items<'rule>>, PatchError> {
    let Some(first) = items.next() else {
        return Ok(None);
    };
    if first.is_array() {
        return Err(PatchError::Inapplicable(
            "lists of lists are not supported".to_owned(),
        ));
    }
    let kind = std::mem::discriminant(first);
    if items.any(|item| std::mem::discriminant(item) != kind) {
        return Err(PatchError::Inapplicable(
            "list element types are not identical".to_owned(),
        ));
    }
    if !first.is_object() {
        return Ok(Some(Items::Scalars));
    }
    match rule.patch.merge_key.as_deref() {
        Some(key) => Ok(Some(Items::Keyed(key))),
        None => Err(PatchError::Inapplicable(
            "cannot merge lists without merge key".to_owned(),
        )),
    }
}

/// Merges the patch's items into a list and orders the result: the patch's items as the patch has them,
/// the others as they were, interleaved by where they were.
pub(super) fn merge(
    original: Vec<Value>,
    patch: Vec<Value>,
    rule: &FieldRule<'_>,
    depth: usize,
) -> Result<Vec<Value>, PatchError> {
    let Some(items) = kind_of(original.iter().chain(&patch), rule)? else {
        return Ok(original);
    };
    let Change { original, patch } = split_directives(original, patch, &items)?;
    let patch_order = items.identities(&patch)?;
    let before = items.identities(&original)?;
    let merged = merge_items(original, patch, &items, rule, depth)?;
    arrange(merged, &items, &patch_order, &before)
}

/// Merges as [`merge`] does, but the order of the patch's items is given.
pub(super) fn merge_in_order(
    original: Vec<Value>,
    patch: Option<Vec<Value>>,
    order: &[Value],
    rule: &FieldRule<'_>,
    depth: usize,
) -> Result<Vec<Value>, PatchError> {
    let patch = patch.unwrap_or_default();
    if !rule.patch.merge && !patch.is_empty() {
        return Ok(patch);
    }
    let Some(items) = kind_of(original.iter().chain(&patch), rule)? else {
        return Ok(original);
    };
    let order = items.identities(order)?;
    let before = items.identities(&original)?;
    let Change { original, patch } = split_directives(original, patch, &items)?;
    if !order.is_empty() && !is_subsequence(&items.identities(&patch)?, &order) {
        return Err(PatchError::Inapplicable(
            "The order in patch list doesn't match $setElementOrder list".to_owned(),
        ));
    }
    let merged = merge_items(original, patch, &items, rule, depth)?;
    arrange(merged, &items, &order, &before)
}

/// Removes scalars from a list.
pub(super) fn delete_primitives(items: &mut Vec<Value>, gone: &[Value]) {
    let gone: HashSet<Identity> = gone.iter().map(Identity::of_value).collect();
    items.retain(|item| !gone.contains(&Identity::of_value(item)));
}

/// A list and its change, without directives.
struct Change {
    original: Vec<Value>,
    patch: Vec<Value>,
}

/// Carries out the items that are directives.
fn split_directives(
    mut original: Vec<Value>,
    patch: Vec<Value>,
    items: &Items<'_>,
) -> Result<Change, PatchError> {
    let mut kept = Vec::with_capacity(patch.len());
    let mut gone = HashSet::new();
    let mut replace = false;
    for mut item in patch {
        let directive = item.as_object_mut().and_then(|fields| fields.remove(PATCH));
        match directive.as_ref() {
            None => kept.push(item),
            Some(Value::String(directive)) => match directive.as_str() {
                "delete" => {
                    gone.insert(items.identity(&item)?);
                }
                // The item stands for the directive alone, whatever else it holds.
                "replace" => replace = true,
                "merge" => kept.push(item),
                _ => return Err(unknown_directive(&Value::from(directive.as_str()))),
            },
            Some(other) => return Err(unknown_directive(other)),
        }
    }
    if replace {
        original.clear();
    } else if !gone.is_empty() {
        let mut remaining = Vec::with_capacity(original.len());
        for item in original {
            if !items
                .identity(&item)
                .is_ok_and(|identity| gone.contains(&identity))
            {
                remaining.push(item);
            }
        }
        original = remaining;
    }
    Ok(Change {
        original,
        patch: kept,
    })
}

/// Merges each item of the patch into the first item of the list that it is, or adds it.
fn merge_items(
    original: Vec<Value>,
    patch: Vec<Value>,
    items: &Items<'_>,
    rule: &FieldRule<'_>,
    depth: usize,
) -> Result<Vec<Value>, PatchError> {
    let mut merged = original;
    let mut places: HashMap<Identity, usize> = HashMap::with_capacity(merged.len());
    for (place, item) in merged.iter().enumerate() {
        places.entry(items.identity(item)?).or_insert(place);
    }
    for item in patch {
        let identity = items.identity(&item)?;
        let place = places.get(&identity).copied();
        let Value::Object(change) = item else {
            if place.is_none() {
                places.insert(identity, merged.len());
                merged.push(item);
            }
            continue;
        };
        let current = match place
            .and_then(|place| merged.get_mut(place))
            .map(Value::take)
        {
            Some(Value::Object(current)) => current,
            _ => Map::new(),
        };
        let result = Value::Object(merge_object(
            current,
            change,
            item_type(rule.ty),
            depth + 1,
        )?);
        match place.and_then(|place| merged.get_mut(place)) {
            Some(slot) => *slot = result,
            None => {
                places.insert(identity, merged.len());
                merged.push(result);
            }
        }
    }
    if matches!(items, Items::Scalars) {
        let mut seen = HashSet::new();
        merged.retain(|item| seen.insert(Identity::of_value(item)));
    }
    Ok(merged)
}

/// Orders a merged list.
///
/// Items in `order` come in that order, the others in the order of `before`, and the two are interleaved:
/// one of the others goes first as long as it stood before the next item of `order`. What is new in
/// `order` therefore goes ahead of what only the server has.
fn arrange(
    merged: Vec<Value>,
    items: &Items<'_>,
    order: &[Identity],
    before: &[Identity],
) -> Result<Vec<Value>, PatchError> {
    let rank = ranks(order);
    let place = ranks(before);
    let mut ordered = Vec::new();
    let mut others = Vec::new();
    for item in merged {
        let identity = items.identity(&item)?;
        let stood = place.get(&identity).copied();
        match rank.get(&identity) {
            Some(rank) => ordered.push((*rank, stood, item)),
            None => others.push((stood, item)),
        }
    }
    ordered.sort_by_key(|(rank, ..)| *rank);
    others.sort_by_key(|(stood, _)| *stood);

    let mut result = Vec::with_capacity(ordered.len() + others.len());
    let mut others = others.into_iter().peekable();
    for (_, stood, item) in ordered {
        while let Some((_, other)) =
            others.next_if(|(other, _)| matches!((other, stood), (Some(o), Some(s)) if *o < s))
        {
            result.push(other);
        }
        result.push(item);
    }
    result.extend(others.map(|(_, item)| item));
    Ok(result)
}

fn ranks(identities: &[Identity]) -> HashMap<&Identity, usize> {
    let mut ranks = HashMap::with_capacity(identities.len());
    for (rank, identity) in identities.iter().enumerate() {
        ranks.entry(identity).or_insert(rank);
    }
    ranks
}

fn is_subsequence(part: &[Identity], whole: &[Identity]) -> bool {
    let mut rest = whole.iter();
    part.iter()
        .all(|identity| rest.any(|candidate| candidate == identity))
}

fn no_merge_key(item: &Value, key: &str) -> PatchError {
    if item.is_object() {
        PatchError::Inapplicable(format!(
            "map: {item} does not contain declared merge key: {key}"
        ))
    } else {
        malformed("invalid patch format of setElementOrder list")
    }
}
