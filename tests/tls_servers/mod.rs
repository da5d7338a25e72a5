//! What the tests of TLS share: authorities made at run time, a server of their own, what stands on the way to it (`way`), and
//! a table of what came of it.
//!
//! Included by path from the tests of the backends that have TLS.

#![allow(dead_code, reason = "each test file uses a part")]

pub(crate) mod way;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, date_time_ymd};

/// A certificate and its key, in PEM.
pub(crate) struct Identity {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

/// Somebody who signs certificates.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) certificate: String,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), certificate }
    }

    /// A certificate with `common_name` and, in the subjectAltName, `names`.
    pub(crate) fn sign(&self, common_name: &str, names: &[&str]) -> Identity {
        self.sign_with(common_name, names, |_| {})
    }

    /// One that was valid once.
    pub(crate) fn sign_expired(&self, common_name: &str, names: &[&str]) -> Identity {
        self.sign_with(common_name, names, |params| {
            params.not_before = date_time_ymd(2001, 1, 1);
            params.not_after = date_time_ymd(2002, 1, 1);
        })
    }

    fn sign_with(&self, common_name: &str, names: &[&str], adjust: impl FnOnce(&mut CertificateParams)) -> Identity {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, common_name);
        adjust(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        Identity { certificate, key: key.serialize_pem() }
    }
}

/// A folder that is removed at the end, which servers can read.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("databases-tls-{}-{}", std::process::id(), COUNT.fetch_add(1, Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> String {
        write(&self.0, name, text)
    }
}

/// Writes a file, and gives its path as a URL takes it.
pub(crate) fn write(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    path.into_os_string().into_string().unwrap()
}

impl Drop for Folder {
    fn drop(&mut self) {
        _ = fs::remove_dir_all(&self.0);
    }
}

/// A server that nobody else uses, started by `scripts/servers`, which stops it when the standard input of its command ends:
/// with this value, or with this process.
pub(crate) struct Server {
    script: Child,
    pub(crate) url: String,
    /// For files of the test; gone with the server.
    pub(crate) folder: PathBuf,
}

/// Tells where the server is, and ends when nobody writes to it any more.
const COMMAND: &str = r#"folder=$(mktemp -d) && echo "$TEST_DATABASE_URLS $folder" && cat; rm -rf "$folder""#;

impl Server {
    pub(crate) fn start(only: &str, options: &[String]) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/servers");
        let mut script = Command::new(script)
            .args(["--only", only])
            .args(options)
            .args(["--", "bash", "-c", COMMAND])
            .env_remove("TEST_DATABASE_URLS")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("scripts/servers runs");
        let mut line = String::new();
        BufReader::new(script.stdout.take().expect("it is piped")).read_line(&mut line).unwrap();
        let (url, folder) = line.trim().split_once(' ').expect("the server starts");
        Self { script, url: url.to_owned(), folder: folder.into() }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.script.stdin.take());
        _ = self.script.wait();
    }
}

/// Runs an ignored test of this binary by itself, for what belongs to a whole process, and fails if it does.
pub(crate) fn in_a_process_of_its_own(test: &str, environment: &[(&str, &str)]) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--ignored", "--nocapture"]).envs(environment.iter().copied());
    let output = command.output().unwrap();
    let [said, errors] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    assert!(output.status.success() && said.contains("1 passed"), "{test}: {said}\n{errors}");
}

/// Prints what came of each mode with each server, and fails where it is not what was expected.
pub(crate) struct Table {
    columns: Vec<&'static str>,
    rows: Vec<(String, Vec<String>)>,
    wrong: Vec<String>,
}

impl Table {
    pub(crate) fn new(modes: &[&str]) -> Self {
        let rows = modes.iter().map(|&mode| (mode.to_owned(), Vec::new())).collect();
        Self { columns: Vec::new(), rows, wrong: Vec::new() }
    }

    /// Begins the column of a server.
    pub(crate) fn server(&mut self, name: &'static str) {
        self.columns.push(name);
    }

    /// Notes what came of the next mode.
    pub(crate) fn note(&mut self, row: usize, outcome: &str, expected: &str) {
        let (mode, cells) = &mut self.rows[row];
        cells.push(outcome.to_owned());
        if outcome != expected {
            let server = self.columns.last().unwrap();
            self.wrong.push(format!("{mode}, {server}: {outcome} and not {expected}"));
        }
    }

    pub(crate) fn finish(self) {
        let widths: Vec<usize> = (0..self.columns.len())
            .map(|i| self.rows.iter().map(|(_, cells)| cells[i].len()).chain([self.columns[i].len()]).max().unwrap())
            .collect();
        let line = |first: &str, cells: &mut dyn Iterator<Item = &str>| {
            let mut line = format!("| {first:<22} |");
            for (cell, width) in cells.zip(&widths) {
                line.push_str(&format!(" {cell:<width$} |"));
            }
            println!("{line}");
        };
        line("sslmode", &mut self.columns.iter().copied());
        for (mode, cells) in &self.rows {
            line(mode, &mut cells.iter().map(String::as_str));
        }
        assert!(self.wrong.is_empty(), "{:#?}", self.wrong);
    }
}
