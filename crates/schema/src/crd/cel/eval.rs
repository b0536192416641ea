//! Evaluation, counted.

use std::{borrow::Cow, cmp::Ordering, rc::Rc};

use super::{
    functions,
    parser::{Bind, Expr, Operator, Walk},
    value::{Entries, List, Text, Val, equal, order},
};

/// What an expression may still spend. A step costs one; going through a string costs one for every
/// ten bytes, so that what an expression builds is bounded as well.
#[derive(Debug)]
pub(in crate::crd) struct Fuel(u64);

impl Fuel {
    pub(in crate::crd) fn new(steps: u64) -> Self {
        Self(steps)
    }

    pub(in crate::crd) fn left(&self) -> u64 {
        self.0
    }

    pub(super) fn spend(&mut self, steps: u64) -> Result<(), String> {
        match self.0.checked_sub(steps) {
            Some(left) => {
                self.0 = left;
                Ok(())
            }
            None => {
                self.0 = 0;
                Err("operation cancelled: actual cost limit exceeded".to_owned())
            }
        }
    }

    pub(super) fn spend_text(&mut self, text: &str) -> Result<(), String> {
        self.spend(text.len() as u64 / 10)
    }
}

/// The variables, innermost last.
#[derive(Debug, Default)]
pub(super) struct Scope<'a>(Vec<(Cow<'a, str>, Val<'a>)>);

impl<'a> Scope<'a> {
    pub(super) fn push(&mut self, name: &'a str, value: Val<'a>) {
        self.0.push((Cow::Borrowed(name), value));
    }

    fn get(&self, name: &str) -> Option<Val<'a>> {
        self.0
            .iter()
            .rev()
            .find(|(found, _)| found == name)
            .map(|(_, value)| value.clone())
    }

    fn forget(&mut self, count: usize) {
        self.0.truncate(self.0.len().saturating_sub(count));
    }
}

type Result<T, E = String> = std::result::Result<T, E>;

/// The value of an expression.
pub(super) fn eval<'a>(expr: &'a Expr, scope: &mut Scope<'a>, fuel: &mut Fuel) -> Result<Val<'a>> {
    fuel.spend(1)?;
    match expr {
        Expr::Null => Ok(Val::Null),
        Expr::Bool(value) => Ok(Val::Bool(*value)),
        Expr::Int(value) => Ok(Val::Int(*value)),
        Expr::Double(value) => Ok(Val::Double(*value)),
        Expr::String(text) => Ok(Val::String(Text::Borrowed(text))),
        Expr::Ident(name) => scope
            .get(name)
            .ok_or_else(|| format!("undeclared reference to '{name}'")),
        Expr::List(items) => {
            let items = items
                .iter()
                .map(|item| eval(item, scope, fuel))
                .collect::<Result<_>>()?;
            Ok(Val::list(items))
        }
        Expr::Map(entries) => make_map(entries, scope, fuel),
        Expr::Select {
            of,
            field,
            optional,
        } => select(of, field, *optional, scope, fuel),
        Expr::Has { of, field } => {
            let of = eval(of, scope, fuel)?;
            Ok(Val::Bool(look_up(&of, field)?.is_some()))
        }
        Expr::Index { of, at, optional } => index(of, at, *optional, scope, fuel),
        Expr::Call {
            target,
            name,
            args,
            pattern,
        } => {
            let target = target
                .as_ref()
                .map(|target| eval(target, scope, fuel))
                .transpose()?;
            let args = args
                .iter()
                .map(|arg| eval(arg, scope, fuel))
                .collect::<Result<Vec<_>>>()?;
            functions::call(name, target, args, pattern.as_ref(), fuel)
        }
        Expr::Not(of) => Ok(Val::Bool(!truth(eval(of, scope, fuel)?)?)),
        Expr::Negate(of) => match eval(of, scope, fuel)? {
            Val::Int(value) => value
                .checked_neg()
                .map(Val::Int)
                .ok_or_else(|| "integer overflow".to_owned()),
            Val::Double(value) => Ok(Val::Double(-value)),
            Val::Duration(value) => Ok(Val::Duration(-value)),
            other => Err(no_overload("-_", &[&other])),
        },
        Expr::And(all) => logical(all, false, scope, fuel),
        Expr::Or(all) => logical(all, true, scope, fuel),
        Expr::Binary(operator, left, right) => {
            let left = eval(left, scope, fuel)?;
            let right = eval(right, scope, fuel)?;
            binary(*operator, left, right, fuel)
        }
        Expr::Choose(parts) => {
            let (condition, then, other) = &**parts;
            let chosen = if truth(eval(condition, scope, fuel)?)? {
                then
            } else {
                other
            };
            eval(chosen, scope, fuel)
        }
        Expr::Walk {
            walk,
            over,
            names,
            filter,
            body,
        } => walked(*walk, over, names, filter.as_deref(), body, scope, fuel),
        Expr::Bind {
            kind,
            name,
            init,
            body,
        } => bound(*kind, name, init, body, scope, fuel),
    }
}

fn truth(value: Val<'_>) -> Result<bool> {
    match value {
        Val::Bool(value) => Ok(value),
        other => Err(no_overload("_?_:_", &[&other])),
    }
}

pub(super) fn no_overload(name: &str, args: &[&Val<'_>]) -> String {
    let types: Vec<&str> = args.iter().map(|arg| arg.type_name()).collect();
    format!("no such overload: {name}({})", types.join(", "))
}

/// `&&` and `||`: one operand that decides makes up for others that fail.
fn logical<'a>(
    all: &'a [Expr],
    decides: bool,
    scope: &mut Scope<'a>,
    fuel: &mut Fuel,
) -> Result<Val<'a>> {
    let mut failed = None;
    for expr in all {
        match eval(expr, scope, fuel).and_then(truth) {
            Ok(value) if value == decides => return Ok(Val::Bool(decides)),
            Ok(_) => {}
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    match failed {
        // Out of fuel is not an error of one operand.
        Some(error) => Err(error),
        None => Ok(Val::Bool(!decides)),
    }
}

fn make_map<'a>(
    entries: &'a [(Expr, Expr)],
    scope: &mut Scope<'a>,
    fuel: &mut Fuel,
) -> Result<Val<'a>> {
    let mut made: Vec<(Val<'a>, Val<'a>)> = Vec::with_capacity(entries.len());
    for (key, value) in entries {
        let key = eval(key, scope, fuel)?;
        let value = eval(value, scope, fuel)?;
        for (other, _) in &made {
            if equal(other, &key, fuel)? {
                return Err("Failed with repeated key".to_owned());
            }
        }
        made.push((key, value));
    }
    Ok(Val::Map(Entries::Made(Rc::new(made))))
}

/// The field of a map, of an optional map as an optional.
fn look_up<'a>(of: &Val<'a>, field: &str) -> Result<Option<Val<'a>>> {
    match of {
        Val::Map(entries) => Ok(entries.field(&unescape(field))),
        Val::Optional(None) => Ok(None),
        Val::Optional(Some(inner)) => look_up(inner, field),
        other => Err(no_overload("select", &[other])),
    }
}

fn select<'a>(
    of: &'a Expr,
    field: &str,
    optional: bool,
    scope: &mut Scope<'a>,
    fuel: &mut Fuel,
) -> Result<Val<'a>> {
    let of = eval(of, scope, fuel)?;
    let found = look_up(&of, field)?;
    if optional || matches!(of, Val::Optional(_)) {
        return Ok(Val::Optional(found.map(Rc::new)));
    }
    found.ok_or_else(|| format!("no such key: {field}"))
}

/// Names that are no identifiers, or reserved, are written with underscores: `foo__dash__bar`.
fn unescape(field: &str) -> Cow<'_, str> {
    if !field.contains("__") {
        return Cow::Borrowed(field);
    }
    const RESERVED: [&str; 19] = [
        "true",
        "false",
        "null",
        "in",
        "as",
        "break",
        "const",
        "continue",
        "else",
        "for",
        "function",
        "if",
        "import",
        "let",
        "loop",
        "package",
        "namespace",
        "return",
        "var",
    ];
    if let Some(word) = field
        .strip_prefix("__")
        .and_then(|rest| rest.strip_suffix("__"))
        && RESERVED.contains(&word)
    {
        return Cow::Owned(word.to_owned());
    }
    let mut out = String::with_capacity(field.len());
    let mut rest = field;
    let escapes = [
        ("__underscores__", "__"),
        ("__dot__", "."),
        ("__dash__", "-"),
        ("__slash__", "/"),
    ];
    while let Some(first) = rest.chars().next() {
        match escapes
            .iter()
            .find_map(|(escape, plain)| Some((plain, rest.strip_prefix(escape)?)))
        {
            Some((plain, after)) => {
                out.push_str(plain);
                rest = after;
            }
            None => {
                out.push(first);
                rest = rest.get(first.len_utf8()..).unwrap_or_default();
            }
        }
    }
    Cow::Owned(out)
}

fn index<'a>(
    of: &'a Expr,
    at: &'a Expr,
    optional: bool,
    scope: &mut Scope<'a>,
    fuel: &mut Fuel,
) -> Result<Val<'a>> {
    let of = eval(of, scope, fuel)?;
    let at = eval(at, scope, fuel)?;
    let (target, as_optional) = match &of {
        Val::Optional(None) => return Ok(Val::Optional(None)),
        Val::Optional(Some(inner)) => ((**inner).clone(), true),
        other => (other.clone(), optional),
    };
    let (found, missing) = match (&target, &at) {
        (Val::List(list), Val::Int(at)) => {
            let found = usize::try_from(*at).ok().and_then(|at| list.get(at));
            (found, format!("index out of bounds: {at}"))
        }
        (Val::Map(entries), key) => {
            let shown = match key {
                Val::String(text) => text.as_str().to_owned(),
                Val::Int(key) => key.to_string(),
                other => other.type_name().to_owned(),
            };
            (entries.get(key, fuel)?, format!("no such key: {shown}"))
        }
        (target, at) => return Err(no_overload("_[_]", &[target, at])),
    };
    if as_optional {
        Ok(Val::Optional(found.map(Rc::new)))
    } else {
        found.ok_or(missing)
    }
}

fn binary<'a>(
    operator: Operator,
    left: Val<'a>,
    right: Val<'a>,
    fuel: &mut Fuel,
) -> Result<Val<'a>> {
    let compare = |name: &str, fits: fn(Ordering) -> bool| match order(&left, &right) {
        Some(ordering) => Ok(Val::Bool(fits(ordering))),
        // NaN is neither less nor greater.
        None if matches!(
            (&left, &right),
            (Val::Double(_) | Val::Int(_), Val::Double(_) | Val::Int(_))
        ) =>
        {
            Ok(Val::Bool(false))
        }
        None => Err(no_overload(name, &[&left, &right])),
    };
    match operator {
        Operator::Equal => Ok(Val::Bool(equal(&left, &right, fuel)?)),
        Operator::NotEqual => Ok(Val::Bool(!equal(&left, &right, fuel)?)),
        Operator::Less => compare("_<_", Ordering::is_lt),
        Operator::LessOrEqual => compare("_<=_", Ordering::is_le),
        Operator::Greater => compare("_>_", Ordering::is_gt),
        Operator::GreaterOrEqual => compare("_>=_", Ordering::is_ge),
        Operator::In => contained(&left, &right, fuel).map(Val::Bool),
        Operator::Add => add(left, right, fuel),
        Operator::Subtract => match (&left, &right) {
            (Val::Timestamp(a), Val::Timestamp(b)) => Ok(Val::Duration(a - b)),
            (Val::Timestamp(a), Val::Duration(b)) => Ok(Val::Timestamp(a - b)),
            (Val::Duration(a), Val::Duration(b)) => Ok(Val::Duration(a - b)),
            _ => arithmetic("_-_", &left, &right, i64::checked_sub, |a, b| a - b),
        },
        Operator::Multiply => arithmetic("_*_", &left, &right, i64::checked_mul, |a, b| a * b),
        Operator::Divide | Operator::Remainder
            if matches!((&left, &right), (Val::Int(_), Val::Int(0))) =>
        {
            Err(if operator == Operator::Divide {
                "division by zero"
            } else {
                "modulus by zero"
            }
            .to_owned())
        }
        Operator::Divide => arithmetic("_/_", &left, &right, i64::checked_div, |a, b| a / b),
        Operator::Remainder => match (&left, &right) {
            (Val::Int(_), Val::Int(_)) => {
                arithmetic("_%_", &left, &right, i64::checked_rem, |a, b| a % b)
            }
            _ => Err(no_overload("_%_", &[&left, &right])),
        },
    }
}

fn arithmetic<'a>(
    name: &str,
    left: &Val<'a>,
    right: &Val<'a>,
    whole: fn(i64, i64) -> Option<i64>,
    float: fn(f64, f64) -> f64,
) -> Result<Val<'a>> {
    match (left, right) {
        (Val::Int(a), Val::Int(b)) => whole(*a, *b)
            .map(Val::Int)
            .ok_or_else(|| "integer overflow".to_owned()),
        (Val::Double(a), Val::Double(b)) => Ok(Val::Double(float(*a, *b))),
        _ => Err(no_overload(name, &[left, right])),
    }
}

fn add<'a>(left: Val<'a>, right: Val<'a>, fuel: &mut Fuel) -> Result<Val<'a>> {
    match (&left, &right) {
        (Val::String(a), Val::String(b)) => {
            fuel.spend_text(a.as_str())?;
            fuel.spend_text(b.as_str())?;
            Ok(Val::text([a.as_str(), b.as_str()].concat()))
        }
        (Val::List(a), Val::List(b)) => {
            fuel.spend((a.len() + b.len()) as u64)?;
            Ok(Val::list(a.iter().chain(b.iter()).collect()))
        }
        (Val::Timestamp(a), Val::Duration(b)) | (Val::Duration(b), Val::Timestamp(a)) => {
            Ok(Val::Timestamp(a + b))
        }
        (Val::Duration(a), Val::Duration(b)) => Ok(Val::Duration(a + b)),
        _ => arithmetic("_+_", &left, &right, i64::checked_add, |a, b| a + b),
    }
}

pub(super) fn contained<'a>(item: &Val<'a>, all: &Val<'a>, fuel: &mut Fuel) -> Result<bool> {
    match all {
        Val::List(list) => {
            for candidate in list.iter() {
                if equal(&candidate, item, fuel)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        Val::Map(entries) => Ok(entries.get(item, fuel)?.is_some()),
        other => Err(no_overload("@in", &[item, other])),
    }
}

/// The items of what a macro walks over, as the names see them: one name is the item of a list or the
/// key of a map; two are index and item, or key and value.
fn items<'a>(over: &Val<'a>, names: usize) -> Result<Vec<(Val<'a>, Option<Val<'a>>)>> {
    match (over, names) {
        (Val::List(list), 1) => Ok(list.iter().map(|item| (item, None)).collect()),
        (Val::List(list), _) => Ok(list
            .iter()
            .enumerate()
            .map(|(at, item)| (Val::Int(i64::try_from(at).unwrap_or(i64::MAX)), Some(item)))
            .collect()),
        (Val::Map(entries), 1) => Ok(entries
            .iter()
            .into_iter()
            .map(|(key, _)| (key, None))
            .collect()),
        (Val::Map(entries), _) => Ok(entries
            .iter()
            .into_iter()
            .map(|(key, value)| (key, Some(value)))
            .collect()),
        (other, _) => Err(no_overload("comprehension", &[other])),
    }
}

fn walked<'a>(
    walk: Walk,
    over: &'a Expr,
    names: &'a [Box<str>],
    filter: Option<&'a Expr>,
    body: &'a Expr,
    scope: &mut Scope<'a>,
    fuel: &mut Fuel,
) -> Result<Val<'a>> {
    let over = eval(over, scope, fuel)?;
    let all = items(&over, names.len())?;
    fuel.spend(all.len() as u64)?;
    let (mut matches, mut failed) = (0_usize, None);
    let mut made = Vec::new();
    let mut entries = Vec::new();
    for (first, second) in all {
        for (name, value) in names
            .iter()
            .zip([Some(first.clone()), second].into_iter().flatten())
        {
            scope.push(name, value);
        }
        let kept = filter.map_or(Ok(true), |filter| eval(filter, scope, fuel).and_then(truth));
        let result = match kept {
            Ok(true) => eval(body, scope, fuel).map(Some),
            Ok(false) => Ok(None),
            Err(error) => Err(error),
        };
        scope.forget(names.len());
        match (walk, result) {
            (Walk::All | Walk::Exists, result) => {
                match result.and_then(|value| truth(value.unwrap_or(Val::Null))) {
                    Ok(value) if value == (walk == Walk::Exists) => return Ok(Val::Bool(value)),
                    Ok(_) => {}
                    Err(error) => failed = failed.or(Some(error)),
                }
            }
            (Walk::ExistsOne, result) => {
                matches += usize::from(truth(result?.unwrap_or(Val::Null))?)
            }
            (Walk::Filter, result) => {
                if truth(result?.unwrap_or(Val::Null))? {
                    made.push(first);
                }
            }
            (Walk::Map, result) => made.extend(result?),
            (Walk::TransformMap, result) => entries.extend(result?.map(|value| (first, value))),
        }
    }
    match (walk, failed) {
        (_, Some(error)) => Err(error),
        (Walk::All, _) => Ok(Val::Bool(true)),
        (Walk::Exists, _) => Ok(Val::Bool(false)),
        (Walk::ExistsOne, _) => Ok(Val::Bool(matches == 1)),
        (Walk::Filter | Walk::Map, _) => Ok(Val::List(List::Made(Rc::new(made)))),
        (Walk::TransformMap, _) => Ok(Val::Map(Entries::Made(Rc::new(entries)))),
    }
}

fn bound<'a>(
    kind: Bind,
    name: &'a str,
    init: &'a Expr,
    body: &'a Expr,
    scope: &mut Scope<'a>,
    fuel: &mut Fuel,
) -> Result<Val<'a>> {
    let init = eval(init, scope, fuel)?;
    let value = match (kind, init) {
        (Bind::Always, value) => value,
        (_, Val::Optional(None)) => return Ok(Val::Optional(None)),
        (_, Val::Optional(Some(inner))) => (*inner).clone(),
        (_, other) => return Err(no_overload("optMap", &[&other])),
    };
    scope.push(name, value);
    let result = eval(body, scope, fuel);
    scope.forget(1);
    match kind {
        Bind::OptMap => result.map(Val::some),
        Bind::Always | Bind::OptFlatMap => result,
    }
}
