//! The folders that a server can be given for its web page, and those that are refused
//! before it listens.

use std::{fs, net::TcpListener, path::Path};

use super::{INDEX, assert_not_found, folder, page, start};
use crate::support::{
    client::{ask, get},
    program::{Program, run, tenantry},
    server::Way,
};

/// `tenantry serve` with this folder, and an address that cannot be bound.
fn refusal(folder: &Path) -> String {
    let occupied = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let listen = occupied.local_addr().expect("an address").to_string();
    let folder = folder.to_str().expect("UTF-8");
    let output = run(&["serve", "--listen", &listen, "--demo", folder]);
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(output.stdout.is_empty());
    assert!(!message.contains(&listen), "{message}");
    assert_eq!(message.lines().count(), 1, "{message}");
    assert!(message.contains("--demo"), "{message}");
    message
}

fn assert_refused(folder: &Path, path: &Path, what: &str) {
    let message = refusal(folder);
    let start = format!("error: {}: {what}", path.display());
    assert!(message.starts_with(&start), "{message}, and not {start}");
}

#[test]
fn a_folder_without_a_page_is_refused() {
    let missing = Path::new("no/such/folder");
    assert_refused(missing, missing, "the folder cannot be read");
    let file = Path::new("Cargo.toml");
    assert_refused(file, file, "the folder cannot be read");
    let empty = folder("empty", &[("sub/index.html", b"x")]);
    assert_refused(&empty, &empty, "there is no index.html");
    let nested = folder("nested", &[("index.html/index.html", b"x")]);
    assert_refused(&nested, &nested, "there is no index.html");
}

#[test]
fn a_folder_of_more_than_64_mib_is_refused() {
    let large = page("large", &[("a.bin", &[]), ("sub/b.bin", &[])]);
    for name in ["a.bin", "sub/b.bin"] {
        let file = fs::File::options().write(true).open(large.join(name));
        file.and_then(|file| file.set_len(32 << 20))
            .expect("a file");
    }
    assert_refused(&large, &large, "there are more than 64 MiB of files");
    fs::remove_dir_all(large).expect("a folder");
}

#[test]
fn a_folder_of_more_than_4096_files_is_refused() {
    let many = page("many", &[]);
    for n in 0..4096 {
        fs::write(many.join(format!("{n}.txt")), "").expect("a file");
    }
    assert_refused(&many, &many, "there are more than 4096 files and folders");
    // The page is one of those that it may have.
    fs::remove_file(many.join("0.txt")).expect("a file");
    let server = start(Way::Native, many.clone());
    assert_eq!(ask(server.address, &get("/demo/4095.txt")).status, 200);
    fs::remove_dir_all(many).expect("a folder");
}

#[test]
fn the_folder_may_be_named_in_the_environment() {
    let folder = page("environment", &[]);
    let mut command = tenantry(&["serve", "--listen=127.0.0.1:0", "--engine=native"]);
    command.env("TENANTRY_DEMO", folder);
    let server = Program::start(command);
    assert_eq!(ask(server.address, &get("/demo/")).text(), INDEX);
}

#[cfg(unix)]
mod unix {
    use std::{
        ffi::OsStr,
        os::unix::{ffi::OsStrExt, fs::symlink, net::UnixListener},
    };

    use super::*;

    #[test]
    fn a_link_to_a_file_in_the_folder_is_that_file() {
        let folder = page(
            "links",
            &[("..data/real.js", b"let x;"), ("sub/a.txt", b"a")],
        );
        symlink("..data/real.js", folder.join("app.js")).expect("a link");
        symlink("../sub/a.txt", folder.join("sub/b.txt")).expect("a link");
        symlink("/etc", folder.join(".out")).expect("a link");
        let linked = folder.with_file_name("linked-folder");
        let _ = fs::remove_file(&linked);
        symlink(&folder, &linked).expect("a link");
        for folder in [folder, linked] {
            let server = start(Way::Native, folder);
            let reply = ask(server.address, &get("/demo/app.js"));
            let content_type = reply.header("content-type");
            assert_eq!(content_type, Some("text/javascript; charset=utf-8"));
            assert_eq!(reply.body, b"let x;");
            assert_eq!(ask(server.address, &get("/demo/sub/b.txt")).body, b"a");
            assert_not_found(server.address, "/demo/..data/real.js");
            assert_not_found(server.address, "/demo/.out/passwd");
        }
    }

    #[test]
    fn a_link_that_leads_out_of_the_folder_is_refused() {
        let outside = folder("beside", &[("secret.txt", b"secret")]);
        let refused = [
            outside.join("secret.txt"),
            outside,
            "../beside/secret.txt".into(),
            "/etc/passwd".into(),
            "..".into(),
        ];
        for target in refused {
            let folder = page("leaving", &[("sub/a.txt", b"a")]);
            let link = folder.join("sub/link.txt");
            let target = match target.strip_prefix("..") {
                // From where the link stands.
                Ok(rest) if !rest.as_os_str().is_empty() => Path::new("../..").join(rest),
                _ => target,
            };
            symlink(&target, &link).expect("a link");
            let what = if target == Path::new("..") {
                "a symbolic link to a folder"
            } else {
                "a symbolic link that leads out of the folder"
            };
            assert_refused(&folder, &link, what);
        }
        // A folder whose name only begins with that of the served one.
        let folder = page("near", &[]);
        let near = super::folder("near-by", &[("a.txt", b"secret")]);
        symlink(near.join("a.txt"), folder.join("a.txt")).expect("a link");
        let what = "a symbolic link that leads out of the folder";
        assert_refused(&folder, &folder.join("a.txt"), what);
    }

    #[test]
    fn what_cannot_be_served_is_refused() {
        let folder = page("broken", &[]);
        let link = folder.join("a.txt");
        symlink("no-such-file", &link).expect("a link");
        assert_refused(&folder, &link, "the file cannot be read");
        fs::remove_file(&link).expect("a link");
        symlink("a.txt", &link).expect("a link");
        assert_refused(&folder, &link, "the file cannot be read");
        fs::remove_file(&link).expect("a link");
        let socket = UnixListener::bind(&link).expect("a socket");
        assert_refused(&folder, &link, "neither a file nor a folder");
        drop(socket);
        fs::remove_file(&link).expect("a socket");
        let odd = folder.join(OsStr::from_bytes(b"\xff.txt"));
        fs::write(&odd, "x").expect("a file");
        assert_refused(&folder, &odd, "a name that is not UTF-8");
    }
}
