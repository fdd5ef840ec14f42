//! Reading TOML into values with their lines, and wording what serde says.

use serde::de::Unexpected;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{ConfigProblem, Origin};
use super::table::{Data, Table, Value};

/// Reads a whole TOML document; every value knows its line in `file`.
///
/// # Errors
/// A problem that names the line and never repeats a part of the text.
pub(crate) fn document(file: &str, text: &str) -> Result<Table, ConfigProblem> {
    let reader = Reader { file: file.into(), text };
    let parsed = DeTable::parse(text).map_err(|error| {
        // Only `message`, which is in toml's own words; its `Display` repeats the line.
        let origin = error.span().map_or_else(|| Origin::named(file), |span| reader.origin(span.start));
        ConfigProblem::new("", error.message().to_owned()).with_origin(&origin)
    })?;
    reader.table(parsed.get_ref(), Origin::named(file), "")
}

/// The list or inline table that a text from a variable or flag stands for, `None` when it is neither.
pub(crate) fn structure(text: &str, origin: &Origin) -> Option<Value> {
    if !text.starts_with(['[', '{']) {
        return None;
    }
    let parsed = DeValue::parse(text).ok()?;
    let value = Reader { file: "".into(), text }.value(&parsed, "").ok()?;
    Some(Value { data: value.data, origin: origin.clone() }.with_all_origins(origin))
}

struct Reader<'a> {
    file: std::sync::Arc<str>,
    text: &'a str,
}

impl Reader<'_> {
    fn origin(&self, offset: usize) -> Origin {
        let before = self.text.as_bytes().iter().take(offset);
        let line = 1 + before.filter(|byte| **byte == b'\n').count();
        Origin::line(std::sync::Arc::clone(&self.file), u32::try_from(line).unwrap_or(u32::MAX))
    }

    fn table(&self, parsed: &DeTable<'_>, origin: Origin, path: &str) -> Result<Table, ConfigProblem> {
        let mut table = Table::new().from_origin(origin);
        for (name, value) in parsed {
            let path = super::problem::join(path, name.get_ref());
            table.entries.insert(name.get_ref().to_string(), self.value(value, &path)?);
        }
        Ok(table)
    }

    fn value(&self, parsed: &Spanned<DeValue<'_>>, path: &str) -> Result<Value, ConfigProblem> {
        let origin = self.origin(parsed.span().start);
        let out_of_range = || ConfigProblem::new(path, "the number is too large").with_origin(&origin);
        let data = match parsed.get_ref() {
            DeValue::String(text) => Data::Text(text.to_string()),
            DeValue::Integer(number) => {
                Data::Integer(i64::from_str_radix(number.as_str(), number.radix()).map_err(|_| out_of_range())?)
            }
            DeValue::Float(number) => Data::Float(number.as_str().parse().map_err(|_| out_of_range())?),
            DeValue::Boolean(value) => Data::Bool(*value),
            DeValue::Datetime(time) => Data::Text(time.to_string()),
            DeValue::Array(items) => Data::List(
                (0_usize..)
                    .zip(items.iter())
                    .map(|(index, item)| self.value(item, &format!("{path}.{index}")))
                    .collect::<Result<_, _>>()?,
            ),
            DeValue::Table(table) => Data::Table(self.table(table, origin.clone(), path)?),
        };
        Ok(Value { data, origin })
    }
}

impl Value {
    /// The same with everything in it coming from one place.
    fn with_all_origins(mut self, origin: &Origin) -> Self {
        self.origin = origin.clone();
        match &mut self.data {
            Data::List(items) => {
                for item in items {
                    *item = item.clone().with_all_origins(origin);
                }
            }
            Data::Table(table) => {
                table.origin = origin.clone();
                for value in table.entries.values_mut() {
                    *value = value.clone().with_all_origins(origin);
                }
            }
            Data::Bool(_) | Data::Integer(_) | Data::Float(_) | Data::Text(_) | Data::Loose(_) => {}
        }
        self
    }
}

/// What serde expects, in words of people.
pub(crate) fn plain(expected: &str) -> String {
    let words = match expected {
        "u8" => "a whole number from 0 to 255",
        "u16" => "a whole number from 0 to 65535",
        "u32" => "a whole number from 0 to 4294967295",
        "u64" | "usize" | "u128" => "a whole number, zero or more",
        "i8" | "i16" | "i32" | "i64" | "isize" | "i128" => "a whole number",
        "f32" | "f64" => "a number",
        "a string" | "string" | "path string" | "identifier" => "text",
        "a boolean" => "`true` or `false`",
        "a sequence" => "a list",
        "a map" | "map" => "a table",
        other if other.starts_with("struct ") || other.starts_with("dyn ") => "a table",
        other => other,
    };
    words.to_owned()
}

/// What kind of value serde found, without the value.
pub(crate) fn kind(unexpected: &Unexpected<'_>) -> &'static str {
    match unexpected {
        Unexpected::Bool(_) => "truth value",
        Unexpected::Unsigned(_) | Unexpected::Signed(_) => "number",
        Unexpected::Float(_) => "fraction",
        Unexpected::Seq => "list",
        Unexpected::Map => "table",
        Unexpected::Char(_) | Unexpected::Str(_) | Unexpected::Bytes(_) | Unexpected::UnitVariant => "text",
        Unexpected::Unit
        | Unexpected::Option
        | Unexpected::NewtypeStruct
        | Unexpected::Enum
        | Unexpected::NewtypeVariant
        | Unexpected::TupleVariant
        | Unexpected::StructVariant
        | Unexpected::Other(_) => "value of another kind",
    }
}
