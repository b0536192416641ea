//! Rules in the Common Expression Language (`x-kubernetes-validations`).
//!
//! ```text
//!  text ── lexer ── parser ──► Expr ── eval (values, functions) ──► true, false or an error
//! ```
//!
//! Expressions come from whoever may create a `CustomResourceDefinition`. Their length and depth are
//! bounded when they are compiled, and their work by [`Fuel`] when they run: a rule that takes too long
//! fails, as it does in Kubernetes.
//!
//! Missing compared with Kubernetes: types are not checked when a rule is compiled, only syntax and
//! names; there are no bytes, unsigned numbers (`1u` is read as `1`), `type()`, URLs, `ip()` and
//! `cidr()` values (`isIP` and `isCIDR` are there), semantic versions, `format`, or `authorizer`.

mod eval;
mod functions;
mod lexer;
mod numbers;
mod parser;
mod value;

pub(super) use eval::Fuel;
pub(super) use value::Val;

use eval::{Scope, eval};
use parser::Expr;

/// The longest expression that is read, in bytes.
const MAX_TEXT: usize = 16 * 1024;

/// A compiled expression.
#[derive(Debug)]
pub(super) struct Program {
    expr: Expr,
}

impl Program {
    /// Compiles an expression over `self`, and over `oldSelf`.
    ///
    /// # Errors
    ///
    /// It is no expression, or names what is not there.
    pub(super) fn compile(text: &str) -> Result<Self, String> {
        if text.len() > MAX_TEXT {
            return Err(format!(
                "an expression must not be longer than {MAX_TEXT} bytes"
            ));
        }
        let expr = parser::parse(text)?;
        parser::check_names(&expr, &mut vec!["self".into(), "oldSelf".into()])?;
        Ok(Self { expr })
    }

    /// Whether the expression looks at the stored value.
    pub(super) fn uses_old(&self) -> bool {
        parser::mentions(&self.expr, "oldSelf")
    }

    /// Its value.
    ///
    /// # Errors
    ///
    /// What Kubernetes' interpreter would say, such as `no such key: x`.
    pub(super) fn run<'a>(
        &'a self,
        this: Val<'a>,
        old: Option<Val<'a>>,
        fuel: &mut Fuel,
    ) -> Result<Val<'a>, String> {
        let mut scope = Scope::default();
        scope.push("self", this);
        if let Some(old) = old {
            scope.push("oldSelf", old);
        }
        eval(&self.expr, &mut scope, fuel)
    }
}

#[cfg(test)]
mod tests;
