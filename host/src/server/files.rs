//! Files as answers: as they are or compressed, in full or not again.

use std::{
    hash::{DefaultHasher, Hasher},
    io::{self, Read},
};

use bytes::Bytes;
use flate2::{
    Compression,
    read::{GzDecoder, GzEncoder},
};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use http_body_util::Full;

use super::service::Answer;

/// A file that is held in memory, and how it is answered.
pub(super) struct File {
    headers: HeaderMap,
    content: Content,
}

/// What a file holds.
enum Content {
    /// As it is: compressing gains nothing.
    Plain(Form),
    /// Compressed by gzip; unpacked for those who do not take that.
    Packed(Form),
    /// Both at hand.
    Both { plain: Form, packed: Form },
}

/// What is sent of a file.
#[derive(Clone)]
struct Form {
    bytes: Bytes,
    /// Tells it from other forms and other versions of the file.
    tag: Option<HeaderValue>,
}

impl File {
    /// A file. It is compressed where that makes it smaller.
    pub(super) fn new(
        plain: Bytes,
        content_type: &'static str,
        cache_control: &'static str,
    ) -> Self {
        let content = match packed(&plain) {
            Ok(packed) if packed.len() < plain.len() => Content::Both {
                plain: Form::tagged(plain),
                packed: Form::tagged(packed.into()),
            },
            _ => Content::Plain(Form::tagged(plain)),
        };
        Self {
            headers: headers(content_type, cache_control),
            content,
        }
    }

    /// A file that was compressed by gzip before.
    pub(super) fn packed(
        bytes: &'static [u8],
        content_type: &'static str,
        cache_control: &'static str,
    ) -> Self {
        let bytes = Bytes::from_static(bytes);
        Self {
            headers: headers(content_type, cache_control),
            content: Content::Packed(Form { bytes, tag: None }),
        }
    }

    /// The file with a further header in every answer.
    pub(super) fn with(mut self, name: HeaderName, value: &'static str) -> Self {
        self.headers.insert(name, HeaderValue::from_static(value));
        self
    }

    /// The answer to a request with these headers; to a HEAD, it is without its body.
    pub(super) fn answer(&self, is_head: bool, request: &HeaderMap) -> Answer {
        let mut answer = Response::new(Full::default());
        answer.headers_mut().clone_from(&self.headers);
        let Ok((form, is_packed)) = self.content.form(takes_gzip(request)) else {
            // What was packed by us can be unpacked.
            *answer.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            return answer;
        };
        if let Some(tag) = form.tag {
            let is_known = is_known(request, &tag);
            answer.headers_mut().insert(header::ETAG, tag);
            if is_known {
                answer.headers_mut().remove(header::CONTENT_TYPE);
                *answer.status_mut() = StatusCode::NOT_MODIFIED;
                return answer;
            }
        }
        if is_packed {
            let gzip = HeaderValue::from_static("gzip");
            answer.headers_mut().insert(header::CONTENT_ENCODING, gzip);
        }
        if is_head {
            let length = HeaderValue::from(form.bytes.len());
            answer.headers_mut().insert(header::CONTENT_LENGTH, length);
        } else {
            *answer.body_mut() = Full::new(form.bytes);
        }
        answer
    }
}

impl Content {
    /// The form for a client, and whether that is compressed.
    fn form(&self, takes_gzip: bool) -> io::Result<(Form, bool)> {
        Ok(match self {
            Self::Packed(packed) | Self::Both { packed, .. } if takes_gzip => {
                (packed.clone(), true)
            }
            Self::Plain(plain) | Self::Both { plain, .. } => (plain.clone(), false),
            Self::Packed(packed) => {
                let mut plain = Vec::new();
                GzDecoder::new(&*packed.bytes).read_to_end(&mut plain)?;
                let bytes = plain.into();
                (Form { bytes, tag: None }, false)
            }
        })
    }
}

impl Form {
    fn tagged(bytes: Bytes) -> Self {
        // Not one that withstands an attack: who could try one has the file itself.
        let mut hasher = DefaultHasher::new();
        hasher.write(&bytes);
        let tag = format!("\"{:x}-{:016x}\"", bytes.len(), hasher.finish());
        Self {
            bytes,
            tag: HeaderValue::try_from(tag).ok(),
        }
    }
}

fn packed(plain: &[u8]) -> io::Result<Vec<u8>> {
    let mut packed = Vec::new();
    GzEncoder::new(plain, Compression::default()).read_to_end(&mut packed)?;
    Ok(packed)
}

/// Whether the client has what the tag is of, and asks only for something else.
fn is_known(request: &HeaderMap, tag: &HeaderValue) -> bool {
    let known = request.get_all(header::IF_NONE_MATCH).iter();
    let mut known = known.flat_map(|value| value.as_bytes().split(|&byte| byte == b','));
    known.any(|known| {
        let known = known.trim_ascii();
        let known = known.strip_prefix(b"W/").unwrap_or(known);
        known == b"*" || known == tag.as_bytes()
    })
}

/// What is said about a file in every answer.
fn headers(content_type: &'static str, cache_control: &'static str) -> HeaderMap {
    HeaderMap::from_iter([
        (header::CONTENT_TYPE, HeaderValue::from_static(content_type)),
        (header::VARY, HeaderValue::from_static("accept-encoding")),
        (
            header::CACHE_CONTROL,
            HeaderValue::from_static(cache_control),
        ),
    ])
}

/// Whether the client takes gzip: it names it, or any coding, and not with a quality of
/// zero. Its own name counts more than `*`.
fn takes_gzip(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT_ENCODING);
    let codings = accepted
        .iter()
        .flat_map(|value| value.as_bytes().split(|&b| b == b','));
    let (mut by_name, mut by_any) = (None, None);
    for coding in codings {
        let coding = coding.trim_ascii().to_ascii_lowercase();
        let mut parts = coding.split(|&byte| byte == b';');
        let name = parts.next().unwrap_or_default().trim_ascii_end();
        let is_refused = parts.any(|part| {
            let quality = part.trim_ascii().strip_prefix(b"q=");
            quality.is_some_and(|quality| quality.iter().all(|byte| matches!(byte, b'0' | b'.')))
        });
        match name {
            b"gzip" | b"x-gzip" => by_name = Some(!is_refused),
            b"*" => by_any = Some(!is_refused),
            _ => {}
        }
    }
    by_name.or(by_any).unwrap_or(false)
}
