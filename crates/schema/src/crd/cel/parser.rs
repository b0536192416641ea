//! From tokens to expressions.

use crate::crd::{node::Pattern, pattern};

use super::{
    functions,
    lexer::{Token, tokens},
};

/// How deep an expression may be nested; evaluation recurses as deep.
const MAX_DEPTH: usize = 150;

/// An operator with two operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Equal,
    NotEqual,
    In,
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

/// A macro that walks a list or a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Walk {
    All,
    Exists,
    ExistsOne,
    Filter,
    Map,
    TransformMap,
}

/// An expression.
#[derive(Debug)]
pub(super) enum Expr {
    Null,
    Bool(bool),
    Int(i64),
    Double(f64),
    String(Box<str>),
    Ident(Box<str>),
    List(Vec<Expr>),
    Map(Vec<(Expr, Expr)>),
    /// `a.b`; with `optional`, `a.?b`.
    Select {
        of: Box<Expr>,
        field: Box<str>,
        optional: bool,
    },
    /// `has(a.b)`
    Has {
        of: Box<Expr>,
        field: Box<str>,
    },
    /// `a[b]`; with `optional`, `a[?b]`.
    Index {
        of: Box<Expr>,
        at: Box<Expr>,
        optional: bool,
    },
    /// `target.name(args)`, or `name(args)` where there is no target. Names with a namespace keep it:
    /// `sets.contains`. A pattern that is a literal is compiled once.
    Call {
        target: Option<Box<Expr>>,
        name: Box<str>,
        args: Vec<Expr>,
        pattern: Option<Pattern>,
    },
    Not(Box<Expr>),
    Negate(Box<Expr>),
    And(Vec<Expr>),
    Or(Vec<Expr>),
    Binary(Operator, Box<Expr>, Box<Expr>),
    /// Condition, then, else.
    Choose(Box<(Expr, Expr, Expr)>),
    /// A macro over `over`, with one or two names, an optional filter, and what it says of each item.
    Walk {
        walk: Walk,
        over: Box<Expr>,
        names: Vec<Box<str>>,
        filter: Option<Box<Expr>>,
        body: Box<Expr>,
    },
    /// `cel.bind(name, init, body)`, or `optMap` and `optFlatMap` where `over` says which.
    Bind {
        kind: Bind,
        name: Box<str>,
        init: Box<Expr>,
        body: Box<Expr>,
    },
}

/// What gives a name its value for the length of an expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bind {
    Always,
    OptMap,
    OptFlatMap,
}

/// An expression with its depth.
type Parsed = Result<(Expr, usize), String>;

/// Parses a whole text.
pub(super) fn parse(text: &str) -> Result<Expr, String> {
    let mut parser = Parser {
        tokens: tokens(text)?,
        at: 0,
        open: 0,
    };
    let (expr, _) = parser.expr()?;
    match parser.peek() {
        None => Ok(expr),
        Some(token) => Err(format!("Syntax error: unexpected {}", shown(token))),
    }
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    /// How many expressions are being parsed inside of one another.
    open: usize,
}

fn shown(token: &Token) -> String {
    match token {
        Token::Ident(name) => format!("'{name}'"),
        Token::Int(value) => format!("'{value}'"),
        Token::Double(value) => format!("'{value}'"),
        Token::String(text) => format!("{text:?}"),
        Token::Sign(sign) => format!("'{sign}'"),
    }
}

fn deeper(depth: usize) -> Result<usize, String> {
    if depth >= MAX_DEPTH {
        Err("the expression is nested too deep".to_owned())
    } else {
        Ok(depth + 1)
    }
}

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn sign(&mut self, wanted: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Sign(sign)) if *sign == wanted);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, wanted: &str) -> Result<(), String> {
        if self.sign(wanted) {
            return Ok(());
        }
        let found = self.peek().map_or_else(|| "the end".to_owned(), shown);
        Err(format!(
            "Syntax error: expected '{wanted}' but found {found}"
        ))
    }

    fn ident(&mut self) -> Result<Box<str>, String> {
        match self.peek() {
            Some(Token::Ident(name)) => {
                let name = name.clone();
                self.at += 1;
                Ok(name)
            }
            other => Err(format!(
                "Syntax error: expected a name but found {}",
                other.map_or_else(|| "the end".to_owned(), shown)
            )),
        }
    }

    fn expr(&mut self) -> Parsed {
        self.open = deeper(self.open)?;
        let (condition, depth) = self.or()?;
        let result = if self.sign("?") {
            let (then, a) = self.or()?;
            self.expect(":")?;
            let (other, b) = self.expr()?;
            (
                Expr::Choose(Box::new((condition, then, other))),
                deeper(depth.max(a).max(b))?,
            )
        } else {
            (condition, depth)
        };
        self.open -= 1;
        Ok(result)
    }

    fn or(&mut self) -> Parsed {
        self.chain("||", Self::and, Expr::Or)
    }

    fn and(&mut self) -> Parsed {
        self.chain("&&", Self::relation, Expr::And)
    }

    /// Operands of a logical operator, side by side: rules have dozens of them.
    fn chain(
        &mut self,
        sign: &str,
        operand: fn(&mut Self) -> Parsed,
        build: fn(Vec<Expr>) -> Expr,
    ) -> Parsed {
        let (first, mut depth) = operand(self)?;
        let mut all = vec![first];
        while self.sign(sign) {
            let (next, its) = operand(self)?;
            depth = depth.max(its);
            all.push(next);
        }
        match (all.pop(), all.is_empty()) {
            (Some(only), true) => Ok((only, depth)),
            (last, _) => {
                all.extend(last);
                Ok((build(all), deeper(depth)?))
            }
        }
    }

    fn relation(&mut self) -> Parsed {
        const SIGNS: [(&str, Operator); 6] = [
            ("<=", Operator::LessOrEqual),
            (">=", Operator::GreaterOrEqual),
            ("==", Operator::Equal),
            ("!=", Operator::NotEqual),
            ("<", Operator::Less),
            (">", Operator::Greater),
        ];
        let mut left = self.sum()?;
        loop {
            let operator = SIGNS
                .iter()
                .find(|(sign, _)| self.sign(sign))
                .map(|(_, operator)| *operator);
            let operator = match (operator, self.peek()) {
                (Some(operator), _) => operator,
                (None, Some(Token::Ident(name))) if &**name == "in" => {
                    self.at += 1;
                    Operator::In
                }
                _ => return Ok(left),
            };
            left = binary(operator, left, self.sum()?)?;
        }
    }

    fn sum(&mut self) -> Parsed {
        let mut left = self.product()?;
        loop {
            let operator = if self.sign("+") {
                Operator::Add
            } else if self.sign("-") {
                Operator::Subtract
            } else {
                return Ok(left);
            };
            left = binary(operator, left, self.product()?)?;
        }
    }

    fn product(&mut self) -> Parsed {
        let mut left = self.unary()?;
        loop {
            let operator = if self.sign("*") {
                Operator::Multiply
            } else if self.sign("/") {
                Operator::Divide
            } else if self.sign("%") {
                Operator::Remainder
            } else {
                return Ok(left);
            };
            left = binary(operator, left, self.unary()?)?;
        }
    }

    fn unary(&mut self) -> Parsed {
        self.open = deeper(self.open)?;
        let result = if self.sign("!") {
            let (of, depth) = self.unary()?;
            (Expr::Not(Box::new(of)), deeper(depth)?)
        } else if self.sign("-") {
            match self.unary()? {
                (Expr::Int(value), depth) => (Expr::Int(value.wrapping_neg()), depth),
                (Expr::Double(value), depth) => (Expr::Double(-value), depth),
                (of, depth) => (Expr::Negate(Box::new(of)), deeper(depth)?),
            }
        } else {
            self.member()?
        };
        self.open -= 1;
        Ok(result)
    }

    fn member(&mut self) -> Parsed {
        let (mut of, mut depth) = self.primary()?;
        loop {
            if self.sign(".") {
                let optional = self.sign("?");
                let field = self.ident()?;
                if !optional && self.sign("(") {
                    let (args, its) = self.items(")")?;
                    depth = deeper(depth.max(its))?;
                    of = method(of, field, args)?;
                } else {
                    depth = deeper(depth)?;
                    of = Expr::Select {
                        of: Box::new(of),
                        field,
                        optional,
                    };
                }
            } else if self.sign("[") {
                let optional = self.sign("?");
                let (at, its) = self.expr()?;
                self.expect("]")?;
                depth = deeper(depth.max(its))?;
                of = Expr::Index {
                    of: Box::new(of),
                    at: Box::new(at),
                    optional,
                };
            } else {
                return Ok((of, depth));
            }
        }
    }

    /// Expressions up to a closing bracket.
    fn items(&mut self, close: &str) -> Result<(Vec<Expr>, usize), String> {
        let (mut items, mut depth) = (Vec::new(), 0);
        while !self.sign(close) {
            let (item, its) = self.expr()?;
            depth = depth.max(its);
            items.push(item);
            if !self.sign(",") {
                self.expect(close)?;
                break;
            }
        }
        Ok((items, depth))
    }

    fn primary(&mut self) -> Parsed {
        if self.sign("(") {
            let inner = self.expr()?;
            self.expect(")")?;
            return Ok(inner);
        }
        if self.sign("[") {
            let (items, depth) = self.items("]")?;
            return Ok((Expr::List(items), deeper(depth)?));
        }
        if self.sign("{") {
            return self.map();
        }
        self.sign(".");
        let Some(token) = self.peek().cloned() else {
            return Err("Syntax error: unexpected end".to_owned());
        };
        self.at += 1;
        Ok((
            match token {
                Token::Int(value) => Expr::Int(value),
                Token::Double(value) => Expr::Double(value),
                Token::String(text) => Expr::String(text),
                Token::Ident(name) => match &*name {
                    "true" => Expr::Bool(true),
                    "false" => Expr::Bool(false),
                    "null" => Expr::Null,
                    _ if self.sign("(") => {
                        let (args, depth) = self.items(")")?;
                        return Ok((function(name, args)?, deeper(depth)?));
                    }
                    _ => Expr::Ident(name),
                },
                sign @ Token::Sign(_) => {
                    return Err(format!("Syntax error: unexpected {}", shown(&sign)));
                }
            },
            0,
        ))
    }

    fn map(&mut self) -> Parsed {
        let (mut entries, mut depth) = (Vec::new(), 0);
        while !self.sign("}") {
            let (key, a) = self.expr()?;
            self.expect(":")?;
            let (value, b) = self.expr()?;
            depth = depth.max(a).max(b);
            entries.push((key, value));
            if !self.sign(",") {
                self.expect("}")?;
                break;
            }
        }
        Ok((Expr::Map(entries), deeper(depth)?))
    }
}

fn binary(operator: Operator, (left, a): (Expr, usize), (right, b): (Expr, usize)) -> Parsed {
    Ok((
        Expr::Binary(operator, Box::new(left), Box::new(right)),
        deeper(a.max(b))?,
    ))
}

/// A call without a target; `has` is a macro.
fn function(name: Box<str>, mut args: Vec<Expr>) -> Result<Expr, String> {
    if &*name != "has" {
        return call(None, name, args);
    }
    match (args.pop(), args.is_empty()) {
        (
            Some(Expr::Select {
                of,
                field,
                optional: false,
            }),
            true,
        ) => Ok(Expr::Has { of, field }),
        _ => Err("invalid argument to has() macro".to_owned()),
    }
}

/// A call of a function.
fn call(target: Option<Expr>, name: Box<str>, args: Vec<Expr>) -> Result<Expr, String> {
    let at = usize::from(target.is_none());
    let literal = match (&*name, args.get(at)) {
        ("matches" | "find" | "findAll", Some(Expr::String(source))) => Some(source),
        _ => None,
    };
    if let Some(source) = literal {
        pattern::compile(source).map_err(|why| format!("invalid matches argument: {why}"))?;
    }
    let pattern = literal.map(|source| Pattern::new(source));
    Ok(Expr::Call {
        target: target.map(Box::new),
        name,
        args,
        pattern,
    })
}

/// A call with a target, which may be a macro or a function with a namespace.
fn method(of: Expr, name: Box<str>, args: Vec<Expr>) -> Result<Expr, String> {
    if let Expr::Ident(namespace) = &of {
        if &**namespace == "cel" && &*name == "bind" {
            return bind(Bind::Always, None, args);
        }
        let full = format!("{namespace}.{name}");
        if functions::is_known(&full) {
            return call(None, full.into(), args);
        }
    }
    let walk = match &*name {
        "all" => Walk::All,
        "exists" => Walk::Exists,
        "exists_one" | "existsOne" => Walk::ExistsOne,
        "filter" => Walk::Filter,
        "map" | "transformList" => Walk::Map,
        "transformMap" => Walk::TransformMap,
        "optMap" => return bind(Bind::OptMap, Some(of), args),
        "optFlatMap" => return bind(Bind::OptFlatMap, Some(of), args),
        _ => return call(Some(of), name, args),
    };
    let wrong = || format!("invalid arguments to {name}() macro");
    let mut args = args;
    let body = args.pop().ok_or_else(wrong)?;
    let two_names =
        name.starts_with("transform") || args.len() == 2 && !["map", "filter"].contains(&&*name);
    let filter = (args.len() > if two_names { 2 } else { 1 })
        .then(|| args.pop().map(Box::new))
        .flatten();
    if args.len() != if two_names { 2 } else { 1 }
        || filter.is_some() && !matches!(walk, Walk::Map | Walk::TransformMap)
    {
        return Err(wrong());
    }
    let names = args
        .into_iter()
        .map(|arg| variable(arg).ok_or_else(wrong))
        .collect::<Result<_, _>>()?;
    Ok(Expr::Walk {
        walk,
        over: Box::new(of),
        names,
        filter,
        body: Box::new(body),
    })
}

fn bind(kind: Bind, init: Option<Expr>, args: Vec<Expr>) -> Result<Expr, String> {
    let wrong = || "invalid arguments to a macro that binds a name".to_owned();
    let mut args = args.into_iter();
    let name = args.next().and_then(variable).ok_or_else(wrong)?;
    let init = match init {
        Some(init) => init,
        None => args.next().ok_or_else(wrong)?,
    };
    match (args.next(), args.next()) {
        (Some(body), None) => Ok(Expr::Bind {
            kind,
            name,
            init: Box::new(init),
            body: Box::new(body),
        }),
        _ => Err(wrong()),
    }
}

fn variable(expr: Expr) -> Option<Box<str>> {
    match expr {
        Expr::Ident(name) => Some(name),
        _ => None,
    }
}

/// Checks that every variable and function is one that there is.
pub(super) fn check_names(expr: &Expr, known: &mut Vec<Box<str>>) -> Result<(), String> {
    match expr {
        Expr::Ident(name) if !known.contains(name) => Err(format!(
            "undeclared reference to '{name}' (in container '')"
        )),
        Expr::Call { name, .. } if !functions::is_known(name) => Err(format!(
            "undeclared reference to '{name}' (in container '')"
        )),
        Expr::Walk {
            over,
            names,
            filter,
            body,
            ..
        } => {
            check_names(over, known)?;
            let before = known.len();
            known.extend(names.iter().cloned());
            let result = filter
                .iter()
                .try_for_each(|filter| check_names(filter, known))
                .and_then(|()| check_names(body, known));
            known.truncate(before);
            result
        }
        Expr::Bind {
            name, init, body, ..
        } => {
            check_names(init, known)?;
            known.push(name.clone());
            let result = check_names(body, known);
            known.pop();
            result
        }
        other => {
            let mut result = Ok(());
            for_each_child(other, &mut |child| {
                if result.is_ok() {
                    result = check_names(child, known);
                }
            });
            result
        }
    }
}

/// Whether an expression looks at a variable.
pub(super) fn mentions(expr: &Expr, name: &str) -> bool {
    if let Expr::Ident(found) = expr {
        return &**found == name;
    }
    let mut found = false;
    for_each_child(expr, &mut |child| found = found || mentions(child, name));
    found
}

fn for_each_child(expr: &Expr, act: &mut dyn FnMut(&Expr)) {
    match expr {
        Expr::Null
        | Expr::Bool(_)
        | Expr::Int(_)
        | Expr::Double(_)
        | Expr::String(_)
        | Expr::Ident(_) => {}
        Expr::List(items) | Expr::And(items) | Expr::Or(items) => items.iter().for_each(act),
        Expr::Map(entries) => entries.iter().for_each(|(key, value)| {
            act(key);
            act(value);
        }),
        Expr::Select { of, .. } | Expr::Has { of, .. } | Expr::Not(of) | Expr::Negate(of) => {
            act(of)
        }
        Expr::Index { of, at, .. } => {
            act(of);
            act(at);
        }
        Expr::Call { target, args, .. } => {
            target.iter().for_each(|target| act(target));
            args.iter().for_each(act);
        }
        Expr::Binary(_, left, right) => {
            act(left);
            act(right);
        }
        Expr::Choose(parts) => {
            act(&parts.0);
            act(&parts.1);
            act(&parts.2);
        }
        Expr::Walk {
            over, filter, body, ..
        } => {
            act(over);
            filter.iter().for_each(|filter| act(filter));
            act(body);
        }
        Expr::Bind { init, body, .. } => {
            act(init);
            act(body);
        }
    }
}
