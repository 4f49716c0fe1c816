//! A web page under /demo/: a folder that was read when the server started. A request only
//! looks up a name, so that none can reach what is not in the folder.

mod folder;
mod media;

use std::{collections::HashMap, path::Path};

use bytes::Bytes;
use http::{header, request::Parts};
use tenantry_core::contract::{self, Allow, Method};

pub use self::folder::DemoError;
use self::{
    folder::{Found, INDEX},
    media::HTML,
};
use super::{
    files::File,
    service::{self, Answer},
};

/// What all of its paths begin with.
const PATH: &[u8] = b"/demo";

/// The files of a web page.
pub struct Demo {
    /// By their paths in the folder.
    files: HashMap<Vec<u8>, File>,
}

impl Demo {
    /// Reads the folder of a web page, and compresses what gets smaller by that.
    ///
    /// # Errors
    /// It cannot be served as a whole: says what of it, and why.
    pub fn read(folder: &Path) -> Result<Self, DemoError> {
        let found = folder::read(folder)?;
        let files = found.into_iter().map(|Found { name, bytes }| {
            let file = file(&name, bytes.into());
            (name.into_bytes(), file)
        });
        Ok(Self {
            files: files.collect(),
        })
    }

    /// The answer to a request for a file of the page, or for the page.
    pub(super) fn answer(&self, method: Method, head: &Parts) -> Option<Answer> {
        let path = contract::percent_decoded(head.uri.path());
        let name = path.strip_prefix(PATH)?;
        let file = match name {
            // Relative addresses in the page need the slash.
            [] => None,
            [b'/'] => Some(self.files.get(INDEX.as_bytes())?),
            [b'/', name @ ..] => Some(self.files.get(name)?),
            _ => return None,
        };
        let is_head = method == Method::Head;
        if !is_head && method != Method::Get {
            return Some(service::own(contract::Response {
                allow: Some(Allow::GetHead),
                ..contract::Response::detail(405, "Method Not Allowed")
            }));
        }
        Some(match file {
            Some(file) => file.answer(is_head, &head.headers),
            None => {
                let query = head.uri.query().unwrap_or_default();
                service::own(contract::Response {
                    head_only: is_head,
                    ..contract::Response::redirect("/demo/", query)
                })
            }
        })
    }
}

fn file(name: &str, bytes: Bytes) -> File {
    let content_type = media::content_type(name);
    let file = File::new(bytes, content_type, media::cache_control(name))
        .with(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    if content_type == HTML {
        // All else a page says by itself; this is not heard from there.
        file.with(header::CONTENT_SECURITY_POLICY, "frame-ancestors 'none'")
    } else {
        file
    }
}
