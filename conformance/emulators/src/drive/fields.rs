//! Partial replies: which fields were asked for.
//!
//! `fields` is a list such as `nextPageToken,files(id,name,owners/displayName)`: a name takes the whole field, a slash or parentheses a part of
//! it, and `*` everything.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::refusal::Refusal;
use super::schema::Shape;

/// How deep fields may be asked for.
const MAX_DEPTH: usize = 16;

/// What is wanted of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Selection {
    All,
    Some(BTreeMap<String, Selection>),
}

impl Selection {
    /// Reads what was asked for and refuses fields that there are not.
    pub(super) fn parse(text: &str, shape: &Shape) -> Result<Self, Refusal> {
        let wrong = |what: &str| Refusal::new(400, "invalidParameter", format!("Invalid field selection {what}"));
        let mut parser = Parser { rest: text };
        let selection = parser.list(shape, 0).map_err(|what| wrong(&what))?;
        if parser.rest.is_empty() { Ok(selection) } else { Err(wrong(parser.rest)) }
    }

    /// The wanted part of a value.
    pub(super) fn apply(&self, value: Value) -> Value {
        match (self, value) {
            (Self::All, value) => value,
            (Self::Some(_), Value::Array(items)) => items.into_iter().map(|item| self.apply(item)).collect(),
            (Self::Some(wanted), Value::Object(fields)) => {
                let kept = fields.into_iter().filter_map(|(name, value)| Some((wanted.get(&name)?.apply(value), name)));
                Value::Object(kept.map(|(value, name)| (name, value)).collect::<Map<_, _>>())
            }
            (Self::Some(_), value) => value,
        }
    }

    fn add(into: &mut BTreeMap<String, Self>, name: &str, wanted: Self) {
        match (into.get_mut(name), wanted) {
            (Some(Self::All), _) => {}
            (Some(Self::Some(old)), Self::Some(new)) => {
                for (name, wanted) in new {
                    Self::add(old, &name, wanted);
                }
            }
            (_, wanted) => {
                into.insert(name.to_owned(), wanted);
            }
        }
    }
}

struct Parser<'a> {
    rest: &'a str,
}

impl<'a> Parser<'a> {
    fn takes(&mut self, c: char) -> bool {
        let after = self.rest.strip_prefix(c);
        self.rest = after.unwrap_or(self.rest);
        after.is_some()
    }

    fn name(&mut self) -> Result<&'a str, String> {
        let end = self.rest.find([',', '/', '(', ')']).unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(end);
        self.rest = rest;
        let name = name.trim();
        if name.is_empty() { Err(self.rest.to_owned()) } else { Ok(name) }
    }

    fn list(&mut self, shape: &Shape, depth: usize) -> Result<Selection, String> {
        if depth > MAX_DEPTH {
            return Err(self.rest.to_owned());
        }
        let (mut wanted, mut is_all) = (BTreeMap::new(), false);
        loop {
            let name = self.name()?;
            if name == "*" {
                is_all = true;
            } else {
                let part = self.part(name, shape, depth)?;
                Selection::add(&mut wanted, name, part);
            }
            if !self.takes(',') {
                return Ok(if is_all { Selection::All } else { Selection::Some(wanted) });
            }
        }
    }

    fn part(&mut self, name: &str, shape: &Shape, depth: usize) -> Result<Selection, String> {
        let below = shape.field(name).ok_or_else(|| name.to_owned())?;
        if self.takes('(') {
            let inner = self.list(below, depth + 1)?;
            return if self.takes(')') { Ok(inner) } else { Err(self.rest.to_owned()) };
        }
        if !self.takes('/') {
            return Ok(Selection::All);
        }
        let inner = self.name()?;
        if inner == "*" {
            return Ok(Selection::All);
        }
        if depth > MAX_DEPTH {
            return Err(self.rest.to_owned());
        }
        let part = self.part(inner, below, depth + 1)?;
        Ok(Selection::Some(BTreeMap::from([(inner.to_owned(), part)])))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::drive::schema::{ABOUT, FILE, FILE_LIST};

    fn applied(fields: &str, shape: &Shape, value: Value) -> Value {
        Selection::parse(fields, shape).unwrap().apply(value)
    }

    #[test]
    fn only_what_was_asked_for_is_left() {
        let list =
            json!({"kind": "k", "nextPageToken": "t", "files": [{"id": "1", "name": "a", "size": "3"}, {"id": "2"}]});
        let wanted = json!({"nextPageToken": "t", "files": [{"id": "1", "name": "a"}, {"id": "2"}]});
        for fields in [
            "nextPageToken,files(id,name)",
            "files/id, nextPageToken ,files/name",
            "nextPageToken,files(id),files(name)",
        ] {
            assert_eq!(applied(fields, &FILE_LIST, list.clone()), wanted, "{fields}");
        }
        assert_eq!(applied("*", &FILE_LIST, list.clone()), list);
        assert_eq!(applied("files", &FILE_LIST, list.clone()), json!({"files": list["files"]}));
        assert_eq!(applied("files(*)", &FILE_LIST, list.clone()), json!({"files": list["files"]}));
        assert_eq!(applied("files/*", &FILE_LIST, list.clone()), json!({"files": list["files"]}));
        assert_eq!(applied("files,files/id", &FILE_LIST, list.clone()), json!({"files": list["files"]}));
        let about = json!({"storageQuota": {"usage": "1", "limit": "2"}, "user": {"me": true}});
        assert_eq!(applied("storageQuota(usage)", &ABOUT, about), json!({"storageQuota": {"usage": "1"}}));
    }

    #[test]
    fn what_there_is_not_is_refused() {
        for fields in ["", "nosuch", "id,", "id,,name", "files(id", "id)", "size/x", "owners(nosuch)", "id name", "("] {
            Selection::parse(fields, &FILE).expect_err(fields);
        }
        for fields in ["id", "owners(me)", "capabilities/canEdit", "contentRestrictions(readOnly)"] {
            Selection::parse(fields, &FILE).expect(fields);
        }
    }
}
