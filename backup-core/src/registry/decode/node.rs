//! Tables and values as serde reads them.

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;

use super::word::{OneEntry, Word};
use super::{DecodeError, Trail, What};
use crate::registry::table::{Data, Table, Value};
use crate::registry::{TYPE_KEY, text};

/// A table.
#[derive(Clone, Copy)]
pub(super) struct TableNode<'a> {
    pub(super) table: &'a Table,
    pub(super) trail: &'a Trail,
}

impl<'a> TableNode<'a> {
    fn entries(self) -> Entries<'a> {
        // The tag first: typetag then hands the rest on as it comes instead of buffering it, which keeps the places.
        let is_tag = |(name, _): &(&'a String, &'a Value)| name.as_str() == TYPE_KEY;
        let mut pending: Vec<_> = self.table.entries.iter().rev().filter(|entry| !is_tag(entry)).collect();
        pending.extend(self.table.entries.iter().find(is_tag));
        Entries { pending, current: None, trail: self.trail }
    }

    fn refuse_unknown(self, fields: &'static [&'static str]) -> Result<(), DecodeError> {
        match self.table.names().find(|name| !fields.contains(name)) {
            None => Ok(()),
            Some(name) => {
                let error = DecodeError::new(What::UnknownKey { key: name.to_owned(), known: fields });
                Err(self.trail.locate(error, self.table.origin_of(name)))
            }
        }
    }
}

impl<'de> Deserializer<'de> for TableNode<'_> {
    type Error = DecodeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_map(self.entries()).map_err(|error| self.trail.locate(error, &self.table.origin))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.refuse_unknown(fields)?;
        self.deserialize_any(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.refuse_unknown(&[])?;
        visitor.visit_unit()
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        visitor.visit_enum(OneEntry(self)).map_err(|error| self.trail.locate(error, &self.table.origin))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit seq tuple tuple_struct
        map identifier ignored_any
    }
}

struct Entries<'a> {
    /// What is still to come, last first.
    pending: Vec<(&'a String, &'a Value)>,
    current: Option<(&'a String, &'a Value)>,
    trail: &'a Trail,
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = DecodeError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, DecodeError> {
        self.current = self.pending.pop();
        match self.current {
            None => Ok(None),
            Some((name, value)) => {
                seed.deserialize(Word { text: name, origin: &value.origin, trail: self.trail }).map(Some)
            }
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, DecodeError> {
        match self.current.take() {
            None => Err(DecodeError::new(What::Opaque)),
            Some((name, value)) => self.trail.inside(name.clone(), || Node { value, trail: self.trail }.seeded(seed)),
        }
    }
}

/// A value.
#[derive(Clone, Copy)]
pub(super) struct Node<'a> {
    pub(super) value: &'a Value,
    pub(super) trail: &'a Trail,
}

impl<'a> Node<'a> {
    fn located<T>(self, result: Result<T, DecodeError>) -> Result<T, DecodeError> {
        result.map_err(|error| self.trail.locate(error, &self.value.origin))
    }

    /// What a seed makes of the value. A type that is made from another can refuse what that one took, so the place is
    /// given here too.
    fn seeded<'de, S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, DecodeError> {
        self.located(seed.deserialize(self))
    }

    fn list<'de, V: Visitor<'de>>(self, items: &'a [Value], visitor: V) -> Result<V::Value, DecodeError> {
        self.located(visitor.visit_seq(Items { items: items.iter().enumerate(), trail: self.trail }))
    }

    /// The value that loose text stands for where a list or table is wanted.
    fn loosened(self) -> Option<Value> {
        match &self.value.data {
            Data::Loose(text) => text::structure(text, &self.value.origin),
            Data::Bool(_) | Data::Integer(_) | Data::Float(_) | Data::Text(_) | Data::List(_) | Data::Table(_) => None,
        }
    }
}

macro_rules! numbers {
    ($($method:ident => $number:ty, $visit:ident;)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
            if let Data::Loose(text) = &self.value.data
                && let Ok(number) = text.parse::<$number>()
            {
                return self.located(visitor.$visit(number));
            }
            self.deserialize_any(visitor)
        }
    )*};
}

impl<'de> Deserializer<'de> for Node<'_> {
    type Error = DecodeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match &self.value.data {
            Data::Bool(value) => self.located(visitor.visit_bool(*value)),
            Data::Integer(value) => self.located(visitor.visit_i64(*value)),
            Data::Float(value) => self.located(visitor.visit_f64(*value)),
            Data::Text(text) | Data::Loose(text) => self.located(visitor.visit_str(text)),
            Data::List(items) => self.list(items, visitor),
            Data::Table(table) => TableNode { table, trail: self.trail }.deserialize_any(visitor),
        }
    }

    numbers! {
        deserialize_bool => bool, visit_bool;
        deserialize_i8 => i64, visit_i64;
        deserialize_i16 => i64, visit_i64;
        deserialize_i32 => i64, visit_i64;
        deserialize_i64 => i64, visit_i64;
        deserialize_u8 => u64, visit_u64;
        deserialize_u16 => u64, visit_u64;
        deserialize_u32 => u64, visit_u64;
        deserialize_u64 => u64, visit_u64;
        deserialize_f32 => f64, visit_f64;
        deserialize_f64 => f64, visit_f64;
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.located(visitor.visit_some(self))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.located(visitor.visit_newtype_struct(self))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match (&self.value.data, self.loosened()) {
            (_, Some(Value { data: Data::List(items), .. })) => {
                self.located(visitor.visit_seq(Items { items: items.iter().enumerate(), trail: self.trail }))
            }
            (Data::Loose(text), _) if text.is_empty() => self.list(&[], visitor),
            (Data::Loose(_), _) => self.list(std::slice::from_ref(self.value), visitor),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _len: usize, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _len: usize,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.loosened() {
            Some(Value { data: Data::Table(table), .. }) => {
                TableNode { table: &table, trail: self.trail }.deserialize_any(visitor)
            }
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        match (&self.value.data, self.loosened()) {
            (Data::Table(table), _) => TableNode { table, trail: self.trail }.deserialize_struct(name, fields, visitor),
            (_, Some(Value { data: Data::Table(table), .. })) => {
                TableNode { table: &table, trail: self.trail }.deserialize_struct(name, fields, visitor)
            }
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        match &self.value.data {
            Data::Text(text) | Data::Loose(text) => {
                let word = Word { text, origin: &self.value.origin, trail: self.trail };
                self.located(visitor.visit_enum(word))
            }
            Data::Table(table) => TableNode { table, trail: self.trail }.deserialize_enum(name, variants, visitor),
            Data::Bool(_) | Data::Integer(_) | Data::Float(_) | Data::List(_) => self.deserialize_any(visitor),
        }
    }

    forward_to_deserialize_any! {
        i128 u128 char str string bytes byte_buf unit unit_struct identifier ignored_any
    }
}

struct Items<'a> {
    items: std::iter::Enumerate<std::slice::Iter<'a, Value>>,
    trail: &'a Trail,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = DecodeError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, DecodeError> {
        match self.items.next() {
            None => Ok(None),
            Some((index, value)) => {
                self.trail.inside(index.to_string(), || Node { value, trail: self.trail }.seeded(seed)).map(Some)
            }
        }
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len())
    }
}
