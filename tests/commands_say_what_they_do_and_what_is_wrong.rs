//! The program as it is installed: its commands do what they say, tell whoever makes a mistake what it was, and tell
//! nobody a secret.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use tandem_sim::speech::CallerAudio;
use tandem_sim::wav;
use tempfile::TempDir;

const KEY: &str = "sk-the-key-of-who-pays";
const TOKEN: &str = "the-token-that-signs";
const FROM: &str = "+12065550188";
const TO: &str = "+14155550142";

/// Nothing that is waited for takes so long, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(30);

// --- what it says when something is wrong ------------------------------------------------------------------------

#[test]
fn every_command_has_help_with_an_example() {
    let home = Home::new();
    let help = |arguments: &[&str]| {
        let Output { status, stdout, .. } = home.tandem(arguments).output().unwrap();
        assert!(status.success());
        String::from_utf8(stdout).unwrap()
    };
    let overview = help(&["--help"]);
    assert!(overview.contains("First try: tandem demo"), "{overview}");
    for command in ["demo", "serve", "migrate", "export", "sim", "call", "storm"] {
        assert!(overview.contains(&format!("\n  {command} ")), "{command} is not in the overview");
        let help = help(&[command, "--help"]);
        let (_, example) = help.split_once("Example").unwrap_or_else(|| panic!("{command} has no example"));
        assert!(example.contains(&format!("tandem {command}")), "{example}");
    }
}

#[test]
fn a_recording_that_cannot_be_used_is_named_with_its_reason() {
    let home = Home::new();
    fs::write(home.path().join("notes.wav"), "Dear diary").unwrap();
    wav::write_mono(&home.path().join("empty.wav"), &[]).unwrap();
    for (file, reason) in [
        ("none.wav", "file cannot be read: No such file or directory (os error 2)"),
        ("notes.wav", "not a WAV file: it does not begin with RIFF and WAVE"),
        ("empty.wav", "WAV file is empty: its data chunk holds no sample"),
    ] {
        for command in [&["demo"][..], &["call", "--url", "http://127.0.0.1:1/twilio/voice"]] {
            let complaint = home.complaint(&[command, &["--wav", file]].concat(), &[]);
            assert_eq!(complaint, format!("tandem: cannot use {file}: {reason}\n"));
        }
    }
}

#[test]
fn a_key_that_does_not_exist_is_answered_with_the_nearest_one() {
    let home = Home::new();
    fs::write(home.path().join("mine.toml"), "[openai]\nrealtime_modle = \"best\"\n").unwrap();
    assert_eq!(
        home.complaint(&["serve", "--config", "mine.toml"], &[]),
        "tandem: unknown key `openai.realtime_modle` in mine.toml; the nearest known one is `openai.realtime_model`\n"
    );
    assert_eq!(
        home.complaint(&["serve"], &[("TANDEM__OPENAI__API_KYE", KEY)]),
        "tandem: unknown environment variable TANDEM__OPENAI__API_KYE; the nearest known one is TANDEM__OPENAI__API_KEY\n"
    );
    assert_eq!(
        home.complaint(&["serve", "--config", "none.toml"], &[]),
        "tandem: cannot read configuration file none.toml: No such file or directory (os error 2)\n"
    );
}

#[test]
fn a_missing_key_points_at_the_demo() {
    let home = Home::new();
    for (missing, environment) in
        [("OPENAI_API_KEY", &[][..]), ("TWILIO_AUTH_TOKEN", &[("OPENAI_API_KEY", KEY)])]
    {
        let complaint = home.complaint(&["serve"], environment);
        assert!(complaint.contains(missing) && complaint.contains("`tandem demo`"), "{complaint}");
    }
}

#[test]
fn a_database_that_is_not_there_is_named_without_its_password() {
    let home = Home::new();
    let environment = [
        ("DATABASE_URL", "postgres://me:secret@127.0.0.1:1/calls"), // a reserved port, where nobody listens
        ("OPENAI_API_KEY", KEY),
        ("TWILIO_AUTH_TOKEN", TOKEN),
        ("TANDEM__SERVER__LISTEN", "127.0.0.1:0"),
        ("RUST_LOG", "error"),
    ];
    for command in [&["serve"][..], &["migrate"]] {
        let complaint = home.complaint(command, &environment);
        assert!(complaint.starts_with("tandem: cannot reach database calls at 127.0.0.1:1: "), "{complaint}");
        assert!(!complaint.contains("secret"), "{complaint}");
    }
    let elsewhere = home.complaint(&["migrate"], &[("DATABASE_URL", "mysql://me:secret@host/calls")]);
    assert!(elsewhere.contains("database.url is none of") && !elsewhere.contains("secret"), "{elsewhere}");
}

#[test]
fn a_port_in_use_is_named() {
    let home = Home::new();
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let environment =
        [("TANDEM__SERVER__LISTEN", &address[..]), ("OPENAI_API_KEY", KEY), ("TWILIO_AUTH_TOKEN", TOKEN)];
    for complaint in
        [home.complaint(&["serve"], &environment), home.complaint(&["sim", "--listen", &address], &[])]
    {
        assert!(complaint.contains(&address) && complaint.contains("in use"), "{complaint}");
    }
}

// --- what it does ------------------------------------------------------------------------------------------------

#[test]
fn the_demo_takes_a_recording_of_any_rate() {
    let home = Home::new();
    let caller = CallerAudio::demo();
    let (silence, question) = ([0; 5_000], &caller.samples()[3_920 * 8..6_260 * 8]);
    fs::write(home.path().join("odd.wav"), wav_at(11_025, &[&silence, question].concat())).unwrap();
    let Output { status, stdout, stderr } =
        home.tandem(&["demo", "--wav", "odd.wav", "--json", "--out", "out"]).output().unwrap();
    assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
    let report: Value = serde_json::from_slice(&stdout).unwrap();
    let speakers: Vec<&str> =
        report["turns"].as_array().unwrap().iter().filter_map(|turn| turn["who"].as_str()).collect();
    assert_eq!(speakers, ["agent", "caller", "agent"]);
    assert_eq!(
        (&report["discrepancies"], &report["carrier_warnings"]),
        (&Value::from([(); 0]), &Value::from([(); 0]))
    );
    let costs = report["costs"].as_array().unwrap();
    let paid = |model: &str| {
        costs.iter().any(|cost| cost["model"] == model && cost["cost_usd"].as_f64() > Some(0.0))
    };
    assert!(paid("gpt-realtime-2.1") && paid("streamed_call"), "{costs:?}");
    for file in ["heard.wav", "call.wav"] {
        wav::read(&home.path().join("out").join(file)).unwrap();
    }
    assert!(home.path().join("out/timeline.json").is_file());
}

#[test]
fn a_running_switch_takes_calls_ends_them_when_told_to_stop_and_tells_nobody_a_secret() {
    let home = Home::new();
    let caller = CallerAudio::demo();
    wav::write_mono(&home.path().join("question.wav"), &caller.samples()[3_000 * 8..4_500 * 8]).unwrap();

    let mut sim = Running::start(&mut home.tandem(&["sim", "--listen", "127.0.0.1:0"]));
    let provider = sim.until("provider: ").split_once("provider: ").unwrap().1.to_owned();
    let address = format!("127.0.0.1:{}", free_port());
    let mut serve = Running::start(home.tandem(&["serve"]).envs([
        ("TANDEM__SERVER__LISTEN", &address[..]),
        ("TANDEM__SERVER__PUBLIC_URL", &format!("http://{address}")),
        ("TANDEM__OPENAI__REALTIME_URL", &provider),
        ("REALTIME_API_PROBABILITY", "1.0"),
        ("OPENAI_API_KEY", KEY),
        ("TWILIO_AUTH_TOKEN", TOKEN),
        ("RUST_LOG", "trace"),
    ]));
    serve.until("ready for calls");

    let call = |linger: &str| {
        let url = format!("http://{address}/twilio/voice");
        let mut call = home.tandem(&["call", "--url", &url, "--from", FROM, "--to", TO]);
        call.args(["--wav", "question.wav", "--linger", linger, "--json"]).env("TWILIO_AUTH_TOKEN", TOKEN);
        thread::spawn(move || call.output().unwrap())
    };
    let answered = call("1").join().unwrap();
    serve.until("engine ready");
    let cut_off = call("60");
    serve.until("engine ready");
    serve.terminate();
    let (status, log) = serve.end();
    assert!(status.success(), "{status}\n{log}");
    let cut_off = cut_off.join().unwrap();
    for (call, end) in [(&answered, "the caller hung up"), (&cut_off, "the switch hung up")] {
        assert!(call.status.success(), "{call:?}");
        let record: Value = serde_json::from_slice(&call.stdout).unwrap();
        assert_eq!(record["end"], end, "{record}");
    }

    sim.terminate();
    let (_, sim) = sim.end();
    let told = [
        log.as_bytes(),
        sim.as_bytes(),
        &answered.stdout,
        &answered.stderr,
        &cut_off.stdout,
        &cut_off.stderr,
    ];
    let told = String::from_utf8(told.concat()).unwrap();
    for secret in [KEY, TOKEN, &FROM[1..], &TO[1..]] {
        let line = told.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret} is told");
    }
}

// --- how it is run -----------------------------------------------------------------------------------------------

/// A folder of its own to run the program in.
struct Home(TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// The program with these arguments and an empty environment.
    fn tandem(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tandem"));
        command.args(arguments).current_dir(self.path()).env_clear().stdin(Stdio::null());
        command
    }

    /// What it complains of, in one line, and fails.
    fn complaint(&self, arguments: &[&str], environment: &[(&str, &str)]) -> String {
        let Output { status, stdout, stderr } =
            self.tandem(arguments).envs(environment.iter().copied()).output().unwrap();
        let complaint = String::from_utf8(stderr).unwrap();
        assert_eq!((status.code(), &stdout[..]), (Some(1), &b""[..]), "{complaint}");
        assert!(complaint.starts_with("tandem: ") && complaint.lines().count() == 1, "{complaint}");
        assert!(!complaint.contains(KEY) && !complaint.contains(TOKEN), "{complaint}");
        complaint
    }
}

/// A program that runs, until it ends or is dropped.
struct Running {
    child: Child,
    /// What it says on both streams.
    lines: Receiver<String>,
    /// What it has said up to what was waited for.
    said: String,
}

impl Running {
    fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (told, lines) = channel();
        let streams: [Box<dyn Read + Send>; 2] =
            [Box::new(child.stdout.take().unwrap()), Box::new(child.stderr.take().unwrap())];
        for stream in streams {
            let told = told.clone();
            thread::spawn(move || {
                for line in BufReader::new(stream).lines() {
                    told.send(line.unwrap()).ok(); // nobody listens any more when the test has failed
                }
            });
        }
        Self { child, lines, said: String::new() }
    }
}

impl Running {
    /// The next line with these words.
    fn until(&mut self, words: &str) -> String {
        loop {
            let line = self.lines.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|error| panic!("{error} before {words:?}:\n{}", self.said));
            self.said.push_str(&line);
            self.said.push('\n');
            if line.contains(words) {
                return line;
            }
        }
    }

    fn terminate(&self) {
        let kill = format!("kill -TERM {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    /// How it ended, and all it ever said.
    fn end(mut self) -> (ExitStatus, String) {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => {
                    self.said.push_str(&line);
                    self.said.push('\n');
                }
                Err(RecvTimeoutError::Disconnected) => {
                    let status = self.child.wait().unwrap();
                    return (status, std::mem::take(&mut self.said));
                }
                Err(RecvTimeoutError::Timeout) => panic!("it does not end:\n{}", self.said),
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill().ok(); // it may have ended by itself
        self.child.wait().unwrap();
    }
}

/// A port that nobody uses, outside the range that the system gives away by itself.
fn free_port() -> u16 {
    let first = 20_000 + u16::try_from(std::process::id() % 10_000).unwrap();
    (first..32_000).find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok()).expect("a free port")
}

/// A WAV file of 16-bit mono samples, as any recorder would write it.
fn wav_at(rate: u32, samples: &[i16]) -> Vec<u8> {
    let data: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
    let length = u32::try_from(data.len()).unwrap();
    let mut file = Vec::new();
    file.extend(b"RIFF");
    file.extend((36 + length).to_le_bytes());
    file.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0"); // 16 bytes of format: PCM, one channel
    file.extend(rate.to_le_bytes());
    file.extend((2 * rate).to_le_bytes());
    file.extend(b"\x02\0\x10\0data"); // 2 bytes a sample, 16 bits
    file.extend(length.to_le_bytes());
    file.extend(data);
    file
}
