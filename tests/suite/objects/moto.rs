//! A store of objects on this machine, as Python's `moto` serves it.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::http::{encoded, send};
use super::{Server, files};

/// Ends with the test that started it, since its standard input ends then.
const PROGRAM: &str = "
import os, sys, threading
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
from moto.server import main
main(['-H', '127.0.0.1', '-p', sys.argv[1]])
";

/// A server with one bucket, `bucket`.
pub(crate) struct Moto {
    process: Child,
    port: u16,
}

impl Moto {
    /// Starts a server. Without a Python that has moto, in `NCKIT_TEST_PYTHON`, it says so and the test is skipped; if
    /// `NCKIT_REQUIRE_MOTO` is 1 it fails.
    pub(crate) fn start() -> Option<Self> {
        let Some(python) = std::env::var_os("NCKIT_TEST_PYTHON") else {
            assert!(
                std::env::var_os("NCKIT_REQUIRE_MOTO").is_none_or(|value| value != "1"),
                "NCKIT_TEST_PYTHON names no Python with moto"
            );
            println!("skipped: NCKIT_TEST_PYTHON names no Python with moto, so there is no object store");
            return None;
        };
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let process = Command::new(python)
            .args(["-c", PROGRAM, &port.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let moto = Self { process, port };
        let start = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(start.elapsed() < Duration::from_mins(1), "the server does not answer");
            std::thread::sleep(Duration::from_millis(50));
        }
        assert_eq!(send(port, "PUT", "/bucket", &[], b"").0, 200);
        Some(moto)
    }

    pub(crate) fn put(&self, key: &str, bytes: &[u8]) {
        assert_eq!(self.send("PUT", key, bytes).0, 200, "{key}");
    }

    pub(crate) fn get(&self, key: &str) -> Option<Vec<u8>> {
        let (status, bytes) = self.send("GET", key, b"");
        (status == 200).then_some(bytes)
    }

    fn send(&self, method: &str, key: &str, body: &[u8]) -> (u16, Vec<u8>) {
        // The signature is not compared, but without one nobody may read.
        let someone =
            "AWS4-HMAC-SHA256 Credential=a/20250101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0";
        send(self.port, method, &format!("/bucket/{}", encoded(key)), &[("Authorization", someone)], body)
    }

    /// Puts the files below a folder under a key.
    pub(crate) fn put_all(&self, key: &str, folder: &Path) {
        for (name, path) in files(folder) {
            self.put(&format!("{key}/{name}"), &std::fs::read(path).unwrap());
        }
    }
}

impl Server for Moto {
    fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
