//! A server of a test's own, which it may stop, kill and start again: `scripts/lib/own-server` with a handle.
//!
//! The calls block; none returns before the server is ready, or gone.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// A running server. It stops, and its data goes, when this is dropped or the process ends, however that ends.
pub(crate) struct Server {
    script: Child,
    /// The script ends at the end of its input.
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    url: String,
}

impl Server {
    /// Whether a server of this kind is wanted: `TEST_DATABASE_URLS` has one too, or `TEST_REQUIRE_BACKENDS` names it.
    pub(crate) fn is_wanted(backend: &str) -> bool {
        let names = |variable: &str| {
            let list = std::env::var(variable).unwrap_or_default();
            list.split(',').any(|item| item.trim().starts_with(backend))
        };
        let wanted = names("TEST_DATABASE_URLS") || names("TEST_REQUIRE_BACKENDS");
        if !wanted {
            eprintln!("left out: {backend} is in neither TEST_DATABASE_URLS nor TEST_REQUIRE_BACKENDS");
        }
        wanted
    }

    /// Starts a `postgres` or a `mariadb` with more arguments on its command line.
    pub(crate) fn start(kind: &str, arguments: &[&str]) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/lib/own-server");
        let mut command = Command::new("bash");
        command.arg(script).arg(kind).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut script = command.spawn().expect("bash can be run");
        let input = script.stdin.take();
        let output = BufReader::new(script.stdout.take().expect("it is piped"));
        let mut server = Self { script, input, output, url: String::new() };
        server.url = server.answer();
        assert!(server.url.contains("://"), "no {kind} could be started: its log is above");
        server
    }

    /// Where it listens, after each start.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.order("kill");
    }

    /// Stops it in good order.
    pub(crate) fn stop(&mut self) {
        self.order("stop");
    }

    /// Starts it again on the same port.
    pub(crate) fn start_again(&mut self) {
        self.order("start");
    }

    /// Sends a signal to one of its processes, or to the server itself; `false` if that has gone.
    pub(crate) fn signal(&mut self, name: &str, pid: Option<i64>) -> bool {
        let pid = pid.map(|pid| pid.to_string()).unwrap_or_default();
        self.tell(&format!("signal {name} {pid}")) == "ok"
    }

    fn order(&mut self, command: &str) {
        let answer = self.tell(command);
        assert_eq!(answer, "ok", "`{command}` of the server");
    }

    fn tell(&mut self, command: &str) -> String {
        let input = self.input.as_mut().expect("open until the drop");
        writeln!(input, "{command}").expect("own-server reads");
        self.answer()
    }

    fn answer(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("own-server answers");
        line.trim_end().to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.input = None;
        let _ = self.script.wait();
    }
}
