//! JSON as the contract wants it: CPython's `json.loads` decides what is valid and where
//! an error is, and values are echoed as CPython would write them.
//!
//! [`Document::parse`] is the reference: it follows CPython's scanner, character by
//! character. Where requests are answered, `contract::fields` first tries serde_json,
//! which is faster and refuses a little more; what that refuses comes here.

mod document;
mod scan;
mod write;

pub use document::{Document, Value};
pub use scan::Error;
pub(crate) use write::push_string;

/// Containers that may stand inside each other, the outermost included.
pub const MAX_DEPTH: usize = 128;

/// Decimal digits that an integer may have, its sign not counted.
pub const MAX_INTEGER_DIGITS: usize = 4300;
