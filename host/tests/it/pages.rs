//! /docs and /redoc: pages that load nothing but what this server has.

use std::io::Read;

use flate2::read::GzDecoder;
use tenantry_conformance::{Exchange, Reply};

use crate::support::{
    client::{ask, get, with_header},
    server::{Served, Setup, Way},
};

const ASSETS: [(&str, &str); 3] = [
    (
        "/docs/swagger-ui-bundle.js",
        "text/javascript; charset=utf-8",
    ),
    ("/docs/swagger-ui.css", "text/css; charset=utf-8"),
    (
        "/redoc/redoc.standalone.js",
        "text/javascript; charset=utf-8",
    ),
];

const PAGES: [&str; 3] = ["/docs", "/redoc", "/docs/oauth2-redirect"];

fn start() -> Served {
    Setup::new(Way::Native).start()
}

fn head(target: &str) -> Exchange {
    Exchange {
        method: "HEAD".to_owned(),
        ..get(target)
    }
}

/// The values of `src` and `href` attributes.
fn addresses(page: &str) -> Vec<String> {
    let behind = [" src=\"", " href=\""]
        .into_iter()
        .flat_map(|name| page.split(name).skip(1));
    let values = behind.filter_map(|rest| Some(rest.split_once('"')?.0.to_owned()));
    values.collect()
}

fn text(reply: &Reply) -> String {
    String::from_utf8(reply.body.clone()).expect("UTF-8")
}

#[test]
fn pages_name_only_what_this_server_serves() {
    for way in Way::ALL {
        let server = Setup::new(way).start();
        let mut found = Vec::new();
        for path in PAGES {
            let reply = ask(server.address, &get(path));
            assert_eq!(reply.status, 200);
            assert_eq!(
                reply.header("content-type"),
                Some("text/html; charset=utf-8")
            );
            let page = text(&reply);
            assert!(!page.contains("://"), "{path} names another server");
            for address in addresses(&page) {
                if address.starts_with("data:") {
                    continue;
                }
                let asset = ask(server.address, &get(&format!("/{address}")));
                assert_eq!(asset.status, 200, "{path}: {address}");
                found.push(format!("/{address}"));
            }
        }
        for (asset, _) in ASSETS {
            assert!(
                found.iter().any(|found| found == asset),
                "{asset} is unused"
            );
        }
        assert!(found.iter().any(|found| found == "/openapi.json"));
    }
}

#[test]
fn a_browser_is_told_to_load_nothing_from_elsewhere() {
    for way in Way::ALL {
        let server = Setup::new(way).start();
        for path in PAGES {
            for exchange in [get(path), head(path)] {
                let reply = ask(server.address, &exchange);
                let policy = reply.header("content-security-policy");
                let policy = policy.expect("pages have a policy");
                let mut rules = policy.split(';').map(str::trim);
                assert_eq!(rules.next(), Some("default-src 'none'"));
                for source in rules.flat_map(|rule| rule.split(' ').skip(1)) {
                    assert!(
                        ["'self'", "'none'", "'unsafe-inline'", "data:", "blob:"].contains(&source),
                        "{policy}"
                    );
                }
            }
        }
        let reply = ask(server.address, &get("/openapi.json"));
        assert_eq!(reply.header("content-security-policy"), None);
    }
}

#[test]
fn assets_are_sent_as_they_are_or_compressed() {
    let server = start();
    for (path, content_type) in ASSETS {
        let plain = ask(server.address, &get(path));
        assert_eq!(plain.status, 200);
        assert_eq!(plain.header("content-type"), Some(content_type));
        assert_eq!(plain.header("content-encoding"), None);
        assert_eq!(plain.header("vary"), Some("accept-encoding"));
        assert_eq!(plain.header("cache-control"), Some("public, max-age=3600"));
        assert!(plain.body.len() > 50_000, "{path}");
        for accepted in [
            "gzip",
            "GZIP;q=0.5",
            "br, gzip",
            "x-gzip",
            "*",
            "deflate , gzip ; q=1.0",
        ] {
            let exchange = with_header(get(path), "accept-encoding", accepted);
            let packed = ask(server.address, &exchange);
            assert_eq!(
                packed.header("content-encoding"),
                Some("gzip"),
                "{accepted}"
            );
            assert_eq!(packed.header("content-type"), Some(content_type));
            assert_eq!(packed.header("vary"), Some("accept-encoding"));
            assert!(packed.body.len() < plain.body.len() / 2);
            let mut unpacked = Vec::new();
            GzDecoder::new(&*packed.body)
                .read_to_end(&mut unpacked)
                .expect("gzip");
            assert_eq!(unpacked, plain.body);
        }
        for refused in [
            "",
            "identity",
            "br",
            "gzip;q=0",
            "gzip; q=0.000",
            "gzip;q=0, *",
            "*;q=0",
            "gzipped",
        ] {
            let exchange = with_header(get(path), "accept-encoding", refused);
            let reply = ask(server.address, &exchange);
            assert_eq!(reply.header("content-encoding"), None, "{refused}");
            assert_eq!(reply.body, plain.body);
        }
    }
}

#[test]
fn a_head_says_what_a_get_would_send() {
    let server = start();
    let assets = ASSETS.map(|(path, _)| path);
    for path in assets.iter().chain(&PAGES).chain(&["/openapi.json"]) {
        for accepted in ["identity", "gzip"] {
            let ask = |exchange| {
                ask(
                    server.address,
                    &with_header(exchange, "accept-encoding", accepted),
                )
            };
            let (get, head) = (ask(get(path)), ask(head(path)));
            assert_eq!(head.status, 200);
            assert!(head.body.is_empty());
            let length = get.body.len().to_string();
            for reply in [&get, &head] {
                assert_eq!(reply.header("content-length"), Some(&*length), "{path}");
            }
            for name in ["content-type", "content-encoding", "vary", "cache-control"] {
                assert_eq!(get.header(name), head.header(name), "{path} {name}");
            }
        }
    }
}

#[test]
fn what_is_no_asset_is_not_found() {
    let server = start();
    for path in [
        "/docs/index.html",
        "/docs/swagger-ui-bundle.js.gz",
        "/docs/swagger-ui.css.map",
        "/docs/redoc.standalone.js",
        "/docs/SWAGGER-UI.css",
        "/docs/../docs/swagger-ui.css",
        "/docs//swagger-ui.css",
        "/redoc/",
        "/redoc/swagger-ui.css",
        "/swagger-ui.css",
        "/redoc/redoc.standalone.js/x",
    ] {
        let reply = ask(server.address, &get(path));
        let expected = if path.ends_with('/') { 307 } else { 404 };
        assert_eq!(reply.status, expected, "{path}");
        assert_ne!(reply.header("content-encoding"), Some("gzip"));
    }
    for (path, _) in ASSETS {
        let reply = ask(server.address, &Exchange::post(path, ""));
        assert_eq!(reply.status, 404, "{path}");
    }
    // A query is not looked at.
    let reply = ask(server.address, &get("/docs/swagger-ui.css?v=1"));
    assert_eq!(reply.status, 200);
}

#[test]
fn the_description_is_json_about_every_route() {
    let server = start();
    let reply = ask(server.address, &get("/openapi.json"));
    assert_eq!(reply.header("content-type"), Some("application/json"));
    let description: serde_json::Value = serde_json::from_slice(&reply.body).expect("JSON");
    let paths = description["paths"].as_object().expect("paths");
    let names: Vec<_> = paths.keys().map(String::as_str).collect();
    assert_eq!(names, ["/", "/chat", "/session"]);
}
