//! The fast way to a request's fields: serde_json, with the contract's own reading of
//! objects.
//!
//! It accepts only what is valid as a whole, and never something that the reference
//! parser ([`crate::json`]) refuses. What it does not accept, the reference parser reads
//! again: it has the last word, and the words for what is wrong.

use alloc::borrow::Cow;
use core::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use super::Text;

/// The values of a request's fields, in the order of their names.
pub(super) type Fields<'a, const N: usize> = [Text<'a>; N];

/// The strings that stand under `names` in the object that `json` is; the last one where
/// a name stands twice. `None` where one is missing or not a string, and wherever the
/// text is not plain and simple.
pub(super) fn read<'a, const N: usize>(json: &'a str, names: &[&str; N]) -> Option<Fields<'a, N>> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    // Not a derived `Deserialize`: that takes a list for an object.
    let fields = deserializer.deserialize_map(Object { names }).ok()?;
    deserializer.end().ok()?;
    // An array of all values, or nothing.
    let mut all: Fields<'a, N> = [const { Cow::Borrowed("") }; N];
    for (value, field) in all.iter_mut().zip(fields) {
        *value = field?;
    }
    Some(all)
}

struct Object<'n, const N: usize> {
    names: &'n [&'n str; N],
}

impl<'de, const N: usize> Visitor<'de> for Object<'_, N> {
    type Value = [Option<Text<'de>>; N];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = [const { None }; N];
        while let Some(name) = map.next_key_seed(Str)? {
            let place = self.names.iter().position(|known| *known == name);
            match place.and_then(|place| fields.get_mut(place)) {
                Some(field) => *field = Some(map.next_value_seed(Str)?),
                None => map.next_value_seed(Anything { depth: 0 })?,
            }
        }
        Ok(fields)
    }
}

/// A string, borrowed where it has no escapes.
struct Str;

impl<'de> DeserializeSeed<'de> for Str {
    type Value = Text<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Text<'de>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Str {
    type Value = Text<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
        Ok(Cow::Owned(text.into()))
    }
}

/// Any value, read and forgotten. serde's `IgnoredAny` does not read: it lets half
/// surrogate pairs, numbers that overflow and any depth through.
struct Anything {
    depth: usize,
}

/// Deeper values are left to the reference parser, which needs no stack for them.
const MAX_DEPTH: usize = 8;

impl<'de> DeserializeSeed<'de> for Anything {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        if self.depth > MAX_DEPTH {
            return Err(D::Error::custom("too deep"));
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Anything {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let depth = self.depth + 1;
        while seq.next_element_seed(Anything { depth })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let depth = self.depth + 1;
        while map.next_key_seed(Str)?.is_some() {
            map.next_value_seed(Anything { depth })?;
        }
        Ok(())
    }
}
