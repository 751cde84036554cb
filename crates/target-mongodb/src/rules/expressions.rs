//! What the server evaluates: filters, projections, expressions, variables.

use bson::Bson;
use domain::review::Refusal;

use super::look::{Look, named, refusal};
use super::operators::{JAVASCRIPT, VARIABLES, is_operator};
use super::stages::is_stage;

impl Look<'_> {
    /// Looks at the operators in what the server evaluates.
    pub(super) fn expression(&mut self, value: &Bson) -> Result<(), Refusal> {
        self.deeper(|look| match value {
            Bson::Document(document) => document.iter().try_for_each(|(name, value)| {
                look.operator(name)?;
                // What is literal is not evaluated.
                if name == "$literal" { Ok(()) } else { look.expression(value) }
            }),
            Bson::String(text) if VARIABLES.iter().any(|name| text.starts_with(name)) => Err(refusal(
                "operator_not_allowed",
                format!("{} tells about the portal's own login, which is nobody's to know.", named(text)),
            )),
            Bson::Array(items) => items.iter().try_for_each(|item| look.expression(item)),
            _ => Ok(()),
        })
    }

    fn operator(&mut self, name: &str) -> Result<(), Refusal> {
        if !name.starts_with('$') || is_stage(name) {
            return Ok(());
        }
        if !is_operator(name) {
            let message = format!(
                "{} is not among the operators of MongoDB's manual that the portal knows.",
                named(name)
            );
            return Err(refusal("operator_not_allowed", message));
        }
        if JAVASCRIPT.contains(&name) { self.javascript(name) } else { Ok(()) }
    }

    pub(super) fn javascript(&mut self, what: &str) -> Result<(), Refusal> {
        if !self.scope.admits.server_javascript {
            let message = format!(
                "{what} runs JavaScript inside of the database server, which this instance does not admit. Use operators \
                 and expressions ($expr, aggregation stages), or a script, whose JavaScript runs in the portal."
            );
            return Err(refusal("server_javascript", message));
        }
        self.find(
            "server_javascript",
            &format!("{what} runs JavaScript inside of the database server: read it."),
        );
        Ok(())
    }
}
