//! The shapes of arguments, as data, and the check of JSON against them.

use serde_json::{Map, Value};

/// What a value may be.
#[derive(Debug, Clone, Copy)]
pub enum Shape {
    /// `true` or `false`.
    Flag,
    /// Text of so many characters and of a form.
    Text {
        /// The fewest characters.
        min: usize,
        /// The most characters.
        max: usize,
        /// What it looks like.
        form: Form,
    },
    /// A whole number from the first to the last, both included.
    Whole(u64, u64),
    /// A time in UTC, to the second.
    Time,
    /// A list of at least and at most so many.
    List(&'static Shape, usize, usize),
    /// An object.
    Record(&'static Record),
    /// A tagged union.
    Choice(&'static Choice),
}

/// An object's fields.
#[derive(Debug)]
pub struct Record {
    /// Dropbox's name for it.
    pub name: &'static str,
    /// The fields.
    pub fields: &'static [Field],
}

/// One field.
#[derive(Debug)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// What it may be.
    pub shape: Shape,
    /// What holds where it is left out.
    pub absent: Absent,
}

/// What a field may do instead of having a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Absent {
    /// Nothing: it must be there.
    Never,
    /// It may be left out or `null`.
    Null,
    /// It may be left out, which means this JSON.
    Means(&'static str),
}

/// A union's members.
#[derive(Debug)]
pub struct Choice {
    /// Dropbox's name for it.
    pub name: &'static str,
    /// The tags that a client may send, with what they carry.
    pub members: &'static [(&'static str, Option<Shape>)],
}

/// What text looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Anything.
    Any,
    /// `/path`, `ns:1/path` or `id:x`.
    WritePath,
    /// The same, without identities.
    NewPath,
    /// The same with `rev:0123456789`.
    ReadPath,
    /// A folder to list: nothing for the root, `/path`, `id:x` or `ns:1/path`.
    ListPath,
    /// A file whose history is asked for: `/path`, `id:x` or `ns:1/path`.
    PlainPath,
    /// A revision in hexadecimal digits.
    Rev,
    /// A template of properties.
    Template,
}

/// Any text.
pub(super) const TEXT: Shape = text(0, usize::MAX, Form::Any);

/// Text of a form.
pub(super) const fn text(min: usize, max: usize, form: Form) -> Shape {
    Shape::Text { min, max, form }
}

impl Form {
    /// Whether text looks like this.
    pub fn fits(self, text: &str) -> bool {
        let is_plain = || text.starts_with('/');
        // Line breaks may be in paths that begin with a slash, and nowhere else.
        let is_id = || text.strip_prefix("id:").is_some_and(|rest| !rest.contains('\n'));
        let is_rev =
            |text: &str| !text.is_empty() && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        match self {
            Self::Any => true,
            Self::WritePath | Self::PlainPath => is_plain() || is_id() || is_of_namespace(text),
            Self::NewPath => is_plain() || is_of_namespace(text),
            Self::ReadPath => {
                let is_revision = |rest: &str| rest.len() >= 9 && is_rev(rest);
                is_plain() || is_id() || is_of_namespace(text) || text.strip_prefix("rev:").is_some_and(is_revision)
            }
            Self::ListPath => text.is_empty() || is_plain() || is_id() || is_of_namespace(text),
            Self::Rev => is_rev(text),
            Self::Template => (is_plain() || text.starts_with("ptid:")) && !text.contains('\n'),
        }
    }
}

/// Whether text is `ns:` and a number, and a path perhaps.
fn is_of_namespace(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("ns:") else { return false };
    let number = rest.split('/').next().unwrap_or_default();
    !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
}

impl Shape {
    /// Checks a value; what comes back has every default in it, and every union as an object.
    ///
    /// # Errors
    /// What is wrong, as a sentence with the place.
    pub fn check(&self, value: &Value) -> Result<Value, String> {
        match self {
            Self::Flag if value.is_boolean() => Ok(value.clone()),
            Self::Flag => Err(format!("expected a boolean, got {}", kind(value))),
            Self::Text { min, max, form } => {
                let text = value.as_str().ok_or_else(|| format!("expected a string, got {}", kind(value)))?;
                let characters = text.chars().count();
                if !(*min..=*max).contains(&characters) || !form.fits(text) {
                    return Err(format!("`{text}` is not of the form that is asked for"));
                }
                Ok(value.clone())
            }
            Self::Whole(least, most) => match value.as_u64() {
                Some(number) if (*least..=*most).contains(&number) => Ok(value.clone()),
                _ => Err(format!("expected a whole number from {least} to {most}, got {value}")),
            },
            Self::Time => match value.as_str().and_then(parse_time) {
                Some(_) => Ok(value.clone()),
                None => Err(format!("expected a time such as 2026-01-02T03:04:05Z, got {value}")),
            },
            Self::List(shape, min, max) => {
                let items = value.as_array().ok_or_else(|| format!("expected a list, got {}", kind(value)))?;
                if !(*min..=*max).contains(&items.len()) {
                    return Err(format!("expected {min} to {max} items, got {}", items.len()));
                }
                let checked = items.iter().enumerate();
                let checked = checked.map(|(at, item)| shape.check(item).map_err(|error| format!("{at}: {error}")));
                checked.collect::<Result<Vec<_>, _>>().map(Value::Array)
            }
            Self::Record(record) => record.check(value, false),
            Self::Choice(choice) => choice.check(value),
        }
    }
}

impl Record {
    /// Checks an object, whose tag is somebody else's matter where it is part of a union.
    fn check(&self, value: &Value, is_member: bool) -> Result<Value, String> {
        let has_defaults = self.fields.iter().all(|field| field.absent != Absent::Never);
        let nothing = Map::new();
        let given = match value {
            Value::Object(given) => given,
            Value::Null if has_defaults => &nothing,
            _ => return Err(format!("expected an object, got {}", kind(value))),
        };
        let is_known = |name: &str| self.fields.iter().any(|field| field.name == name) || (is_member && name == ".tag");
        if let Some(name) = given.keys().find(|name| !is_known(name)) {
            return Err(format!("unknown field '{name}'"));
        }
        let mut checked = Map::new();
        for Field { name, shape, absent } in self.fields {
            let value = match (given.get(*name), absent) {
                (None, Absent::Never) => return Err(format!("missing required field '{name}'")),
                (None | Some(Value::Null), Absent::Null) => Value::Null,
                (None, Absent::Means(json)) => {
                    shape.check(&serde_json::from_str(json).expect("a table's defaults are JSON"))?
                }
                (Some(value), _) => shape.check(value).map_err(|error| format!("{name}: {error}"))?,
            };
            checked.insert((*name).to_owned(), value);
        }
        Ok(checked.into())
    }
}

impl Choice {
    fn check(&self, value: &Value) -> Result<Value, String> {
        let tag = match value {
            Value::String(tag) => tag,
            Value::Object(fields) => match fields.get(".tag") {
                Some(Value::String(tag)) => tag,
                Some(other) => return Err(format!("a tag must be a string, got {}", kind(other))),
                None => return Err("missing '.tag' key".to_owned()),
            },
            _ => return Err(format!("expected a string or an object, got {}", kind(value))),
        };
        let member = self.members.iter().find(|(name, _)| name == tag);
        let (_, carried) = member.ok_or_else(|| format!("unknown tag '{tag}'"))?;
        let fields = value.as_object();
        let mut checked = match (carried, fields) {
            (Some(Shape::Record(record)), Some(_)) => record.check(value, true)?,
            (Some(shape), Some(fields)) => {
                let inner = fields.get(tag).ok_or_else(|| format!("missing '{tag}' key"))?;
                let inner = shape.check(inner).map_err(|error| format!("{tag}: {error}"))?;
                Value::Object(Map::from_iter([(tag.clone(), inner)]))
            }
            (Some(_), None) => return Err(format!("expected an object for '{tag}'")),
            (None, _) => Value::Object(Map::new()),
        };
        let is_carried = |name: &str| name == tag && carried.is_some_and(|shape| !matches!(shape, Shape::Record(_)));
        let is_null = |name: &str, value: &Value| name == tag && carried.is_none() && value.is_null();
        let is_record = matches!(carried, Some(Shape::Record(_)));
        let unknown = fields
            .into_iter()
            .flatten()
            .find(|(name, value)| !is_record && *name != ".tag" && !is_carried(name) && !is_null(name, value));
        if let Some((name, _)) = unknown {
            return Err(format!("unexpected key '{name}'"));
        }
        checked[".tag"] = tag.as_str().into();
        Ok(checked)
    }
}

/// Reads a time as Dropbox takes it: UTC, whole seconds.
pub(super) fn parse_time(text: &str) -> Option<jiff::Timestamp> {
    let is_of_form = text.len() == 20 && text.ends_with('Z') && text.as_bytes()[10] == b'T';
    text.parse().ok().filter(|_| is_of_form)
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
