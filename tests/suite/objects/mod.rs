//! Object stores and web servers: the same bits as from local files.
//!
//! `digits` compares runs over a bucket of a real server with local ones; `listing` counts requests; what goes wrong is in
//! `faults/objects.rs`.

mod digits;
mod http;
mod listing;
mod moto;
pub(crate) mod stub;
mod web;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::faults::{Place, said};
#[cfg(feature = "cluster")]
pub(crate) use moto::Moto;

/// A server on this machine.
pub(crate) trait Server {
    fn port(&self) -> u16;

    /// A command that finds this server where S3 is asked for, and no credentials of the user.
    fn command(&self, place: &Place, arguments: &[&str]) -> Command {
        let mut command = place.command(arguments);
        let ours = std::env::vars_os().map(|(name, _)| name);
        ours.filter(|name| name.to_string_lossy().starts_with("AWS_")).for_each(|name| {
            command.env_remove(name);
        });
        command
            .env("HOME", place.0.path())
            .env("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{}", self.port()))
            .env("AWS_ACCESS_KEY_ID", "someone")
            .env("AWS_SECRET_ACCESS_KEY", "secret")
            .env("AWS_REGION", "us-east-1");
        command
    }

    fn run(&self, place: &Place, arguments: &[&str]) -> Output {
        self.command(place, arguments).output().unwrap()
    }

    /// Runs what must succeed; returns what it prints.
    fn succeed(&self, place: &Place, arguments: &[&str]) -> String {
        let output = self.run(place, arguments);
        assert!(output.status.success(), "{arguments:?}: {}", said(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs what must fail with this code; returns what it says.
    fn fail(&self, place: &Place, code: i32, arguments: &[&str]) -> String {
        let output = self.run(place, arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", said(&output));
        said(&output)
    }
}

/// The files below a folder, by their names from there.
pub(crate) fn files(folder: &Path) -> Vec<(String, PathBuf)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push((path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned(), path));
            }
        }
    }
    found.sort();
    found
}

/// Objects of a bucket `b` from the files below a folder, under a key.
pub(crate) fn objects(key: &str, folder: &Path) -> stub::Objects {
    files(folder).into_iter().map(|(name, path)| (format!("b/{key}/{name}"), std::fs::read(path).unwrap())).collect()
}

pub(crate) fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}
