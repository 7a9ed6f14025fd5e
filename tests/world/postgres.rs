//! A PostgreSQL server of a test's own: real, from the installed binaries, on a socket in a temporary folder, gone with
//! the test.
//!
//! It refuses to know what is kept in it.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::Instant;

/// A cold machine reads the binaries from its disk first.
const READY_WITHIN: Duration = Duration::from_mins(1);

/// Debian keeps the server's binaries out of the search path.
const DEBIAN: &str = "/usr/lib/postgresql";

/// PostgreSQL refuses to run as root: then it runs as nobody.
const NOBODY: u32 = 65_534;

pub(crate) struct Postgres {
    folder: TempDir,
    binaries: PathBuf,
    server: Option<Child>,
}

impl Postgres {
    /// Nothing where PostgreSQL is not installed, which the test command takes for a failure.
    pub(crate) fn start() -> Option<Self> {
        let Some(binaries) = binaries() else {
            assert_ne!(environment("TANDEM_TESTS").as_deref(), Some("all"), "PostgreSQL is not installed");
            eprintln!("left out: PostgreSQL is not installed");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o700)).unwrap();
        if is_root() {
            chown(folder.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let mut postgres = Self { folder, binaries, server: None };
        let mut initdb = postgres.command("initdb");
        initdb.args([
            "--no-sync",
            "--auth=trust",
            "--username=tandem",
            "--encoding=UTF8",
            "--locale=C",
            "-D",
        ]);
        let made = initdb.arg(postgres.data()).output().unwrap();
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        postgres.go_on();
        Some(postgres)
    }

    pub(crate) fn url(&self) -> String {
        format!("postgres:///postgres?host={}&user=tandem", self.folder.path().display())
    }

    /// What the server has said since it was started.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Starts the server, which was stopped.
    pub(crate) fn go_on(&mut self) {
        let mut command = self.command("postgres");
        let log = fs::File::create(self.folder.path().join("log")).unwrap();
        command.arg("-D").arg(self.data()).arg("-k").arg(self.folder.path());
        command.args(["-c", "listen_addresses=", "-c", "fsync=off"]);
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        self.server = Some(command.spawn().unwrap());
        let since = Instant::now();
        while !self.command("pg_isready").arg("-h").arg(self.folder.path()).output().unwrap().status.success()
        {
            assert!(since.elapsed() < READY_WITHIN, "PostgreSQL does not start: {}", self.log());
            thread::sleep(Duration::from_millis(20)); // it tells nobody when it is ready
        }
    }

    /// Stops the server as a power cut would.
    pub(crate) fn stop(&mut self) {
        if let Some(mut server) = self.server.take() {
            // Its children watch it, and go too.
            server.kill().ok();
            server.wait().unwrap();
        }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// A program of PostgreSQL's, as a user it accepts, and ended with the test should that be killed.
    fn command(&self, name: &str) -> Command {
        let mut command = Command::new("setpriv");
        command.arg("--pdeathsig=KILL");
        if is_root() {
            command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
        }
        command.arg(self.binaries.join(name)).current_dir(self.folder.path());
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.stop();
    }
}

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

fn binaries() -> Option<PathBuf> {
    let path = environment("PATH").unwrap_or_default();
    let debian =
        fs::read_dir(DEBIAN).into_iter().flatten().flatten().map(|version| version.path().join("bin"));
    let mut debian: Vec<PathBuf> = debian.collect();
    debian.sort();
    let mut folders = debian.into_iter().rev().chain(std::env::split_paths(&path));
    folders.find(|folder| ["initdb", "postgres", "pg_isready"].iter().all(|name| folder.join(name).is_file()))
}

#[expect(clippy::disallowed_methods, reason = "the test harness passes no arguments on")]
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
