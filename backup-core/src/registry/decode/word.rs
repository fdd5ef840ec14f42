//! Keys, and the variants of enums: a bare word, or a table of one entry.

use serde::de::{self, DeserializeSeed, Deserializer, EnumAccess, Unexpected, VariantAccess, Visitor};
use serde::forward_to_deserialize_any;

use super::node::{Node, TableNode};
use super::{DecodeError, Trail};
use crate::registry::problem::Origin;

/// A table of one entry read as an enum: its name is the variant, its value what the variant holds.
pub(super) struct OneEntry<'a>(pub(super) TableNode<'a>);

impl<'de, 'a> EnumAccess<'de> for OneEntry<'a> {
    type Error = DecodeError;
    type Variant = Variant<'a>;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Variant<'a>), DecodeError> {
        let TableNode { table, trail } = self.0;
        let mut entries = table.entries.iter();
        match (entries.next(), entries.next()) {
            (Some((name, value)), None) => {
                let word = Word { text: name, origin: &value.origin, trail };
                Ok((seed.deserialize(word)?, Variant { name, content: Node { value, trail } }))
            }
            _ => Err(de::Error::invalid_type(Unexpected::Map, &"a table with one key")),
        }
    }
}

/// A key, or the name of an enum's variant; gives its errors their place, as [`Node`] does.
#[derive(Clone, Copy)]
pub(super) struct Word<'a> {
    pub(super) text: &'a str,
    pub(super) origin: &'a Origin,
    pub(super) trail: &'a Trail,
}

impl<'de> Deserializer<'de> for Word<'_> {
    type Error = DecodeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_str(self.text).map_err(|error| self.trail.locate(error, self.origin))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        visitor.visit_enum(self).map_err(|error| self.trail.locate(error, self.origin))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct seq
        tuple tuple_struct map struct identifier ignored_any
    }
}

impl<'de> EnumAccess<'de> for Word<'_> {
    type Error = DecodeError;
    type Variant = NoContent;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, NoContent), DecodeError> {
        Ok((seed.deserialize(self)?, NoContent))
    }
}

/// The variant of an enum that is written as a bare word.
pub(super) struct NoContent;

impl<'de> VariantAccess<'de> for NoContent {
    type Error = DecodeError;

    fn unit_variant(self) -> Result<(), DecodeError> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, _: T) -> Result<T::Value, DecodeError> {
        Err(de::Error::invalid_type(Unexpected::UnitVariant, &"a table with one key"))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _len: usize, _: V) -> Result<V::Value, DecodeError> {
        Err(de::Error::invalid_type(Unexpected::UnitVariant, &"a table with one key"))
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], _: V) -> Result<V::Value, DecodeError> {
        Err(de::Error::invalid_type(Unexpected::UnitVariant, &"a table with one key"))
    }
}

pub(super) struct Variant<'a> {
    name: &'a str,
    content: Node<'a>,
}

impl<'a> Variant<'a> {
    fn inside<T>(self, visit: impl FnOnce(Node<'a>) -> T) -> T {
        self.content.trail.inside(self.name.to_owned(), || visit(self.content))
    }
}

impl<'de> VariantAccess<'de> for Variant<'_> {
    type Error = DecodeError;

    fn unit_variant(self) -> Result<(), DecodeError> {
        Err(de::Error::invalid_type(Unexpected::Map, &"a word"))
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, DecodeError> {
        self.inside(|content| seed.deserialize(content))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _len: usize, visitor: V) -> Result<V::Value, DecodeError> {
        self.inside(|content| content.deserialize_seq(visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.inside(|content| content.deserialize_struct("", fields, visitor))
    }
}
