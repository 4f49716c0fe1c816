//! Step `serve`: `cargo xtask serve`, asked as the first users of the service would.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::{
    process::cargo,
    served::{Answer, Served},
    steps::Outcome,
};

/// Runs the step.
pub(crate) fn step() -> Result<Outcome> {
    // As typed by a user, on a free port.
    let mut command = cargo();
    command.args(["xtask", "serve", "--listen", "127.0.0.1:0"]);
    let server = Served::start(command.env_remove("PORT"))?;
    walk(&server)?;
    let page = server.get("/demo/")?;
    ensure!(
        page.status == 200 && page.body.contains("<title>Tenantry"),
        "the page is not under /demo/: {page:?}"
    );
    server.stop()?;
    Ok(Outcome::Passed)
}

/// Opens a session, chats in it, and sees that another tenant can't.
///
/// # Errors
/// An answer is not what it must be.
pub(crate) fn walk(server: &Served) -> Result<()> {
    expect(
        "the list of tenants",
        &server.get("/")?,
        200,
        r#"{"ok":true,"tenants":["acme","globex","initech"]}"#,
    )?;

    let opened = server.post("/session", &json!({ "tenant_id": "acme" }))?;
    let body: Value = serde_json::from_str(&opened.body).context("the session's JSON")?;
    let id = body["session_id"].as_str();
    let id = id.with_context(|| format!("{opened:?} has no session_id"))?;
    let expected = format!(
        r#"{{"session_id":"{id}","tenant":{{"id":"acme","name":"Acme Corp","welcome":"Howdy from Acme!"}}}}"#
    );
    expect("a new session", &opened, 200, &expected)?;

    let chat = |tenant: &str, session: &str| {
        let body = json!({ "tenant_id": tenant, "session_id": session, "message": " hello " });
        server.post("/chat", &body)
    };
    let expected = format!(
        "{{\"tenant_id\":\"acme\",\"session_id\":\"{id}\",\"reply\":\"Howdy from Acme! \
         [ACME MOCK] You said: 'hello'. Here's it reversed: 'olleh'\",\
         \"model\":\"mock-1\",\"mock\":true}}"
    );
    expect("a chat", &chat("acme", id)?, 200, &expected)?;
    expect(
        "a chat in another tenant's session",
        &chat("globex", id)?,
        403,
        r#"{"detail":"Session does not belong to tenant"}"#,
    )?;
    expect(
        "a chat in no session",
        &chat("globex", "nobody's")?,
        404,
        r#"{"detail":"Unknown session_id"}"#,
    )?;
    expect(
        "a chat with no tenant",
        &chat("nobody", id)?,
        404,
        r#"{"detail":"Unknown tenant_id"}"#,
    )
}

fn expect(what: &str, answer: &Answer, status: u16, body: &str) -> Result<()> {
    ensure!(
        answer.status == status && answer.body == body,
        "{what}: {answer:?} came instead of {status} {body:?}"
    );
    println!("{what}: {status} {body}");
    Ok(())
}
