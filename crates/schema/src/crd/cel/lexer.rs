//! From text to tokens.

/// One token.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    Ident(Box<str>),
    Int(i64),
    Double(f64),
    String(Box<str>),
    /// An operator or a bracket.
    Sign(&'static str),
}

/// Operators and brackets, longer ones first.
const SIGNS: [&str; 25] = [
    "&&", "||", "==", "!=", "<=", ">=", "<", ">", "+", "-", "*", "/", "%", "!", "?", ":", ".", ",",
    "(", ")", "[", "]", "{", "}", "=",
];

/// Splits an expression into tokens.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut out = Vec::new();
    let mut rest = text;
    loop {
        rest = skip_blank(rest);
        let Some(first) = rest.chars().next() else {
            return Ok(out);
        };
        if let Some((token, after)) = string(rest)? {
            out.push(token);
            rest = after;
        } else if first.is_ascii_digit()
            || first == '.' && rest.as_bytes().get(1).is_some_and(u8::is_ascii_digit)
        {
            let (token, after) = number(rest)?;
            out.push(token);
            rest = after;
        } else if first.is_ascii_alphabetic() || first == '_' {
            let end = rest
                .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
                .unwrap_or(rest.len());
            let (name, after) = rest.split_at(end);
            out.push(Token::Ident(name.into()));
            rest = after;
        } else {
            let sign = SIGNS
                .iter()
                .find_map(|sign| Some((*sign, rest.strip_prefix(*sign)?)));
            let Some((sign, after)) = sign else {
                return Err(format!(
                    "Syntax error: token recognition error at: '{first}'"
                ));
            };
            out.push(Token::Sign(sign));
            rest = after;
        }
    }
}

/// Skips white space and comments.
fn skip_blank(mut text: &str) -> &str {
    loop {
        text = text.trim_start();
        match text.strip_prefix("//") {
            Some(comment) => {
                text = comment
                    .find('\n')
                    .and_then(|at| comment.get(at..))
                    .unwrap_or_default()
            }
            None => return text,
        }
    }
}

fn number(text: &str) -> Result<(Token, &str), String> {
    let wrong = |digits: &str| format!("Syntax error: invalid number '{digits}'");
    if let Some(hex) = text.strip_prefix("0x") {
        let end = hex
            .find(|c: char| !c.is_ascii_hexdigit())
            .unwrap_or(hex.len());
        let (digits, after) = hex.split_at(end);
        let value = i64::from_str_radix(digits, 16).map_err(|_| wrong(digits))?;
        return Ok((
            Token::Int(value),
            after.strip_prefix(['u', 'U']).unwrap_or(after),
        ));
    }
    let digits = |from: &str| {
        from.find(|c: char| !c.is_ascii_digit())
            .unwrap_or(from.len())
    };
    let mut end = digits(text);
    let mut double = false;
    // A point belongs to the number only if a digit follows: `1.size()` is a call.
    let after_point = text
        .get(end..)
        .and_then(|rest| rest.strip_prefix('.'))
        .filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    if let Some(rest) = after_point {
        double = true;
        end += 1 + digits(rest);
    }
    if let Some(rest) = text
        .get(end..)
        .and_then(|rest| rest.strip_prefix(['e', 'E']))
    {
        let unsigned = rest.strip_prefix(['+', '-']).unwrap_or(rest);
        if digits(unsigned) > 0 {
            double = true;
            end += 1 + (rest.len() - unsigned.len()) + digits(unsigned);
        }
    }
    let (literal, after) = text.split_at(end);
    if double {
        let value = literal.parse().map_err(|_| wrong(literal))?;
        return Ok((Token::Double(value), after));
    }
    // The least integer has no positive counterpart; the parser negates what is read here.
    let value = literal.parse().map_err(|_| wrong(literal))?;
    Ok((
        Token::Int(value),
        after.strip_prefix(['u', 'U']).unwrap_or(after),
    ))
}

/// A string literal, if the text starts with one.
fn string(text: &str) -> Result<Option<(Token, &str)>, String> {
    let (raw, body) = match text.strip_prefix(['r', 'R']) {
        Some(rest) if rest.starts_with(['"', '\'']) => (true, rest),
        _ => (false, text),
    };
    let quote = ["\"\"\"", "'''", "\"", "'"]
        .into_iter()
        .find(|quote| body.starts_with(*quote));
    let Some(quote) = quote else { return Ok(None) };
    let unterminated = || "Syntax error: unterminated string".to_owned();
    let mut rest = body.get(quote.len()..).unwrap_or_default();
    let mut out = String::new();
    loop {
        if let Some(after) = rest.strip_prefix(quote) {
            return Ok(Some((Token::String(out.into()), after)));
        }
        let mut chars = rest.chars();
        match chars.next().ok_or_else(unterminated)? {
            '\\' if !raw => out.push(escape(&mut chars)?),
            '\n' if quote.len() == 1 => return Err(unterminated()),
            other => out.push(other),
        }
        rest = chars.as_str();
    }
}

fn escape(chars: &mut std::str::Chars<'_>) -> Result<char, String> {
    Ok(match chars.next() {
        Some('a') => '\x07',
        Some('b') => '\x08',
        Some('f') => '\x0c',
        Some('n') => '\n',
        Some('r') => '\r',
        Some('t') => '\t',
        Some('v') => '\x0b',
        Some(same @ ('\\' | '?' | '"' | '\'' | '`')) => same,
        Some('x' | 'X') => code_point(chars, 2, 16, 0)?,
        Some('u') => code_point(chars, 4, 16, 0)?,
        Some('U') => code_point(chars, 8, 16, 0)?,
        Some(digit @ '0'..='3') => code_point(chars, 2, 8, digit.to_digit(8).unwrap_or_default())?,
        _ => return Err("Syntax error: invalid escape in a string".to_owned()),
    })
}

fn code_point(
    chars: &mut std::str::Chars<'_>,
    digits: usize,
    radix: u32,
    start: u32,
) -> Result<char, String> {
    let mut value = start;
    for _ in 0..digits {
        let digit = chars.next().and_then(|c| c.to_digit(radix));
        value = digit
            .and_then(|digit| value.checked_mul(radix)?.checked_add(digit))
            .unwrap_or(u32::MAX);
    }
    char::from_u32(value).ok_or_else(|| "Syntax error: invalid escape in a string".to_owned())
}
