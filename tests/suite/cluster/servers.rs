//! A scheduler and executors on this machine.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use crate::faults::Place;

/// How long anything may take before a test fails.
pub(super) const LIMIT: Duration = Duration::from_mins(2);

/// A server, which ends with the test.
pub(super) struct Server {
    process: Child,
    lines: Receiver<String>,
}

impl Server {
    fn start(mut command: Command) -> Self {
        let mut process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let said = BufReader::new(process.stderr.take().unwrap());
        let (sender, lines) = channel();
        // Read to the end, or the server would wait for a reader.
        std::thread::spawn(move || said.lines().map_while(Result::ok).for_each(|line| drop(sender.send(line))));
        Self { process, lines }
    }

    /// The word that stands behind another in a line that the server says.
    fn word_after(&self, word: &str) -> String {
        let start = Instant::now();
        let mut said = Vec::new();
        loop {
            let left = LIMIT.saturating_sub(start.elapsed());
            let Ok(line) = self.lines.recv_timeout(left) else { panic!("no {word} in {said:?}") };
            let mut words = line.split_whitespace();
            if words.next() == Some(word) {
                return words.next().unwrap().to_owned();
            }
            said.push(line);
        }
    }

    /// SIGKILL.
    pub(super) fn kill(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A scheduler with executors of one slot.
pub(super) struct Servers {
    pub(super) scheduler: Server,
    pub(super) executors: Vec<Server>,
    /// `df://HOST:PORT`.
    pub(super) address: String,
    /// What servers are started with.
    environment: Vec<(String, String)>,
    folder: std::path::PathBuf,
}

impl Servers {
    pub(super) fn start(place: &Place, executors: usize) -> Self {
        Self::start_with(place, executors, "0", Vec::new())
    }

    /// The same on a port, with variables of the environment.
    pub(super) fn start_with(place: &Place, executors: usize, port: &str, environment: Vec<(String, String)>) -> Self {
        let mut command = place.command(&["scheduler", "--port", port, "--executor-timeout=6s"]);
        command.envs(environment.clone());
        let scheduler = Server::start(command);
        let address = scheduler.word_after("scheduler");
        let folder = place.0.path().to_owned();
        let mut servers = Self { scheduler, executors: Vec::new(), address, environment, folder };
        (0..executors).for_each(|_| servers.add());
        servers
    }

    /// Starts one more executor.
    pub(super) fn add(&mut self) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nckit"));
        command
            .args(["executor", "--scheduler", &self.address, "--slots=1", "--memory=1GiB"])
            .current_dir(&self.folder);
        command.envs(self.environment.clone()).env("TMPDIR", &self.folder);
        let executor = Server::start(command);
        executor.word_after("executor");
        self.executors.push(executor);
    }
}

/// Waits for the end of a process; kills it if it takes too long.
pub(super) fn wait(mut child: Child) -> std::process::Output {
    let start = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if start.elapsed() > LIMIT {
            let _ = child.kill();
            panic!("it takes longer than {} s", LIMIT.as_secs());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    child.wait_with_output().unwrap()
}
