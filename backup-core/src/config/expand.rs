//! `${NAME}` in the texts of a configuration.

use std::collections::BTreeMap;

use super::layers::for_each_leaf;
use crate::registry::table::{Data, Value};
use crate::registry::{ConfigProblem, Table};

/// The variables that were handed in.
pub(super) struct Variables<'a>(pub(super) &'a BTreeMap<String, String>);

impl Variables<'_> {
    /// The table with every `${NAME}` of the files' texts replaced. Texts of variables and flags stay as they are.
    pub(super) fn expand(&self, table: &Table, problems: &mut Vec<ConfigProblem>) -> Table {
        let mut expanded = table.clone();
        let mut change = |path: &str, value: &mut Value| {
            if let Data::Text(text) = &value.data
                && text.contains("${")
            {
                // Loose, so that `port = "${PORT}"` can be a number.
                value.data = Data::Loose(self.expanded(text).map_err(|message| ConfigProblem::new(path, message))?);
            }
            Ok(())
        };
        for_each_leaf(&mut expanded, "", &mut change, problems);
        expanded
    }

    fn expanded(&self, text: &str) -> Result<String, String> {
        let mut expanded = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find("${") {
            let (before, from) = rest.split_at(at);
            if let Some(before) = before.strip_suffix('$') {
                expanded.push_str(before);
                expanded.push_str("${");
                rest = &from[2..];
                continue;
            }
            expanded.push_str(before);
            let (inner, after) =
                from[2..].split_once('}').ok_or("`${` is not closed by `}`; write `$${` for itself")?;
            let (name, fallback) = match inner.split_once(":-") {
                Some((name, fallback)) => (name, Some(fallback)),
                None => (inner, None),
            };
            let valid = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            if !valid {
                return Err("`${…}` holds no variable's name; write `$${` for itself".to_owned());
            }
            let value = self.0.get(name).map(String::as_str).or(fallback);
            expanded.push_str(value.ok_or_else(|| format!("the variable `{name}` is not set"))?);
            rest = after;
        }
        expanded.push_str(rest);
        Ok(expanded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(text: &str) -> Result<String, String> {
        let variables = [("HOME", "/home/u"), ("EMPTY", ""), ("NESTED", "${HOME}")];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        Variables(&variables).expanded(text)
    }

    #[test]
    fn variables_are_replaced_once_and_can_be_escaped() {
        for (text, result) in [
            ("${HOME}/a", "/home/u/a"),
            ("a${HOME}${EMPTY}b", "a/home/ub"),
            ("${NESTED}", "${HOME}"),
            ("${MISSING:-x y}", "x y"),
            ("${EMPTY:-x}", ""),
            ("${HOME:-x}", "/home/u"),
            ("$${HOME}", "${HOME}"),
            ("$HOME $ $$", "$HOME $ $$"),
            ("cost$${${HOME}", "cost${/home/u"),
        ] {
            assert_eq!(expanded(text).as_deref(), Ok(result), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_replaced_is_an_error_without_the_text() {
        for text in ["${MISSING}", "canary${HOME", "${}", "${a canary}", "${HOME-canary}", "${HOME:canary}"] {
            let message = expanded(text).unwrap_err();
            assert!(!message.contains("canary"), "{message}");
        }
        assert_eq!(expanded("${MISSING}").unwrap_err(), "the variable `MISSING` is not set");
    }
}
