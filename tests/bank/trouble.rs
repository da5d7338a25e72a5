//! Faults of servers, networks and neighbours.

use std::path::PathBuf;
use std::time::Duration;

use databases::{Database, DatabaseUrl, Executor as _, FromValue, Params, Result, params};
use tokio::runtime::Runtime;

use crate::Kind;
use crate::children::Child;
use crate::proxy::{Blow, Proxy};
use crate::random::Random;
use crate::server::Server;

/// Somebody who makes trouble.
pub(crate) trait Trouble: Send {
    /// The names of the faults.
    fn faults(&self) -> Vec<&'static str>;

    /// Lets one happen and be over.
    fn strike(&mut self, fault: &'static str, random: &mut Random);

    /// How many sessions of the bank the database knows, and how many of them are in a transaction; `None` where
    /// nobody counts them.
    fn sessions(&mut self) -> Option<(usize, usize)>;

    /// Lets go of whatever it holds in this process.
    fn leave(&mut self);
}

/// A server of our own behind a proxy.
pub(crate) struct Site {
    kind: Kind,
    server: Server,
    proxy: Proxy,
    /// Straight to the server.
    admin: Option<Database>,
    /// Where the proxy and `admin` run: nothing of theirs counts as the bank's.
    outside: Runtime,
}

const NETWORK: [&str; 5] =
    ["connections cut", "connections reset", "a connection cut at a byte", "network stalled", "connections refused"];

impl Site {
    pub(crate) fn start(kind: Kind) -> Self {
        let server = match kind {
            Kind::Postgres => Server::start("postgres", &["-c", "deadlock_timeout=50ms"]),
            _ => Server::start("mariadb", &["--innodb-lock-wait-timeout=2"]),
        };
        let outside = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let outside = outside.expect("a runtime can be started");
        let url: DatabaseUrl = server.url().parse().expect("own-server prints a URL");
        let target = format!("127.0.0.1:{}", url.port().expect("it has a port"));
        let proxy = outside.block_on(Proxy::start(target));
        Self { kind, server, proxy, admin: None, outside }
    }

    /// The way through the proxy.
    pub(crate) fn url(&self) -> String {
        let url: DatabaseUrl = self.server.url().parse().expect("own-server prints a URL");
        url.with_port(self.proxy.port()).expect("a port").expose()
    }

    /// The first column of all rows, straight from the server, which may just have come back.
    fn ask<V: FromValue>(&mut self, query: &str, params: impl Fn() -> Params<'static>) -> Vec<V> {
        let admin = self.admin.get_or_insert_with(|| {
            let url = self.server.url().to_owned();
            let made = Database::builder(url).max_connections(1).connect_lazy();
            made.expect("own-server prints a URL")
        });
        self.outside.block_on(async {
            for _ in 0..20 {
                let rows: Result<Vec<(V,)>> = admin.fetch_all(query, params()).await;
                match rows {
                    Ok(rows) => return rows.into_iter().map(|(value,)| value).collect(),
                    Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                }
            }
            panic!("the server does not answer `{query}`");
        })
    }

    /// A session of the bank; one that works, if there is one.
    fn victim(&mut self) -> Option<i64> {
        let query = match self.kind {
            Kind::Postgres => {
                "SELECT pid::bigint FROM pg_stat_activity WHERE application_name = 'bank' \
                 ORDER BY state = 'active' DESC, random() LIMIT 1"
            }
            _ => {
                "SELECT id FROM information_schema.processlist WHERE user = 'databases' AND id <> CONNECTION_ID() \
                 ORDER BY command = 'Sleep', rand() LIMIT 1"
            }
        };
        self.ask(query, Params::new).pop()
    }

    fn at_victim(&mut self, postgres: &'static str, mariadb: &str) {
        let Some(id) = self.victim() else { return };
        let admin = self.admin.as_ref().expect("the victim was asked for");
        // It may have gone meanwhile.
        let _ = match self.kind {
            Kind::Postgres => self.outside.block_on(admin.execute(postgres, params! { id })),
            _ => self.outside.block_on(admin.execute(format!("{mariadb} {id}"), ())),
        };
    }
}

impl Trouble for Site {
    fn faults(&self) -> Vec<&'static str> {
        let both = ["server killed", "server restarted", "session terminated", "statement cancelled", "server frozen"];
        let again = ["statement cancelled", "session terminated"];
        let own: &[_] = if self.kind == Kind::Postgres { &["session killed"] } else { &[] };
        [&both[..], &again, own, &NETWORK].concat()
    }

    fn strike(&mut self, fault: &'static str, random: &mut Random) {
        let chance = random.below(1000);
        match fault {
            "server killed" | "server restarted" => {
                if fault == "server killed" {
                    self.server.kill()
                } else {
                    self.server.stop()
                }
                std::thread::sleep(random.millis(0..200));
                self.server.start_again();
            }
            "session terminated" => self.at_victim("SELECT pg_terminate_backend(:id::int)", "KILL"),
            "statement cancelled" => self.at_victim("SELECT pg_cancel_backend(:id::int)", "KILL QUERY"),
            // The server then ends all others too, and recovers.
            "session killed" => {
                let victim = self.victim();
                if victim.is_some() {
                    self.server.signal("KILL", victim);
                }
            }
            "server frozen" => {
                // PostgreSQL's has a process for each session, of which one is enough.
                let pid = if self.kind == Kind::Postgres { self.victim() } else { None };
                if self.server.signal("STOP", pid) {
                    std::thread::sleep(random.millis(50..600));
                    self.server.signal("CONT", pid);
                }
            }
            "connections cut" => self.proxy.strike(Blow::Cut, 1 + random.below(3), chance),
            "connections reset" => self.proxy.strike(Blow::Reset, 1 + random.below(3), chance),
            "a connection cut at a byte" => self.proxy.strike(Blow::CutAfter(1 + random.below(300)), 4, chance),
            "network stalled" => {
                self.proxy.stall();
                std::thread::sleep(random.millis(50..600));
                self.proxy.open();
            }
            "connections refused" => {
                self.proxy.refuse();
                self.proxy.strike(Blow::Reset, 1, 0);
                std::thread::sleep(random.millis(50..600));
                self.proxy.open();
            }
            other => unreachable!("{other} is not among the faults"),
        }
    }

    fn sessions(&mut self) -> Option<(usize, usize)> {
        if self.kind == Kind::Postgres {
            let query = "SELECT coalesce(state, '') FROM pg_stat_activity WHERE application_name = 'bank'";
            let states: Vec<String> = self.ask(query, Params::new);
            return Some((states.len(), states.iter().filter(|state| *state != "idle").count()));
        }
        let sessions: Vec<i64> = self.ask(
            "SELECT id FROM information_schema.processlist WHERE user = 'databases' AND id <> CONNECTION_ID()",
            Params::new,
        );
        let open: Vec<i64> = self.ask("SELECT trx_mysql_thread_id FROM information_schema.innodb_trx", Params::new);
        Some((sessions.len(), open.len()))
    }

    fn leave(&mut self) {
        if let Some(admin) = self.admin.take() {
            self.outside.block_on(admin.close_now());
        }
    }
}

/// Other processes at the bank's SQLite file.
pub(crate) struct Neighbours {
    pub(crate) file: PathBuf,
}

impl Trouble for Neighbours {
    fn faults(&self) -> Vec<&'static str> {
        vec!["write lock held", "holder of the write lock killed", "long reader", "checkpoint"]
    }

    fn strike(&mut self, fault: &'static str, random: &mut Random) {
        let held = random.millis(20..500);
        let task = match fault {
            "long reader" => "read",
            "checkpoint" => "checkpoint",
            _ => "write",
        };
        let mut child = Child::start(task, &self.file);
        child.expect_line("ready");
        std::thread::sleep(held);
        if fault == "holder of the write lock killed" { child.kill() } else { child.finish() }
    }

    fn sessions(&mut self) -> Option<(usize, usize)> {
        None
    }

    fn leave(&mut self) {}
}
