//! The functions of expressions: CEL's own, and Kubernetes' for lists, strings, patterns, sets,
//! quantities and optional values.

use std::{borrow::Cow, cmp::Ordering, net::IpAddr, rc::Rc};

use regex::Regex;

use crate::crd::{format, node::Pattern, pattern};

use super::{
    eval::{Fuel, contained, no_overload},
    numbers::{civil_from_days, parse_duration, parse_quantity, parse_timestamp},
    value::{List, Val, equal, order},
};

const NANOS: i128 = 1_000_000_000;

/// Every function, so that a rule that calls another one is refused when it is compiled.
const KNOWN: [&str; 82] = [
    "size",
    "contains",
    "startsWith",
    "endsWith",
    "matches",
    "int",
    "uint",
    "double",
    "string",
    "bool",
    "dyn",
    "timestamp",
    "duration",
    "getFullYear",
    "getMonth",
    "getDate",
    "getDayOfMonth",
    "getDayOfWeek",
    "getHours",
    "getMinutes",
    "getSeconds",
    "getMilliseconds",
    "isSorted",
    "sum",
    "min",
    "max",
    "indexOf",
    "lastIndexOf",
    "find",
    "findAll",
    "charAt",
    "join",
    "lowerAscii",
    "upperAscii",
    "replace",
    "split",
    "substring",
    "trim",
    "reverse",
    "distinct",
    "flatten",
    "sort",
    "slice",
    "first",
    "last",
    "sets.contains",
    "sets.equivalent",
    "sets.intersects",
    "math.greatest",
    "math.least",
    "math.abs",
    "math.ceil",
    "math.floor",
    "math.round",
    "math.sign",
    "math.isNaN",
    "optional.of",
    "optional.none",
    "optional.ofNonZeroValue",
    "hasValue",
    "value",
    "orValue",
    "or",
    "isQuantity",
    "quantity",
    "isInteger",
    "asInteger",
    "asApproximateFloat",
    "sign",
    "add",
    "sub",
    "isGreaterThan",
    "isLessThan",
    "compareTo",
    "isIP",
    "isCIDR",
    "isURL",
    "lists.range",
    "format.dns1123Label",
    "format.dns1123Subdomain",
    "format.uuid",
    "format.date",
];

/// Whether there is a function of that name.
pub(super) fn is_known(name: &str) -> bool {
    KNOWN.contains(&name)
}

type Result<T, E = String> = std::result::Result<T, E>;

/// What compiling a pattern costs when a rule runs.
const PATTERN_COST: u64 = 5_000;

/// Calls a function. A target counts as the first argument; `pattern` is the second one, if that is a
/// literal.
pub(super) fn call<'a>(
    name: &str,
    target: Option<Val<'a>>,
    args: Vec<Val<'a>>,
    pattern: Option<&Pattern>,
    fuel: &mut Fuel,
) -> Result<Val<'a>> {
    let all: Vec<Val<'a>> = target.into_iter().chain(args).collect();
    for text in all.iter().filter_map(text) {
        fuel.spend_text(text)?;
    }
    for list in all.iter().filter_map(list) {
        fuel.spend(list.len() as u64)?;
    }
    if let Some(result) = on_pattern(name, &all, pattern, fuel)? {
        return Ok(result);
    }
    let result = optional(name, &all)
        .or_else(|| conversion(name, &all))
        .or_else(|| on_text(name, &all))
        .or_else(|| on_time(name, &all))
        .or_else(|| quantity(name, &all))
        .or_else(|| math(name, &all));
    if let Some(result) = result {
        return result;
    }
    match on_list(name, &all, fuel)? {
        Some(value) => Ok(value),
        None => Err(no_overload(name, &all.iter().collect::<Vec<_>>())),
    }
}

fn text<'v>(value: &'v Val<'_>) -> Option<&'v str> {
    match value {
        Val::String(text) => Some(text.as_str()),
        _ => None,
    }
}

fn list<'v, 'a>(value: &'v Val<'a>) -> Option<&'v List<'a>> {
    match value {
        Val::List(list) => Some(list),
        _ => None,
    }
}

fn int<'a>(count: usize) -> Val<'a> {
    Val::Int(i64::try_from(count).unwrap_or(i64::MAX))
}

fn optional<'a>(name: &str, all: &[Val<'a>]) -> Option<Result<Val<'a>>> {
    Some(Ok(match (name, all) {
        ("optional.none", []) => Val::Optional(None),
        ("optional.of", [value]) => Val::some(value.clone()),
        ("optional.ofNonZeroValue", [value]) => {
            let zero = match value {
                Val::Null | Val::Bool(false) | Val::Int(0) => true,
                Val::Double(value) => *value == 0.0,
                Val::String(text) => text.as_str().is_empty(),
                Val::List(list) => list.len() == 0,
                Val::Map(entries) => entries.len() == 0,
                _ => false,
            };
            if zero {
                Val::Optional(None)
            } else {
                Val::some(value.clone())
            }
        }
        ("hasValue", [Val::Optional(value)]) => Val::Bool(value.is_some()),
        ("value", [Val::Optional(Some(value))]) | ("orValue", [Val::Optional(Some(value)), _]) => {
            (**value).clone()
        }
        ("value", [Val::Optional(None)]) => {
            return Some(Err("optional.none() dereference".to_owned()));
        }
        ("orValue", [Val::Optional(None), other]) => other.clone(),
        ("or", [Val::Optional(None), other @ Val::Optional(_)]) => other.clone(),
        ("or", [first @ Val::Optional(Some(_)), Val::Optional(_)]) => first.clone(),
        _ => return None,
    }))
}

fn conversion<'a>(name: &str, all: &[Val<'a>]) -> Option<Result<Val<'a>>> {
    let [value] = all else { return None };
    let wrong = |what: &str| {
        Err(format!(
            "type conversion error from '{}' to '{what}'",
            value.type_name()
        ))
    };
    Some(match (name, value) {
        ("dyn", value) => Ok(value.clone()),
        ("int" | "uint", Val::Int(_))
        | ("double", Val::Double(_))
        | ("bool", Val::Bool(_))
        | ("string", Val::String(_)) => Ok(value.clone()),
        // Floats beyond the range of integers have no integer.
        ("int" | "uint", Val::Double(float)) if float.abs() < 9.2e18 => Ok(Val::Int(*float as i64)),
        ("int" | "uint", Val::String(text)) => text
            .as_str()
            .parse()
            .map(Val::Int)
            .or_else(|_| wrong("int")),
        ("int", Val::Timestamp(nanos)) => Ok(Val::Int(
            i64::try_from(nanos.div_euclid(NANOS)).unwrap_or(i64::MAX),
        )),
        ("double", Val::Int(whole)) => Ok(Val::Double(*whole as f64)),
        ("double", Val::String(text)) => text
            .as_str()
            .parse()
            .map(Val::Double)
            .or_else(|_| wrong("double")),
        ("bool", Val::String(text)) => match text.as_str() {
            "true" | "True" | "TRUE" | "t" | "1" => Ok(Val::Bool(true)),
            "false" | "False" | "FALSE" | "f" | "0" => Ok(Val::Bool(false)),
            _ => wrong("bool"),
        },
        ("string", Val::Int(whole)) => Ok(Val::text(whole.to_string())),
        ("string", Val::Double(float)) => Ok(Val::text(float.to_string())),
        ("string", Val::Bool(flag)) => Ok(Val::text(flag.to_string())),
        ("string", Val::Timestamp(nanos)) => Ok(Val::text(timestamp_text(*nanos))),
        ("string", Val::Duration(nanos)) => {
            Ok(Val::text(format!("{}s", *nanos as f64 / NANOS as f64)))
        }
        ("timestamp", Val::Timestamp(_)) | ("duration", Val::Duration(_)) => Ok(value.clone()),
        ("timestamp", Val::String(text)) => parse_timestamp(text.as_str())
            .map_or_else(|| wrong("timestamp"), |nanos| Ok(Val::Timestamp(nanos))),
        ("duration", Val::String(text)) => parse_duration(text.as_str())
            .map_or_else(|| wrong("duration"), |nanos| Ok(Val::Duration(nanos))),
        _ => return None,
    })
}

fn timestamp_text(nanos: i128) -> String {
    let seconds = i64::try_from(nanos.div_euclid(NANOS)).unwrap_or_default();
    let (year, month, day) = civil_from_days(seconds.div_euclid(86_400));
    let of_day = seconds.rem_euclid(86_400);
    let fraction = match nanos.rem_euclid(NANOS) {
        0 => String::new(),
        nanos => format!(".{nanos:09}").trim_end_matches('0').to_owned(),
    };
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}{fraction}Z",
        of_day / 3_600,
        of_day / 60 % 60,
        of_day % 60
    )
}

fn on_text<'a>(name: &str, all: &[Val<'a>]) -> Option<Result<Val<'a>>> {
    let subject = text(all.first()?)?;
    let arg = |at: usize| all.get(at).and_then(text);
    let number = |at: usize| match all.get(at) {
        Some(Val::Int(value)) => Some(*value),
        _ => None,
    };
    // Positions count characters, not bytes.
    let chars = || subject.chars().collect::<Vec<char>>();
    let out_of_range = |at: i64| Err(format!("index out of range: {at}"));
    Some(Ok(match (name, all.len()) {
        ("size", 1) => int(subject.chars().count()),
        ("contains", 2) => Val::Bool(subject.contains(arg(1)?)),
        ("startsWith", 2) => Val::Bool(subject.starts_with(arg(1)?)),
        ("endsWith", 2) => Val::Bool(subject.ends_with(arg(1)?)),
        ("charAt", 2) => {
            let (chars, at) = (chars(), number(1)?);
            match usize::try_from(at) {
                Ok(index) if index <= chars.len() => Val::text(chars.get(index).map(char::to_string).unwrap_or_default()),
                _ => return Some(out_of_range(at)),
            }
        }
        ("indexOf", 2) => position(subject, subject.find(arg(1)?)),
        ("lastIndexOf", 2) => position(subject, subject.rfind(arg(1)?)),
        ("lowerAscii", 1) => Val::text(subject.to_ascii_lowercase()),
        ("upperAscii", 1) => Val::text(subject.to_ascii_uppercase()),
        ("trim", 1) => Val::text(subject.trim()),
        ("reverse", 1) => Val::text(subject.chars().rev().collect::<String>()),
        ("replace", 3 | 4) => return replaced(subject, arg(1)?, arg(2)?, number(3)),
        ("split", 2 | 3) => split(subject, arg(1)?, number(2).unwrap_or(-1)),
        ("substring", 2 | 3) => {
            let chars = chars();
            let (start, end) = (number(1)?, number(2).unwrap_or(i64::try_from(chars.len()).unwrap_or(i64::MAX)));
            let range = usize::try_from(start).ok().zip(usize::try_from(end).ok());
            match range.and_then(|(start, end)| chars.get(start..end)) {
                Some(part) => Val::text(part.iter().collect::<String>()),
                None => return Some(out_of_range(start)),
            }
        }
        ("isIP", 1) => Val::Bool(subject.parse::<IpAddr>().is_ok()),
        ("isCIDR", 1) => Val::Bool(format::fits("cidr", subject)),
        ("isURL", 1) => Val::Bool(format::fits("uri", subject)),
        ("isQuantity", 1) => Val::Bool(parse_quantity(subject).is_some()),
        ("quantity", 1) => match parse_quantity(subject) {
            Some(value) => Val::Quantity(value),
            None => return Some(Err("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'".to_owned())),
        },
        _ => return None,
    }))
}

fn on_pattern<'a>(
    name: &str,
    all: &[Val<'a>],
    literal: Option<&Pattern>,
    fuel: &mut Fuel,
) -> Result<Option<Val<'a>>> {
    let ([subject, source, rest @ ..], true) =
        (all, ["matches", "find", "findAll"].contains(&name))
    else {
        return Ok(None);
    };
    let (Some(subject), Some(source)) = (text(subject), text(source)) else {
        return Ok(None);
    };
    let regex: Cow<'_, Regex> = match literal.and_then(Pattern::regex) {
        Some(regex) => Cow::Borrowed(regex),
        None => {
            fuel.spend(PATTERN_COST)?;
            Cow::Owned(pattern::compile(source)?)
        }
    };
    Ok(match (name, rest) {
        ("matches", []) => Some(Val::Bool(regex.is_match(subject))),
        ("find", []) => Some(Val::text(
            regex.find(subject).map_or("", |found| found.as_str()),
        )),
        ("findAll", rest) => {
            let limit = match rest.first() {
                Some(Val::Int(limit)) => usize::try_from(*limit).unwrap_or(usize::MAX),
                _ => usize::MAX,
            };
            let found = regex.find_iter(subject).take(limit);
            Some(Val::list(
                found.map(|found| Val::text(found.as_str())).collect(),
            ))
        }
        _ => None,
    })
}

/// A position in bytes as one in characters; -1 for none.
fn position<'a>(subject: &str, bytes: Option<usize>) -> Val<'a> {
    match bytes.and_then(|at| subject.get(..at)) {
        Some(before) => int(before.chars().count()),
        None => Val::Int(-1),
    }
}

fn replaced<'a>(
    subject: &str,
    from: &str,
    to: &str,
    limit: Option<i64>,
) -> Option<Result<Val<'a>>> {
    let count = limit
        .and_then(|limit| usize::try_from(limit).ok())
        .unwrap_or(usize::MAX);
    // What comes out may be as long as the product of what goes in.
    let found = if from.is_empty() {
        subject.len() + 1
    } else {
        subject.matches(from).count()
    };
    if found.min(count).saturating_mul(to.len()) > 1 << 20 {
        return Some(Err("the result of replace() is too long".to_owned()));
    }
    Some(Ok(Val::text(subject.replacen(from, to, count))))
}

fn split<'a>(subject: &str, separator: &str, limit: i64) -> Val<'a> {
    let parts: Vec<Val<'a>> = match (usize::try_from(limit), separator) {
        (Ok(0), _) => Vec::new(),
        (Ok(limit), _) => subject.splitn(limit, separator).map(Val::text).collect(),
        // Rust sees an empty separator at both ends too.
        (Err(_), "") => subject.chars().map(|c| Val::text(c.to_string())).collect(),
        (Err(_), _) => subject.split(separator).map(Val::text).collect(),
    };
    Val::list(parts)
}

fn on_time<'a>(name: &str, all: &[Val<'a>]) -> Option<Result<Val<'a>>> {
    let whole = |value: i128| Some(Ok(Val::Int(i64::try_from(value).unwrap_or(i64::MAX))));
    match all {
        [Val::Duration(nanos)] => match name {
            "getHours" => whole(nanos / (3_600 * NANOS)),
            "getMinutes" => whole(nanos / (60 * NANOS)),
            "getSeconds" => whole(nanos / NANOS),
            "getMilliseconds" => whole(nanos / 1_000_000 % 1_000),
            _ => None,
        },
        [Val::Timestamp(nanos)] => {
            let seconds = nanos.div_euclid(NANOS);
            let days = i64::try_from(seconds.div_euclid(86_400)).unwrap_or_default();
            let (year, month, day) = civil_from_days(days);
            whole(match name {
                "getFullYear" => year.into(),
                "getMonth" => (month - 1).into(),
                "getDate" => day.into(),
                "getDayOfMonth" => (day - 1).into(),
                "getDayOfWeek" => (days + 4).rem_euclid(7).into(),
                "getHours" => seconds.rem_euclid(86_400) / 3_600,
                "getMinutes" => seconds.rem_euclid(3_600) / 60,
                "getSeconds" => seconds.rem_euclid(60),
                "getMilliseconds" => nanos.rem_euclid(NANOS) / 1_000_000,
                _ => return None,
            })
        }
        _ => None,
    }
}

fn quantity<'a>(name: &str, all: &[Val<'a>]) -> Option<Result<Val<'a>>> {
    let overflow = || "integer overflow".to_owned();
    let Val::Quantity(value) = all.first()? else {
        return None;
    };
    let other = match all.get(1) {
        Some(Val::Quantity(other)) => Some(*other),
        Some(Val::Int(whole)) => Some(i128::from(*whole) * NANOS),
        _ => None,
    };
    Some(match (name, other) {
        ("isInteger", None) => Ok(Val::Bool(
            value % NANOS == 0 && i64::try_from(value / NANOS).is_ok(),
        )),
        ("asInteger", None) => match i64::try_from(value / NANOS) {
            Ok(whole) if value % NANOS == 0 => Ok(Val::Int(whole)),
            _ => Err("cannot convert value to integer".to_owned()),
        },
        ("asApproximateFloat", None) => Ok(Val::Double(*value as f64 / NANOS as f64)),
        ("sign", None) => Ok(Val::Int(i64::try_from(value.signum()).unwrap_or_default())),
        ("add", Some(other)) => value
            .checked_add(other)
            .map(Val::Quantity)
            .ok_or_else(overflow),
        ("sub", Some(other)) => value
            .checked_sub(other)
            .map(Val::Quantity)
            .ok_or_else(overflow),
        ("isGreaterThan", Some(other)) => Ok(Val::Bool(*value > other)),
        ("isLessThan", Some(other)) => Ok(Val::Bool(*value < other)),
        ("compareTo", Some(other)) => Ok(Val::Int(value.cmp(&other) as i64)),
        _ => return None,
    })
}

fn math<'a>(name: &str, all: &[Val<'a>]) -> Option<Result<Val<'a>>> {
    let best = |wanted: Ordering| {
        let items: Vec<Val<'a>> = match all {
            [Val::List(list)] => list.iter().collect(),
            all => all.to_vec(),
        };
        Some(extreme(items, wanted).ok_or_else(|| format!("no such overload: {name}()")))
    };
    Some(Ok(match (name, all) {
        ("math.greatest", _) => return best(Ordering::Greater),
        ("math.least", _) => return best(Ordering::Less),
        ("math.abs", [Val::Int(value)]) => {
            return Some(
                value
                    .checked_abs()
                    .map(Val::Int)
                    .ok_or_else(|| "integer overflow".to_owned()),
            );
        }
        ("math.abs", [Val::Double(value)]) => Val::Double(value.abs()),
        ("math.ceil", [Val::Double(value)]) => Val::Double(value.ceil()),
        ("math.floor", [Val::Double(value)]) => Val::Double(value.floor()),
        ("math.round", [Val::Double(value)]) => Val::Double(value.round()),
        ("math.sign", [Val::Int(value)]) => Val::Int(value.signum()),
        ("math.sign", [Val::Double(value)]) => {
            Val::Double(if *value == 0.0 { 0.0 } else { value.signum() })
        }
        ("math.isNaN", [Val::Double(value)]) => Val::Bool(value.is_nan()),
        (
            "format.uuid" | "format.date" | "format.dns1123Label" | "format.dns1123Subdomain",
            [Val::String(text)],
        ) => {
            let format = match name {
                "format.uuid" => "uuid",
                "format.date" => "date",
                "format.dns1123Label" => "k8s-short-name",
                _ => "k8s-long-name",
            };
            Val::Bool(format::fits(format, text.as_str()))
        }
        _ => return None,
    }))
}

/// The item that stands before (or after) all others; none if there are none that can be ordered.
fn extreme(items: Vec<Val<'_>>, wanted: Ordering) -> Option<Val<'_>> {
    let mut items = items.into_iter();
    let first = items.next()?;
    items.try_fold(first, |best, item| match order(&item, &best)? {
        found if found == wanted => Some(item),
        _ => Some(best),
    })
}

fn on_list<'a>(name: &str, all: &[Val<'a>], fuel: &mut Fuel) -> Result<Option<Val<'a>>> {
    Ok(Some(match (name, all) {
        ("size", [Val::List(list)]) => int(list.len()),
        ("size", [Val::Map(entries)]) => int(entries.len()),
        ("isSorted", [Val::List(list)]) => {
            let items: Vec<Val<'a>> = list.iter().collect();
            Val::Bool(items.is_sorted_by(|a, b| order(a, b).is_some_and(Ordering::is_le)))
        }
        ("sum", [Val::List(list)]) => sum(list)?,
        ("min", [Val::List(list)]) => {
            extreme(list.iter().collect(), Ordering::Less).ok_or("min called on empty list")?
        }
        ("max", [Val::List(list)]) => {
            extreme(list.iter().collect(), Ordering::Greater).ok_or("max called on empty list")?
        }
        ("indexOf", [Val::List(list), item]) => index_of(list.iter().enumerate(), item, fuel)?,
        ("lastIndexOf", [Val::List(list), item]) => {
            let items: Vec<_> = list.iter().enumerate().collect();
            index_of(items.into_iter().rev(), item, fuel)?
        }
        ("first", [Val::List(list)]) => Val::Optional(list.get(0).map(Rc::new)),
        ("last", [Val::List(list)]) => Val::Optional(
            list.len()
                .checked_sub(1)
                .and_then(|at| list.get(at))
                .map(Rc::new),
        ),
        ("reverse", [Val::List(list)]) => {
            let mut items: Vec<Val<'a>> = list.iter().collect();
            items.reverse();
            Val::list(items)
        }
        ("sort", [Val::List(list)]) => {
            let mut items: Vec<Val<'a>> = list.iter().collect();
            items.sort_by(|a, b| order(a, b).unwrap_or(Ordering::Equal));
            Val::list(items)
        }
        ("slice", [Val::List(list), Val::Int(from), Val::Int(to)]) => {
            let items: Vec<Val<'a>> = list.iter().collect();
            let range = usize::try_from(*from).ok().zip(usize::try_from(*to).ok());
            let part = range.and_then(|(from, to)| items.get(from..to));
            Val::list(
                part.ok_or_else(|| {
                    format!("cannot slice({from}, {to}), list is length {}", items.len())
                })?
                .to_vec(),
            )
        }
        ("flatten", [Val::List(list)]) => {
            let mut items = Vec::new();
            for item in list.iter() {
                match item {
                    Val::List(inner) => items.extend(inner.iter()),
                    other => items.push(other),
                }
            }
            fuel.spend(items.len() as u64)?;
            Val::list(items)
        }
        ("distinct", [Val::List(list)]) => {
            let mut items: Vec<Val<'a>> = Vec::new();
            for item in list.iter() {
                if !contained(&item, &Val::list(items.clone()), fuel)? {
                    fuel.spend(items.len() as u64)?;
                    items.push(item);
                }
            }
            Val::list(items)
        }
        ("join", [Val::List(list), rest @ ..]) if rest.len() < 2 => {
            join(list, rest.first().and_then(text).unwrap_or(""), fuel)?
        }
        ("lists.range", [Val::Int(count)]) => {
            fuel.spend(u64::try_from(*count).unwrap_or_default())?;
            Val::list((0..*count).map(Val::Int).collect())
        }
        ("sets.contains", [all @ Val::List(_), Val::List(some)]) => {
            Val::Bool(holds_all(some, all, fuel)?)
        }
        ("sets.equivalent", [a @ Val::List(first), b @ Val::List(second)]) => {
            Val::Bool(holds_all(first, b, fuel)? && holds_all(second, a, fuel)?)
        }
        ("sets.intersects", [Val::List(some), all @ Val::List(_)]) => {
            let mut found = false;
            for item in some.iter() {
                found = found || contained(&item, all, fuel)?;
            }
            Val::Bool(found)
        }
        _ => return Ok(None),
    }))
}

fn holds_all<'a>(some: &List<'a>, all: &Val<'a>, fuel: &mut Fuel) -> Result<bool> {
    for item in some.iter() {
        if !contained(&item, all, fuel)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn index_of<'a>(
    items: impl Iterator<Item = (usize, Val<'a>)>,
    wanted: &Val<'a>,
    fuel: &mut Fuel,
) -> Result<Val<'a>> {
    for (at, item) in items {
        if equal(&item, wanted, fuel)? {
            return Ok(int(at));
        }
    }
    Ok(Val::Int(-1))
}

fn sum<'a>(list: &List<'a>) -> Result<Val<'a>> {
    let overflow = || "integer overflow".to_owned();
    let mut items = list.iter();
    let Some(first) = items.next() else {
        return Ok(Val::Int(0));
    };
    items.try_fold(first, |total, item| match (&total, &item) {
        (Val::Int(a), Val::Int(b)) => a.checked_add(*b).map(Val::Int).ok_or_else(overflow),
        (Val::Double(a), Val::Double(b)) => Ok(Val::Double(a + b)),
        (Val::Duration(a), Val::Duration(b)) => {
            a.checked_add(*b).map(Val::Duration).ok_or_else(overflow)
        }
        _ => Err(no_overload("sum", &[&total, &item])),
    })
}

fn join<'a>(list: &List<'a>, separator: &str, fuel: &mut Fuel) -> Result<Val<'a>> {
    let mut out = String::new();
    for (at, item) in list.iter().enumerate() {
        let part = text(&item).ok_or_else(|| no_overload("join", &[&item]))?;
        fuel.spend_text(part)?;
        fuel.spend_text(separator)?;
        if at > 0 {
            out.push_str(separator);
        }
        out.push_str(part);
    }
    Ok(Val::text(out))
}
