//! Reads the text of a label selector.
//!
//! ```text
//! selector    = [ requirement { "," requirement } ]
//! requirement = [ "!" ] key | key ( "=" | "==" | "!=" | ">" | "<" ) [ value ] | key ( "in" | "notin" ) set
//! set         = "(" [ value ] { "," [ value ] } ")"
//! ```

use super::{
    SelectorError,
    label::{Operator, Requirement, key_error},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token<'a> {
    End,
    Symbol(&'a str),
    /// A key, a value or one of the words `in` and `notin`, which the place tells apart.
    Word(&'a str),
}

impl<'a> Token<'a> {
    fn text(self) -> &'a str {
        match self {
            Self::End => "",
            Self::Symbol(text) | Self::Word(text) => text,
        }
    }
}

struct Parser<'a> {
    rest: &'a str,
}

/// The requirements in the order in which they stand.
pub(super) fn requirements(text: &str) -> Result<Vec<Requirement>, SelectorError> {
    let mut parser = Parser { rest: text };
    let mut requirements = Vec::new();
    loop {
        match parser.peek() {
            Token::Word(_) | Token::Symbol("!") => {}
            Token::End => return Ok(requirements),
            found => {
                return Err(expected(
                    found,
                    ", expected: !, identifier, or 'end of string'",
                ));
            }
        }
        let requirement = parser.requirement();
        requirements.push(
            requirement.map_err(|e| SelectorError(format!("unable to parse requirement: {e}")))?,
        );
        match parser.next() {
            Token::End => return Ok(requirements),
            Token::Symbol(",") => match parser.peek() {
                Token::Word(_) | Token::Symbol("!") => {}
                found => return Err(expected(found, ", expected: identifier after ','")),
            },
            found => return Err(expected(found, ", expected: ',' or 'end of string'")),
        }
    }
}

fn expected(found: Token<'_>, what: &str) -> SelectorError {
    SelectorError(format!("found '{}'{what}", found.text()))
}

fn is_symbol(c: char) -> bool {
    matches!(c, '=' | '!' | '(' | ')' | ',' | '>' | '<')
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Token<'a> {
        Parser { rest: self.rest }.next()
    }

    fn next(&mut self) -> Token<'a> {
        let rest = self.rest.trim_start_matches(is_space);
        let length = if rest.starts_with("==") || rest.starts_with("!=") {
            2
        } else if rest.starts_with(is_symbol) {
            1
        } else {
            rest.find(|c| is_symbol(c) || is_space(c))
                .unwrap_or(rest.len())
        };
        let (token, after) = rest.split_at_checked(length).unwrap_or((rest, ""));
        self.rest = after;
        if token.is_empty() {
            Token::End
        } else if token.starts_with(is_symbol) {
            Token::Symbol(token)
        } else {
            Token::Word(token)
        }
    }

    fn requirement(&mut self) -> Result<Requirement, SelectorError> {
        let mut token = self.next();
        let negated = token == Token::Symbol("!");
        if negated {
            token = self.next();
        }
        let Token::Word(key) = token else {
            return Err(expected(token, ", expected: identifier"));
        };
        if let Some(error) = key_error(key, "<nil>") {
            return Err(SelectorError(error));
        }
        if negated {
            return Requirement::new(key, Operator::DoesNotExist, Vec::new());
        }
        if matches!(self.peek(), Token::End | Token::Symbol(",")) {
            return Requirement::new(key, Operator::Exists, Vec::new());
        }
        let found = self.next();
        let operator = match found {
            Token::Word("in") => Operator::In,
            Token::Word("notin") => Operator::NotIn,
            Token::Symbol("=") => Operator::Equals,
            Token::Symbol("==") => Operator::DoubleEquals,
            Token::Symbol("!=") => Operator::NotEquals,
            Token::Symbol(">") => Operator::GreaterThan,
            Token::Symbol("<") => Operator::LessThan,
            _ => {
                return Err(expected(found, ", expected: in, notin, =, ==, !=, gt, lt"));
            }
        };
        let values = match operator {
            Operator::In | Operator::NotIn => self.set()?,
            _ => vec![self.value()?],
        };
        Requirement::new(key, operator, values)
    }

    fn value(&mut self) -> Result<String, SelectorError> {
        match self.peek() {
            Token::End | Token::Symbol(",") => Ok(String::new()),
            Token::Word(value) => {
                self.next();
                Ok(value.to_owned())
            }
            found => Err(expected(found, ", expected: identifier")),
        }
    }

    fn set(&mut self) -> Result<Vec<String>, SelectorError> {
        match self.next() {
            Token::Symbol("(") => {}
            found => return Err(expected(found, " expected: '('")),
        }
        let mut values: Vec<String> = Vec::new();
        // What stands between two commas is a value, even if that is nothing.
        let mut pending = "";
        let mut first = true;
        loop {
            match self.next() {
                Token::Word(value) if pending.is_empty() => {
                    pending = value;
                    if !matches!(self.peek(), Token::Symbol("," | ")")) {
                        return Err(expected(self.peek(), ", expected: ',' or ')'"));
                    }
                }
                Token::Symbol(",") => values.push(std::mem::take(&mut pending).to_owned()),
                Token::Symbol(")") => {
                    values.push(pending.to_owned());
                    values.sort_unstable();
                    values.dedup();
                    return Ok(values);
                }
                found if first => {
                    return Err(expected(found, ", expected: ',', ')' or identifier"));
                }
                found => return Err(expected(found, ", expected: ',', or identifier")),
            }
            first = false;
        }
    }
}
