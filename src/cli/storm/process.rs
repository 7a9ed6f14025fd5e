//! The measured process: started on a core of its own, asked when it is ready, read through `/proc`.
//! It does not know what the process serves.
//!
//! Linux only: `/proc` is where a process's CPU time and memory, and the time the host stole, are told.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

/// `USER_HZ`, the unit of CPU times in `/proc`: 100 on every Linux of today.
const TICK_MS: f64 = 10.0;
/// Starting takes milliseconds; a first start may create a database.
const READY_WITHIN: Duration = Duration::from_secs(20);
/// Sockets per call in one process: the carrier's and the provider's, whether one plays both or switches between them.
const SOCKETS_PER_CALL: u64 = 2;
/// Standard streams, listeners, event queues, a database, log files; generous.
const FILES_BESIDE_CALLS: u64 = 256;
/// The end of a log that is shown when something failed.
const LOG_LINES_SHOWN: usize = 12;

/// Which cores measured and measuring process run on.
#[derive(Clone, Debug)]
pub(super) struct Cores {
    pub(super) count: usize,
    /// Where the measured process is pinned, if it can be.
    pub(super) measured: Option<usize>,
}

/// A running process under measurement. Dropping it kills it and removes its folder.
pub(super) struct Measured {
    child: Child,
    pid: u32,
    folder: Folder,
}

struct Folder(PathBuf);

/// CPU time and memory of one process, at one moment.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Usage {
    pub(super) user_ms: f64,
    pub(super) system_ms: f64,
    pub(super) resident_kib: u64,
}

/// CPU time of the whole machine in ticks, at one moment.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(super) struct MachineTime {
    total: u64,
    busy: u64,
    stolen: u64,
}

// ---------------------------------------------------------------- Cores and limits

impl Cores {
    /// Gives the first core to the measured process and moves this one to the others, while that is possible: it takes
    /// two cores and the `taskset` command.
    pub(super) fn divide() -> Result<Self> {
        let status = read("/proc/self/status")?;
        let allowed = field(&status, "Cpus_allowed_list")
            .and_then(cores_of)
            .context("no core list in /proc/self/status")?;
        let mut cores = Self { count: allowed.len(), measured: None };
        if let [first, rest @ ..] = allowed.as_slice()
            && !rest.is_empty()
        {
            let list: Vec<_> = rest.iter().map(usize::to_string).collect();
            let pinned =
                run_quietly("taskset", &["-a", "-c", "-p", &list.join(","), &std::process::id().to_string()]);
            cores.measured = pinned.then_some(*first);
        }
        Ok(cores)
    }
}

/// Makes room for the sockets of `calls` calls; the measured process inherits it.
pub(super) fn allow_sockets(calls: u32) -> Result<()> {
    let wanted = u64::from(calls) * SOCKETS_PER_CALL + FILES_BESIDE_CALLS;
    let limits = read("/proc/self/limits")?;
    let (soft, hard) = open_files(&limits).context("no limit of open files in /proc/self/limits")?;
    if soft >= wanted {
        return Ok(());
    }
    let raised = wanted <= hard
        && run_quietly(
            "prlimit",
            &["--pid", &std::process::id().to_string(), &format!("--nofile={wanted}:{hard}")],
        );
    ensure!(
        raised,
        "{calls} calls need {wanted} open files and the limit is {soft}: raise it with `ulimit -n {wanted}`"
    );
    Ok(())
}

fn run_quietly(command: &str, arguments: &[&str]) -> bool {
    std::process::Command::new(command)
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

// ---------------------------------------------------------------- Measured

impl Measured {
    /// Starts this same program as `tandem <arguments>` with exactly these variables as its environment, in an empty
    /// folder: what the user's shell or folder holds must not be measured.
    pub(super) fn start(cores: &Cores, arguments: &[&str], environment: &[(&str, String)]) -> Result<Self> {
        let program = std::env::current_exe().context("this program's own path")?;
        let folder = Folder::create()?;
        let create = |path: PathBuf| {
            fs::File::create(&path).with_context(|| format!("cannot create {}", path.display()))
        };
        let mut command = match cores.measured {
            Some(core) => {
                let mut command = Command::new("taskset");
                command.arg("-c").arg(core.to_string()).arg(program);
                command
            }
            None => Command::new(program),
        };
        let child = command
            .args(arguments)
            .env_clear()
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .current_dir(&folder.0)
            .stdin(Stdio::null())
            .stdout(create(folder.output())?)
            .stderr(create(folder.log())?)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start `tandem {}`", arguments.join(" ")))?;
        let pid = child.id().context("the process ended at once")?;
        Ok(Self { child, pid, folder })
    }

    /// Waits for the address that the process prints as its first line.
    pub(super) async fn announced_address(&mut self) -> Result<SocketAddr> {
        let output = self.folder.output();
        self.poll(async || fs::read_to_string(&output)?.trim().parse().context("no address printed")).await
    }

    /// Waits until `GET /health/ready` says 200.
    pub(super) async fn ready(&mut self, address: SocketAddr) -> Result<()> {
        self.poll(async || {
            let status = timeout(READY_WITHIN, ask_readiness(address)).await??;
            ensure!(status.contains(" 200 "), "/health/ready says {status:?}");
            Ok(())
        })
        .await
    }

    /// Asks again until there is an answer, the process ends, or it has had its time.
    async fn poll<T>(&mut self, ask: impl AsyncFn() -> Result<T>) -> Result<T> {
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            let refusal = match ask().await {
                Ok(answer) => return Ok(answer),
                Err(refusal) => refusal,
            };
            if let Some(status) = self.child.try_wait()? {
                bail!("the measured process ended before it was ready ({status})\n{}", self.log_end());
            }
            if Instant::now() > deadline {
                bail!("not ready after {} s: {refusal}\n{}", READY_WITHIN.as_secs(), self.log_end());
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    pub(super) fn usage(&self) -> Result<Usage> {
        usage_of(&self.pid.to_string())
            .with_context(|| format!("the measured process is gone\n{}", self.log_end()))
    }

    /// Lines it has logged, at warning or above.
    pub(super) fn log_lines(&self) -> usize {
        fs::read_to_string(self.folder.log()).map_or(0, |log| log.lines().count())
    }

    pub(super) fn log_end(&self) -> String {
        let log = fs::read_to_string(self.folder.log()).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n")
    }

    pub(super) async fn stop(mut self) -> Result<()> {
        self.child.kill().await.context("stopping the measured process")
    }
}

impl Folder {
    fn create() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("tandem-storm-{}", std::process::id()));
        fs::create_dir_all(&path).with_context(|| format!("cannot create {}", path.display()))?;
        Ok(Self(path))
    }

    fn output(&self) -> PathBuf {
        self.0.join("stdout")
    }

    fn log(&self) -> PathBuf {
        self.0.join("stderr")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::debug!(%error, folder = %self.0.display(), "left behind");
        }
    }
}

/// An address of loopback that nothing listens at.
pub(super) fn free_address() -> Result<SocketAddr> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").context("no free port on loopback")?;
    Ok(listener.local_addr()?)
}

/// The status line of the answer.
async fn ask_readiness(address: SocketAddr) -> std::io::Result<String> {
    let mut socket = TcpStream::connect(address).await?;
    let request = format!("GET /health/ready HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned())
}

// ---------------------------------------------------------------- /proc

pub(super) fn own_usage() -> Result<Usage> {
    usage_of("self")
}

impl Usage {
    pub(super) fn cpu_ms(self) -> f64 {
        self.user_ms + self.system_ms
    }
}

impl MachineTime {
    pub(super) fn now() -> Result<Self> {
        machine_time(&read("/proc/stat")?).context("no CPU line in /proc/stat")
    }

    /// What all processes and the kernel used since `earlier`.
    pub(super) fn busy_ms_since(self, earlier: Self) -> f64 {
        self.busy.saturating_sub(earlier.busy) as f64 * TICK_MS
    }

    /// Percent of all cores' time since `earlier` that the host gave to others.
    pub(super) fn stolen_percent_since(self, earlier: Self) -> f64 {
        let total = self.total.saturating_sub(earlier.total).max(1);
        100.0 * self.stolen.saturating_sub(earlier.stolen) as f64 / total as f64
    }
}

fn usage_of(process: &str) -> Result<Usage> {
    let stat = read(&format!("/proc/{process}/stat"))?;
    let status = read(&format!("/proc/{process}/status"))?;
    let (user_ms, system_ms) = cpu_times(&stat).context("no CPU times in its stat")?;
    let resident = field(&status, "VmRSS").and_then(|text| text.split_whitespace().next()?.parse().ok());
    Ok(Usage { user_ms, system_ms, resident_kib: resident.context("no VmRSS in its status")? })
}

fn read(path: &str) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {path} (storm needs Linux)"))
}

/// User and system time of all threads, living and ended: fields 14 and 15 of `proc_pid_stat(5)`. The second field is
/// the program's name in parentheses and may itself hold blanks and parentheses.
fn cpu_times(stat: &str) -> Option<(f64, f64)> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut ticks = fields.split_whitespace().skip(11).map(str::parse::<u32>);
    let mut next_ms = || Some(f64::from(ticks.next()?.ok()?) * TICK_MS);
    Some((next_ms()?, next_ms()?))
}

/// `cpu user nice system idle iowait irq softirq steal guest guest_nice`; guests are contained in user and nice.
fn machine_time(stat: &str) -> Option<MachineTime> {
    let ticks: Option<Vec<u64>> = stat
        .lines()
        .next()?
        .strip_prefix("cpu ")?
        .split_whitespace()
        .take(8)
        .map(|field| field.parse().ok())
        .collect();
    let [user, nice, system, idle, waiting, irq, softirq, stolen] = ticks?.try_into().ok()?;
    let busy = user + nice + system + irq + softirq;
    Some(MachineTime { total: busy + idle + waiting + stolen, busy, stolen })
}

/// The value of a `Name:   value` line.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

/// `0-2,5` as cores 0, 1, 2, 5.
fn cores_of(list: &str) -> Option<Vec<usize>> {
    let mut cores = Vec::new();
    for part in list.split(',') {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        cores.extend(from.parse().ok()?..=to.parse::<usize>().ok()?);
    }
    Some(cores)
}

/// Soft and hard limit of open files.
fn open_files(limits: &str) -> Option<(u64, u64)> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    let mut values = line
        .split_whitespace()
        .map(|word| if word == "unlimited" { Some(u64::MAX) } else { word.parse().ok() });
    Some((values.next()??, values.next()??))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_times_are_read_past_a_name_with_blanks_and_parentheses() {
        let stat = "4711 (a (strange) name) S 1 4711 4711 0 -1 4194560 100 200 0 0 137 42 3 4 20 0 9 0 12345 1000 200";
        assert_eq!(cpu_times(stat), Some((1_370.0, 420.0)));
        assert_eq!(cpu_times("4711 (short) S 1"), None);
        assert_eq!(cpu_times("no parenthesis"), None);
    }

    #[test]
    fn stolen_time_is_a_share_of_all_cores_and_counts_guests_once() {
        let before = machine_time("cpu  100 0 50 800 10 0 5 35 90 0\ncpu0 1 2 3").expect("a CPU line");
        let after = machine_time("cpu  150 0 70 900 10 0 5 65 90 0\n").expect("a CPU line");
        assert_eq!(before, MachineTime { total: 1_000, busy: 155, stolen: 35 });
        assert!((after.busy_ms_since(before) - 700.0).abs() < 1e-9);
        assert!((after.stolen_percent_since(before) - 15.0).abs() < 1e-9);
        assert!(after.stolen_percent_since(after).abs() < 1e-9);
        assert_eq!((machine_time("intr 1 2 3"), machine_time("cpu  1 2 3")), (None, None));
    }

    #[test]
    fn core_lists_are_read_with_ranges() {
        assert_eq!(cores_of("0-2,5"), Some(vec![0, 1, 2, 5]));
        assert_eq!(cores_of("3"), Some(vec![3]));
        assert_eq!(cores_of("none"), None);
    }

    #[test]
    fn limits_of_open_files_are_read_with_and_without_a_bound() {
        let limits = "Limit        Soft Limit  Hard Limit  Units\nMax open files            1024                 unlimited            files\n";
        assert_eq!(open_files(limits), Some((1_024, u64::MAX)));
        assert_eq!(open_files("Max cpu time unlimited unlimited seconds"), None);
    }

    #[tokio::test]
    async fn a_process_that_ends_before_it_is_ready_is_an_error_with_its_last_words() {
        let cores = Cores { count: 1, measured: None };
        // This program is here the tests' own, and no test runner knows the argument.
        let mut process = Measured::start(&cores, &["--storm-unknown"], &[]).expect("it starts");
        let error = process.announced_address().await.expect_err("it ends").to_string();
        assert!(error.contains("ended before it was ready") && error.contains("storm-unknown"), "{error}");
        assert!(process.log_lines() > 0);
        assert!(process.usage().is_err());
    }

    #[test]
    fn this_process_has_memory_and_the_machine_a_clock() {
        assert!(own_usage().expect("/proc/self").resident_kib > 0);
        assert!(MachineTime::now().expect("/proc/stat").total > 0);
        assert!(usage_of("0").is_err());
    }
}
