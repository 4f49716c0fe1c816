//! JSON as the contract wants it: CPython's `json.loads` decides what is valid and where
//! an error is, and values are echoed as CPython would write them.
//!
//! There are libraries that read JSON, but none says where CPython would find an error, or
//! takes just what CPython takes. What must be exact for a wrong body is read by the same
//! rules for a right one, so there is one reader, and it is fast: it looks at eight bytes
//! at a time, and decodes nothing that is not asked for. In front of it stands `flat`, which
//! knows the form that nearly all bodies have, and leaves everything else to it.

mod document;
mod flat;
mod scan;
mod write;

pub use document::{Document, Value};
pub(crate) use flat::strings;
pub use scan::Error;
pub(crate) use write::push_string;
use write::special_at;

/// Containers that may stand inside each other, the outermost included.
pub const MAX_DEPTH: usize = 128;

/// Decimal digits that an integer may have, its sign not counted.
pub const MAX_INTEGER_DIGITS: usize = 4300;
