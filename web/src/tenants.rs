//! What is known of the tenants, and what is wrong with their text.

use serde::Serialize;
use tenantry_core::{
    registry::{Problem, Registry},
    tenant::ReplyStyle,
};
use wasm_bindgen::prelude::*;

use crate::{Engine, to_js};

/// One thing that is wrong, or odd, about a text.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Trouble {
    line: Option<usize>,
    member: Option<String>,
    message: String,
}

impl From<&Problem> for Trouble {
    fn from(problem: &Problem) -> Self {
        Self {
            line: problem.line,
            member: problem.member.as_deref().map(str::to_owned),
            message: problem.what.to_string(),
        }
    }
}

/// Problems, and warnings, that are listed: all of them, of a text that people write. What
/// could be wrong with a text of some megabytes of something else would not fit in memory.
const MAX_LISTED: usize = 10_000;

fn listed(problems: &[Problem]) -> Vec<Trouble> {
    problems
        .iter()
        .take(MAX_LISTED)
        .map(Trouble::from)
        .collect()
}

/// What was found in a text.
#[derive(Serialize, Default)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Found {
    tenants: usize,
    problems: Vec<Trouble>,
    warnings: Vec<Trouble>,
}

impl Found {
    pub(crate) fn problems(problems: &[Problem]) -> Self {
        Self {
            problems: listed(problems),
            ..Self::default()
        }
    }

    pub(crate) fn accepted(registry: &Registry, warnings: &[Problem]) -> Self {
        Self {
            tenants: registry.rows().len(),
            warnings: listed(warnings),
            ..Self::default()
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Info<'a> {
    id: &'a str,
    name: &'a str,
    welcome: &'a str,
    model: &'a str,
    limits: Limits,
    reply: Reply<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Limits {
    // The name that the rows give it, in JavaScript's form.
    #[serde(rename = "chatPer10s")]
    chat_per_10s: Option<u32>,
    sessions: Option<u32>,
}

#[derive(Serialize)]
struct Reply<'a> {
    style: &'static str,
    tag: &'a str,
}

fn style_name(style: ReplyStyle) -> &'static str {
    let mut names = ReplyStyle::NAMES.into_iter();
    let name = names.find_map(|(name, known)| (known == style).then_some(name));
    name.unwrap_or_default()
}

#[wasm_bindgen]
impl Engine {
    /// What a text of tenants comes to. Nothing is kept of it.
    ///
    /// # Errors
    /// None that is known.
    #[wasm_bindgen(unchecked_return_type = "EngineReport")]
    pub fn check(tenants: &[u8]) -> Result<JsValue, JsError> {
        to_js(&match Registry::parse(tenants) {
            Ok(parsed) => Found::accepted(&parsed.registry, &parsed.warnings),
            Err(problems) => Found::problems(&problems.0),
        })
    }

    /// What is odd about this engine's text, and how many tenants it has.
    ///
    /// # Errors
    /// None that is known.
    #[wasm_bindgen(unchecked_return_type = "EngineReport")]
    pub fn report(&self) -> Result<JsValue, JsError> {
        to_js(&self.found)
    }

    /// All tenants, in the order of the text.
    ///
    /// # Errors
    /// None that is known.
    #[wasm_bindgen(unchecked_return_type = "EngineTenant[]")]
    pub fn tenants(&self) -> Result<JsValue, JsError> {
        let rows = self.memory.registry().rows().iter();
        let all: Vec<_> = rows.map(Info::from).collect();
        to_js(&all)
    }

    /// The tenant of that id.
    ///
    /// # Errors
    /// None that is known.
    #[wasm_bindgen(unchecked_return_type = "EngineTenant | undefined")]
    pub fn tenant(&self, id: &str) -> Result<JsValue, JsError> {
        let registry = self.memory.registry();
        let row = registry
            .place(id)
            .and_then(|place| registry.rows().get(place));
        to_js(&row.map(Info::from))
    }
}

impl<'a> From<&'a tenantry_core::registry::Row> for Info<'a> {
    fn from(row: &'a tenantry_core::registry::Row) -> Self {
        let tenant = row.tenant();
        Self {
            id: tenant.id,
            name: tenant.name,
            welcome: tenant.welcome,
            model: tenant.model,
            limits: Limits {
                chat_per_10s: row.limits.chat_per_10s,
                sessions: row.limits.sessions,
            },
            reply: Reply {
                style: style_name(tenant.reply.style),
                tag: tenant.reply.tag,
            },
        }
    }
}
